import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { HeaderKind } from '../../http1/header-kind.ts';
import { requestView, type ViewParts } from '../request-view.fixture.ts';
import { ForwardingContext, type ForwardingPeer } from './forwarded.ts';
import { RequestIds } from './request-ids.ts';

const PEER: ForwardingPeer = { address: '198.51.100.7', trusted: false, scheme: 'http', port: 8080 };

function context(peer: Partial<ForwardingPeer> = {}): ForwardingContext {
  return new ForwardingContext({ ...PEER, ...peer }, new RequestIds('p'));
}

/** The lines that a request gets, as pairs of lower-case name and value. */
function lines(peer: Partial<ForwardingPeer>, parts: ViewParts): [string, string][] {
  const text = context(peer).lines(requestView(parts));
  assert.ok(text.endsWith('\r\n') && !text.includes('\r\n\r\n'));
  return text
    .slice(0, -2)
    .split('\r\n')
    .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]);
}

const SPOOFED: ViewParts['headers'] = [
  ['X-Forwarded-For', '203.0.113.9'],
  ['X-Forwarded-Proto', 'https'],
  ['X-Forwarded-Host', 'shop.example.com'],
  ['X-Forwarded-Port', '8443'],
  ['Forwarded', 'for=203.0.113.9'],
  ['X-Request-Id', 'their-id'],
];

describe('from a peer that is not trusted', () => {
  test('everything is said anew, whatever it sent', () => {
    const expected = [
      ['x-forwarded-for', '198.51.100.7'],
      ['x-forwarded-proto', 'http'],
      ['x-forwarded-port', '8080'],
      ['x-forwarded-host', 'Example.com:8080'],
      ['x-request-id', 'p-000'],
      ['via', '1.1 dormouse'],
    ];
    assert.deepEqual(lines({}, { host: 'Example.com:8080' }), expected);
    assert.deepEqual(lines({}, { host: 'Example.com:8080', headers: SPOOFED }), expected);
  });

  test('what it claims about the client is dropped; Via is not', () => {
    const {
      X_FORWARDED_FOR,
      X_FORWARDED_PROTO,
      X_FORWARDED_HOST,
      X_FORWARDED_PORT,
      FORWARDED,
      X_REQUEST_ID,
      X_REAL_IP,
    } = HeaderKind;
    const untrusted = context();
    for (const kind of [
      X_FORWARDED_FOR,
      X_FORWARDED_PROTO,
      X_FORWARDED_HOST,
      X_FORWARDED_PORT,
      FORWARDED,
      X_REQUEST_ID,
      X_REAL_IP,
    ]) {
      assert.ok(untrusted.drops(kind));
    }
    for (const kind of [HeaderKind.OTHER, HeaderKind.VIA, HeaderKind.HOST, HeaderKind.COOKIE])
      assert.ok(!untrusted.drops(kind));
    assert.ok(!context({ trusted: true }).drops(X_REAL_IP));
  });

  test('each request of a connection has its own id and its own host', () => {
    const connection = context();
    const seen = ['a', 'a', 'b', 'a'].map((host) => {
      const text = connection.lines(requestView({ host }));
      assert.ok(text.includes(`\r\nX-Forwarded-Host: ${host}\r\n`));
      assert.ok(text.includes(`\r\nX-Request-Id: ${connection.requestId}\r\n`));
      return connection.requestId;
    });
    assert.equal(new Set(seen).size, 4);
  });

  test('HTTP/1.0 without a host', () => {
    const names = lines({}, { host: '', minor: 0 });
    assert.ok(!names.some(([name]) => name === 'x-forwarded-host'));
    assert.deepEqual(names.at(-1), ['via', '1.0 dormouse']);
  });
});

describe('from a trusted peer', () => {
  const trusted = { address: '10.0.0.1', trusted: true };

  test('chains are continued and the rest is kept', () => {
    assert.deepEqual(lines(trusted, { host: 'inner:8080', headers: SPOOFED }), [
      ['x-forwarded-for', '203.0.113.9, 10.0.0.1'],
      ['x-forwarded-proto', 'https'],
      ['x-forwarded-port', '8443'],
      ['x-forwarded-host', 'shop.example.com'],
      ['forwarded', 'for=203.0.113.9, for=10.0.0.1;proto=http;host="inner:8080"'],
      ['x-request-id', 'their-id'],
      ['via', '1.1 dormouse'],
    ]);
  });

  test('what it did not say is filled in, and Forwarded is not begun', () => {
    assert.deepEqual(lines(trusted, { host: 'inner' }), [
      ['x-forwarded-for', '10.0.0.1'],
      ['x-forwarded-proto', 'http'],
      ['x-forwarded-port', '8080'],
      ['x-forwarded-host', 'inner'],
      ['x-request-id', 'p-000'],
      ['via', '1.1 dormouse'],
    ]);
  });

  test('several lines of a chain become one', () => {
    const headers = [
      ['X-Forwarded-For', '1.1.1.1'],
      ['X-Forwarded-For', '2.2.2.2'],
    ] as const;
    assert.deepEqual(lines(trusted, { headers })[0], ['x-forwarded-for', '1.1.1.1, 2.2.2.2, 10.0.0.1']);
  });

  test('the port follows from what it said about host and scheme', () => {
    const port = (headers: ViewParts['headers']): string | undefined =>
      lines(trusted, { host: 'inner', headers }).find(([name]) => name === 'x-forwarded-port')?.[1];
    assert.equal(port([['X-Forwarded-Proto', 'https']]), '443');
    assert.equal(port([['X-Forwarded-Proto', 'http']]), '80');
    assert.equal(
      port([
        ['X-Forwarded-Proto', 'https'],
        ['X-Forwarded-Host', 'a:9443'],
      ]),
      '9443',
    );
    assert.equal(port([['X-Forwarded-Host', '[2001:db8::1]']]), '8080');
  });

  test('an IPv6 peer stands quoted in Forwarded', () => {
    const forwarded = lines(
      { address: 'fd00::1', trusted: true },
      { host: 'a', headers: [['Forwarded', 'for=x']] },
    ).find(([name]) => name === 'forwarded');
    assert.deepEqual(forwarded, ['forwarded', 'for=x, for="[fd00::1]";proto=http;host=a']);
  });

  test('an id that is too long or not visible ASCII is replaced', () => {
    for (const id of ['', 'x'.repeat(129), 'a b', 'a\tb', 'é']) {
      const sent = lines(trusted, { headers: [['X-Request-Id', id]] }).find(([name]) => name === 'x-request-id');
      assert.deepEqual(sent, ['x-request-id', 'p-000'], id);
    }
    const longest = 'x'.repeat(128);
    assert.ok(
      context(trusted)
        .lines(requestView({ headers: [['X-Request-Id', longest]] }))
        .includes(longest),
    );
  });
});

test('the scheme is the one that the client used, as far as that can be trusted', () => {
  const scheme = (trusted: boolean, proto: string): string =>
    context({ trusted }).scheme(requestView({ headers: [['X-Forwarded-Proto', proto]] }));
  assert.equal(scheme(false, 'https'), 'http');
  assert.equal(scheme(true, 'HTTPS'), 'https');
  assert.equal(scheme(true, 'javascript'), 'http');
  assert.equal(context({ trusted: true }).scheme(requestView()), 'http');
});

test('request ids do not repeat', () => {
  const ids = new RequestIds('w1');
  const seen = new Set<string>();
  for (let i = 0; i < 100_000; i++) seen.add(ids.next());
  assert.equal(seen.size, 100_000);
});
