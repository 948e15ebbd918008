import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { describe, test } from 'node:test';
import { publicJwk, signingPair } from './issuer.fixture.ts';
import { parseKeySet } from './signing-keys.ts';

const ec = signingPair('ec');
const rsa = signingPair('rsa', 'RS256');
const ok = publicJwk(ec);

function ignored(jwk: unknown): string {
  return parseKeySet(JSON.stringify({ keys: [jwk, ok] }), false).ignored.join();
}

describe('a key of a set', () => {
  test('serves the algorithms of its kind, or the one that it names', () => {
    const algorithms = (jwk: object): string =>
      [...parseKeySet(JSON.stringify({ keys: [jwk] }), true).keys[0]!.algorithms].join(' ');
    assert.equal(algorithms(publicJwk(rsa, { alg: undefined })), 'RS256 RS384 RS512 PS256 PS384 PS512');
    assert.equal(algorithms(publicJwk(rsa)), 'RS256');
    assert.equal(algorithms(publicJwk(ec, { alg: undefined, use: undefined })), 'ES256');
    assert.equal(algorithms(publicJwk(signingPair('k', 'EdDSA'))), 'EdDSA Ed25519');
    assert.equal(algorithms({ kty: 'oct', k: Buffer.alloc(48).toString('base64url') }), 'HS256 HS384');
  });

  const small = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' });
  const secp = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ format: 'jwk' });
  const x25519 = generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' });
  for (const [name, jwk, expected] of [
    ['a private key', { ...ec.privateKey.export({ format: 'jwk' }) }, /private key/],
    ['half of a private key', publicJwk(rsa, { p: 'AQAB' }), /private key/],
    ['an RSA key of 1024 bits', small, /less than 2048/],
    ['an exponent of 1', publicJwk(rsa, { e: 'AQ' }), /exponent/],
    ['an even exponent', publicJwk(rsa, { e: 'BA' }), /exponent/],
    ['a huge exponent', publicJwk(rsa, { e: 'AQAAAAAAAAAB' }), /exponent/],
    ['a huge modulus', publicJwk(rsa, { n: `u${'A'.repeat(4090)}Q` }), /16384|valid/],
    ['for encryption', publicJwk(ec, { use: 'enc' }), /not for signatures/],
    ['for signing only', publicJwk(ec, { key_ops: ['sign'] }), /not for verifying/],
    ['another curve', secp, /not known/],
    ['a key for agreement', x25519, /not known/],
    ['a curve of another kind', { ...ok, kty: 'OKP' }, /not known/],
    ['an alg of another kind', publicJwk(ec, { alg: 'RS256' }), /alg does not fit/],
    ['alg none', publicJwk(ec, { alg: 'none' }), /alg does not fit/],
    ['off the curve', publicJwk(ec, { x: 'A'.repeat(43) }), /no valid key/],
    ['without a part', { kty: 'EC', crv: 'P-256', x: 'AA' }, /missing/],
    ['a kind named like a property', { kty: 'EC', crv: 'constructor' }, /not known/],
    ['a secret', { kty: 'oct', k: 'A'.repeat(64) }, /shared secret/],
    ['a kid that is a number', publicJwk(ec, { kid: 1 }), /kid/],
    ['no mapping', null, /no mapping/],
    ['text', 'key', /no mapping/],
  ] as const) {
    test(`${name}: is not used`, () => assert.match(ignored(jwk), expected));
  }

  test('beyond the hundredth is not looked at', () => {
    const { keys, ignored: why } = parseKeySet(JSON.stringify({ keys: Array.from({ length: 150 }, () => ok) }), false);
    assert.equal(keys.length, 100);
    assert.match(why.join(), /more than 100/);
  });

  for (const text of ['', '<html>', '[]', 'null', '{"keys":null}', '{"keys":[]}', '{"keys":[{}]}']) {
    test(`no key set: ${text}`, () => assert.throws(() => parseKeySet(text, true), /^Error: (?:is no|has no)/));
  }
});
