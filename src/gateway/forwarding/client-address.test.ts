import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DormouseError } from '../../model/errors.ts';
import { requestView } from '../request-view.fixture.ts';
import { ClientAddress, plainAddress } from './client-address.ts';

const addresses = new ClientAddress(['10.0.0.0/8', '192.0.2.1', 'fd00::/8']);

function client(peer: string, ...chain: string[]): string {
  return addresses.resolve(peer, requestView({ headers: chain.map((value) => ['X-Forwarded-For', value] as const) }));
}

describe('the client of a request', () => {
  const cases: [string, string, string[], string][] = [
    ['is the peer', '198.51.100.7', [], '198.51.100.7'],
    ['is the peer, whatever an untrusted one says', '198.51.100.7', ['203.0.113.9'], '198.51.100.7'],
    ['is the trusted peer itself when it names nobody', '10.1.1.1', [], '10.1.1.1'],
    ['is whom the trusted peer names', '10.1.1.1', ['203.0.113.9'], '203.0.113.9'],
    ['is the first untrusted one from the right', '10.1.1.1', ['6.6.6.6, 203.0.113.9, 10.2.2.2'], '203.0.113.9'],
    ['is found over several lines', '10.1.1.1', ['6.6.6.6, 203.0.113.9', '10.2.2.2'], '203.0.113.9'],
    ['is the leftmost when all are trusted', '10.1.1.1', ['10.3.3.3, 10.2.2.2'], '10.3.3.3'],
    ['is the proxy that wrote rubbish', '10.1.1.1', ['203.0.113.9, unknown, 10.2.2.2'], '10.2.2.2'],
    ['is the peer when it wrote rubbish', '10.1.1.1', ['203.0.113.9, _hidden'], '10.1.1.1'],
    ['may stand with a port', '10.1.1.1', ['203.0.113.9:4711'], '203.0.113.9'],
    ['may be IPv6', 'fd00::1', ['2001:db8::7'], '2001:db8::7'],
    ['may be IPv6 in brackets with a port', '192.0.2.1', ['[2001:db8::7]:443'], '2001:db8::7'],
    ['may be IPv4 inside IPv6', '10.1.1.1', ['203.0.113.9, ::ffff:10.2.2.2'], '203.0.113.9'],
    ['passes over empty elements', '10.1.1.1', ['203.0.113.9, ,'], '203.0.113.9'],
    ['is the peer when the header is empty', '10.1.1.1', [''], '10.1.1.1'],
    ['is not an address with rubbish behind it', '10.1.1.1', ['203.0.113.9 evil'], '10.1.1.1'],
  ];
  for (const [name, peer, chain, expected] of cases) test(name, () => assert.equal(client(peer, ...chain), expected));

  test('is found in a long chain with bounded work', () => {
    assert.equal(client('10.1.1.1', '203.0.113.9, ' + '10.0.0.1, '.repeat(3_000) + '10.0.0.2'), '10.0.0.1');
  });

  test('is always the peer when nobody is trusted', () => {
    const nobody = new ClientAddress([]);
    assert.equal(nobody.isTrusted('127.0.0.1'), false);
    assert.equal(nobody.resolve('127.0.0.1', requestView({ headers: [['X-Forwarded-For', '1.2.3.4']] })), '127.0.0.1');
  });
});

test('addresses have one form', () => {
  assert.equal(plainAddress('::ffff:10.0.0.1'), '10.0.0.1');
  assert.equal(plainAddress('fe80::1%eth0'), 'fe80::1');
  assert.equal(plainAddress('2001:db8::1'), '2001:db8::1');
  assert.equal(plainAddress(''), '');
});

test('a trusted proxy that is no address is an error that names it', () => {
  for (const block of ['proxy.internal', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/x', '::/129', '']) {
    assert.throws(
      () => new ClientAddress([block]),
      (error) =>
        error instanceof DormouseError &&
        error.code === 'DORMOUSE_TRUSTED_PROXY' &&
        error.message.includes(`"${block}"`),
    );
  }
});
