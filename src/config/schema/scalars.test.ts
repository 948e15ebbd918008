import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { z } from 'zod';
import {
  address,
  duration,
  hostPattern,
  network,
  number,
  oneOf,
  readAddress,
  regex,
  size,
  statusRange,
  toggle,
} from './scalars.ts';

function accepts<T>(schema: z.ZodType<T>, cases: [unknown, T][]): void {
  for (const [given, value] of cases) assert.deepEqual(schema.parse(given), value, String(given));
}

function refuses(schema: z.ZodType, given: unknown[]): void {
  for (const value of given) assert.equal(schema.safeParse(value).success, false, JSON.stringify(value));
}

test('durations', () => {
  accepts(duration(), [
    ['300ms', 300],
    ['30s', 30_000],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['1h30m', 5_400_000],
    ['1.5s', 1500],
    ['365d', 31_536_000_000],
    [0, 0],
    ['0s', 0],
  ]);
  refuses(duration(), [
    '',
    '5',
    5,
    '-1s',
    '1s1h',
    's',
    '1 s',
    '366d',
    '1e3s',
    'NaNs',
    null,
    [],
    '9'.repeat(50) + 's',
    '１s',
  ]);
  refuses(duration({ minMs: 1 }), ['0s', 0]);
});

test('sizes: k is 1000, Ki is 1024', () => {
  const bytes = size({ min: 1, max: 2 ** 40, zero: true });
  accepts(bytes, [
    ['64kB', 64_000],
    ['64KiB', 65_536],
    ['1MiB', 1_048_576],
    ['1.5MB', 1_500_000],
    ['10B', 10],
    [4096, 4096],
    [0, 0],
  ]);
  refuses(bytes, ['64k', '1mb', '-1kB', -1, NaN, '1KiBB', '', '2TiB', Infinity, true]);
});

test('addresses', () => {
  accepts(address(), [
    ['127.0.0.1:8080', { host: '127.0.0.1', port: 8080 }],
    ['[::1]:8080', { host: '::1', port: 8080 }],
    [':8080', { host: '::', port: 8080 }],
    ['localhost:0', { host: 'localhost', port: 0 }],
    ['0.0.0.0:80', { host: '0.0.0.0', port: 80 }],
  ]);
  refuses(address(), [
    '8080',
    8080,
    '127.0.0.1',
    '::1:80',
    '[::g]:80',
    'a b:80',
    '1.2.3:80',
    '1.2.3.999:80',
    'x:65536',
    'x:-1',
    'http://x:80',
    '-x:80',
    '',
  ]);
});

test('an IPv6 address without brackets: the hint keeps the port', () => {
  for (const [given, meant] of [
    ['::1:8080', '[::1]:8080'],
    ['fe80::1:80', '[fe80::1]:80'],
    ['::1', '[::1]:8080'],
    ['1:2:3:4:5:6:7:8', '[1:2:3:4:5:6:7:8]:8080'],
  ] as const) {
    const refused = readAddress(given);
    assert.ok('hint' in refused && refused.hint === `write ${meant}`, given);
  }
});

test('hosts, networks, statuses, switches, expressions', () => {
  accepts(hostPattern(), [
    ['Shop.Example.COM', 'shop.example.com'],
    ['*.example.com', '*.example.com'],
    ['10.0.0.1', '10.0.0.1'],
    ['[::1]', '[::1]'],
  ]);
  refuses(hostPattern(), ['*', '*.', '*.*.x', 'a*', 'a..b', 'x:1', 'http://x', '', '-a', '1.2.3', 'a'.repeat(64)]);
  accepts(network(), [
    ['10.0.0.0/8', '10.0.0.0/8'],
    ['fd00::/8', 'fd00::/8'],
    ['::1', '::1'],
  ]);
  refuses(network(), ['10.0.0.0/33', '10.0.0/8', 'fe80::1%eth0', '::/129', '10.0.0.0/', 'x', 1]);
  accepts(statusRange(), [
    ['200-399', { from: 200, to: 399 }],
    [204, { from: 204, to: 204 }],
  ]);
  refuses(statusRange(), ['399-200', 99, 600, '2xx', '']);
  accepts(toggle(), [
    ['on', true],
    ['off', false],
    [false, false],
  ]);
  refuses(toggle(), ['yes', 1, null]);
  accepts(oneOf(['json', 'off']), [[false, 'off']]);
  accepts(regex(), [['^/a+$', '^/a+$']]);
  refuses(regex(), ['(', '(?=a)', '(a)\\1', 'a{1001}', '', 'a'.repeat(1025)]);
});

test('numbers', () => {
  refuses(number({ min: 0, max: 10 }), [-1, 11, 1.5, NaN, Infinity, '5', null, true]);
  refuses(number({ min: 1, max: 10, whole: false, above: true }), [1, 10.1]);
  assert.ok(Object.is(number({ min: 0, max: 1 }).parse(-0), 0));
});
