import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { describe, it } from 'node:test';
import {
  AUTHORITY_MS,
  authorityDueMs,
  authorityFromSecret,
  authorityToSecret,
  issueClient,
  issueOperator,
  LEAF_MS,
  OVERLAP_MS,
  pairDueMs,
  pairFromSecret,
  pairIsDue,
  pairToSecret,
  renewedAuthority,
  SKEW_MS,
  trustBundle,
  type Authority,
  type IssuedPair,
} from './authority.ts';

const START_MS = Date.UTC(2026, 0, 1);
const names = ['dormouse-operator.ns.svc', '10.0.0.1'];

/** Whom a certificate is signed by, as its place in the list; -1: none of them. */
const signedBy = (pair: IssuedPair, authority: Authority): number => {
  const leaf = new X509Certificate(pair.cert);
  return authority.findIndex(({ cert }) => leaf.verify(new X509Certificate(cert).publicKey));
};

describe('the authority of the link', () => {
  it('issues certificates for one role and one day, valid from a little before', async () => {
    const authority = await renewedAuthority([], START_MS);
    assert.equal(authority.length, 1);
    const operator = new X509Certificate((await issueOperator(authority, names, START_MS)).cert);
    assert.equal(operator.subjectAltName, 'DNS:dormouse-operator.ns.svc, IP Address:10.0.0.1');
    assert.deepEqual(operator.keyUsage, ['1.3.6.1.5.5.7.3.1']);
    assert.equal(operator.validFromDate.getTime(), START_MS - SKEW_MS);
    assert.equal(operator.validToDate.getTime(), START_MS + LEAF_MS);
    const gateway = new X509Certificate((await issueClient(authority, 'gateway', START_MS)).cert);
    assert.equal(gateway.subjectAltName, 'URI:spiffe://dormouse/gateway');
    assert.deepEqual(gateway.keyUsage, ['1.3.6.1.5.5.7.3.2']);
    assert.equal(gateway.ca, false);
    assert.equal(gateway.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
    const own = new X509Certificate(authority[0]!.cert);
    assert.equal(own.ca, true);
    assert.equal(own.validToDate.getTime(), START_MS + AUTHORITY_MS);
    assert.ok(own.verify(own.publicKey) && gateway.checkIssued(own));
    await assert.rejects(issueOperator(authority, [], START_MS), { code: 'DORMOUSE_AUTHORITY' });
  });

  it('says when a pair has to be issued anew', async () => {
    const authority = await renewedAuthority([], START_MS);
    const pair = await issueOperator(authority, names, START_MS);
    const dueMs = pairDueMs(pair);
    assert.ok(Math.abs(dueMs - (START_MS + (LEAF_MS * 2) / 3)) < SKEW_MS);
    assert.equal(pairIsDue(pair, authority, START_MS, names), false);
    assert.equal(pairIsDue(pair, authority, dueMs - 1, names), false);
    assert.equal(pairIsDue(pair, authority, dueMs, names), true);
    assert.equal(pairIsDue(null, authority, START_MS), true);
    assert.equal(pairIsDue(pair, authority, START_MS, [...names, 'another.svc']), true);
    assert.equal(pairIsDue({ ...pair, key: 'broken' }, authority, START_MS), true);
    assert.equal(pairIsDue(pair, await renewedAuthority([], START_MS), START_MS), true);
    // A clock that was far ahead when it was made.
    assert.equal(pairIsDue(pair, authority, START_MS - 2 * SKEW_MS), true);
  });

  it('is renewed with an overlap in which everybody trusts both', async () => {
    const first = await renewedAuthority([], START_MS);
    assert.equal(await renewedAuthority(first, START_MS + 1000), first);
    const dueMs = authorityDueMs(first, START_MS);
    assert.ok(Math.abs(dueMs - (START_MS + (AUTHORITY_MS * 2) / 3)) < 2000);
    assert.equal(await renewedAuthority(first, dueMs - 1), first);

    const both = await renewedAuthority(first, dueMs);
    assert.equal(both.length, 2);
    assert.equal(both[0], first[0]);
    assert.equal(trustBundle(both).match(/BEGIN/g)?.length, 2);
    // Not everybody trusts the new one yet: the former one signs.
    const during = await issueClient(both, 'gateway', dueMs + OVERLAP_MS - 5000);
    assert.equal(signedBy(during, both), 0);
    const later = await issueClient(both, 'gateway', dueMs + OVERLAP_MS);
    assert.equal(signedBy(later, both), 1);
    // What the former one signed is valid for another day.
    const nextMs = authorityDueMs(both, dueMs + OVERLAP_MS);
    assert.ok(new X509Certificate(during.cert).validToDate.getTime() <= nextMs);
    assert.equal(await renewedAuthority(both, nextMs - 1), both);
    const after = await renewedAuthority(both, nextMs);
    assert.deepEqual(after, [both[1]]);
    assert.equal(pairIsDue(later, after, dueMs + OVERLAP_MS), false);
    assert.equal(pairIsDue(during, after, dueMs + OVERLAP_MS), true);
  });

  it('is made anew when everything has expired', async () => {
    const first = await renewedAuthority([], START_MS);
    const lateMs = START_MS + 2 * AUTHORITY_MS;
    const next = await renewedAuthority(first, lateMs);
    assert.equal(next.length, 1);
    assert.equal(signedBy(await issueClient(next, 'gateway', lateMs), next), 0);
  });

  it('comes back out of Secrets as it was', async () => {
    const first = await renewedAuthority([], START_MS);
    const both = await renewedAuthority(first, authorityDueMs(first, START_MS));
    assert.deepEqual(authorityFromSecret(authorityToSecret(both)), both);
    const forgotten = [{ ...both[0]!, key: null }, both[1]!];
    assert.deepEqual(authorityFromSecret(authorityToSecret(forgotten)), forgotten);
    assert.deepEqual(authorityFromSecret({}), []);
    assert.deepEqual(authorityFromSecret(null), []);
    const pair = await issueClient(both, 'gateway', START_MS);
    const data = pairToSecret(both, pair);
    assert.deepEqual(Object.keys(data), ['ca.crt', 'tls.crt', 'tls.key']);
    assert.deepEqual(pairFromSecret(data), pair);
    assert.equal(pairFromSecret({ 'tls.crt': data['tls.crt']! }), null);
  });

  it('is not made anew over what cannot be read', async () => {
    const authority = await renewedAuthority([], START_MS);
    const data = authorityToSecret(authority);
    const other = authorityToSecret(await renewedAuthority([], START_MS));
    const leaf = Buffer.from((await issueClient(authority, 'gateway', START_MS)).cert).toString('base64');
    const text = (value: string): string => Buffer.from(value).toString('base64');
    const cases: Record<string, string>[] = [
      { 'ca.crt': data['ca.crt']! },
      { ...data, 'ca.crt': text('nothing') },
      { ...data, 'ca.key': text('nothing') },
      { ...data, 'ca.key': text('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n') },
      { ...data, 'ca.key': other['ca.key']! },
      { ...data, 'ca.crt': leaf },
    ];
    for (const broken of cases) {
      assert.throws(() => authorityFromSecret(broken), { code: 'DORMOUSE_AUTHORITY' });
    }
  });
});
