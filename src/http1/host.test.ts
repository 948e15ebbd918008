import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostnameOf } from './host.ts';

test('hosts of RFC 3986', () => {
  for (const [authority, hostname] of [
    ['a.example', 'a.example'],
    ['A.Example.:8080', 'a.example'],
    ['a_b.example', 'a_b.example'],
    ['127.0.0.1:1', '127.0.0.1'],
    ['[::1]', '[::1]'],
    ['[2001:DB8::1]:443', '[2001:db8::1]'],
    ['a:', 'a'],
    ['a:65535', 'a'],
    ['%41b', '%41b'],
    ["!$&'()*+,;=~", "!$&'()*+,;=~"],
    ['', null],
    ['.', null],
    [':80', null],
    ['.:80', null],
    ['a:65536', null],
    ['a:000080', null],
    ['a:8a', null],
    ['a:80:80', null],
    ['a b', null],
    ['a/', null],
    ['a@b', null],
    ['a\\b', null],
    ['a%4', null],
    ['a%zz', null],
    ['%', null],
    ['[]', null],
    ['[::1', null],
    ['[::1]a', null],
    ['[::1]]', null],
    ['[1:2]', null],
    ['[v1.a]', null],
    ['[fe80::1%eth0]', null],
    ['::1', null],
    ['\xe9', null],
  ] as const) {
    assert.equal(hostnameOf(authority), hostname, authority);
  }
});
