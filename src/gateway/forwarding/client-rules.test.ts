import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DormouseError } from '../../model/errors.ts';
import { AddressSet, parseBlock } from './address-set.ts';
import { ClientRules } from './client-rules.ts';

const familyOf = (address: string): 'ipv4' | 'ipv6' => (address.includes(':') ? 'ipv6' : 'ipv4');
const refuse = (block: string): Error => new Error(block);

describe('a set of addresses', () => {
  test('agrees with net.BlockList about any blocks and any address', () => {
    const v4 = fc
      .array(fc.integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 })
      .map((bytes) => bytes.join('.'));
    const v6 = fc
      .array(fc.constantFrom(0, 0, 1, 0xffff, 0xdb8, 0x8000), { minLength: 8, maxLength: 8 })
      .map((parts) => parts.map((part) => part.toString(16)).join(':'));
    const block = fc.oneof(
      fc.tuple(v4, fc.integer({ min: 0, max: 32 })),
      fc.tuple(v6, fc.integer({ min: 0, max: 128 })),
    );
    fc.assert(
      fc.property(
        fc.array(block, { maxLength: 12 }),
        fc.array(fc.oneof(v4, v6), { minLength: 1, maxLength: 8 }),
        (blocks, looked) => {
          // One list for each family: a list of both also looks for IPv4 addresses among the IPv6 blocks, as ::ffff:a.b.c.d.
          const lists = { ipv4: new BlockList(), ipv6: new BlockList() };
          for (const [address, bits] of blocks) lists[familyOf(address)].addSubnet(address, bits, familyOf(address));
          const set = new AddressSet(
            blocks.map(([address, bits]) => `${address}/${bits}`),
            refuse,
          );
          // The edges of each block are where a mistake would be.
          for (const address of [...looked, ...blocks.map(([first]) => first)]) {
            // Never asked for in this form: see plainAddress.
            if (/^(?:0:){5}ffff:/.test(address)) continue;
            assert.equal(set.has(address), lists[familyOf(address)].check(address, familyOf(address)), address);
          }
        },
      ),
    );
  });

  const cases: [string, string, boolean][] = [
    ['10.0.0.0/8', '10.255.255.255', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['10.9.9.9/8', '10.0.0.0', true],
    ['192.0.2.1', '192.0.2.1', true],
    ['192.0.2.1', '192.0.2.2', false],
    ['0.0.0.0/0', '255.255.255.255', true],
    ['0.0.0.0/0', '::1', false],
    ['::/0', '2001:db8::1', true],
    ['2001:DB8::/33', '2001:db8:7fff:ffff::', true],
    ['2001:db8::/33', '2001:db8:8000::', false],
    ['::ffff:10.0.0.0/104', '10.1.2.3', true],
    ['64:ff9b::192.0.2.0/120', '64:ff9b::c000:2ff', true],
    ['10.0.0.0/8', 'unknown', false],
    ['10.0.0.0/8', '', false],
  ];
  for (const [block, address, expected] of cases)
    test(`${block} ${expected ? 'has' : 'has not'} "${address}"`, () =>
      assert.equal(new AddressSet([block], refuse).has(address), expected));

  test('what is no block is refused', () => {
    for (const text of [
      '',
      'a',
      '10.0.0.0/33',
      '10.0.0.0/',
      '10.0.0.0/-1',
      '10.0.0/8',
      '::/129',
      'fe80::1%eth0',
      '1.2.3.4/8/8',
    ])
      assert.equal(parseBlock(text), null, text);
  });
});

describe('client rules', () => {
  const compile = (allow: string[], deny: string[], and: ClientRules | null = null): ClientRules | null =>
    ClientRules.compile({ allow, deny }, 'routes.a.clients', and);

  test('are nothing when nothing is said', () => assert.equal(compile([], []), null));

  test('deny wins, an allow list shuts everybody else out', () => {
    const rules = compile(['10.0.0.0/8'], ['10.6.6.0/24'])!;
    assert.deepEqual(
      ['10.1.1.1', '10.6.6.6', '192.0.2.1', '2001:db8::1', 'unknown'].map((address) => rules.allows(address)),
      [true, false, false, false, false],
    );
    assert.equal(compile([], ['10.0.0.0/8'])!.allows('192.0.2.1'), true);
  });

  test('two of them have to agree', () => {
    const both = compile(['10.0.0.0/8'], [], compile([], ['10.6.6.6']))!;
    assert.deepEqual(
      ['10.1.1.1', '10.6.6.6', '192.0.2.1'].map((address) => both.allows(address)),
      [true, false, false],
    );
  });

  test('an entry that is no block is an error with its place', () => {
    assert.throws(
      () => compile([], ['10.0.0.0/8', 'office']),
      (error) =>
        error instanceof DormouseError &&
        error.code === 'DORMOUSE_CLIENT_RULES' &&
        error.message.startsWith('routes.a.clients.deny: "office"'),
    );
  });
});
