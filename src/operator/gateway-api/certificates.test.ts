import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Authority } from '../../gateway/fixtures/certificates.ts';
import { GATEWAY_GROUP, type Gateway, type Secret } from './objects.ts';
import { gateway, grant, https, secret, translated } from './snapshot.fixture.ts';

let certificate: Secret;
let other: Secret;
before(async () => {
  const authority = await Authority.create();
  const pem = async (name: string) => {
    const { cert, key } = await authority.issue({ names: [name] });
    return { 'tls.crt': cert, 'tls.key': key };
  };
  certificate = secret('cert', await pem('a.example.com'));
  other = secret('web/other', await pem('b.example.com'));
});

describe('certificates', () => {
  const pem = (): Record<string, string> => certificate.data!;
  const reference = (name: string, more = {}): Gateway =>
    gateway('edge', [https('x', { tls: { certificateRefs: [{ name, ...more }] } })]);
  const INVALID = '!Accepted/ListenersNotValid !Programmed/Invalid';
  const grantFor = (to: { group: string; kind: string; name?: string }, from = 'infra') =>
    grant('web/g', [{ group: GATEWAY_GROUP, kind: 'Gateway', namespace: from }], [to]);
  const cases: [string, () => Parameters<typeof translated>[0] & object, string][] = [
    [
      'GatewayInvalidTLSConfiguration: no such Secret',
      () => ({ gateways: [reference('none')] }),
      'InvalidCertificateRef',
    ],
    [
      'GatewayInvalidTLSConfiguration: another group',
      () => ({ gateways: [reference('cert', { group: 'x.test' })] }),
      'InvalidCertificateRef',
    ],
    [
      'GatewayInvalidTLSConfiguration: another kind',
      () => ({ gateways: [reference('cert', { kind: 'ConfigMap' })] }),
      'InvalidCertificateRef',
    ],
    [
      'GatewayInvalidTLSConfiguration: a malformed one',
      () => ({
        gateways: [reference('cert')],
        secrets: [secret('cert', { 'tls.crt': 'SGVsbG8=', 'tls.key': 'SGVsbG8=' })],
      }),
      'InvalidCertificateRef',
    ],
    [
      'a certificate with the key of another',
      () => ({
        gateways: [reference('cert')],
        secrets: [{ ...certificate, data: { ...pem(), 'tls.key': other.data!['tls.key']! } }],
      }),
      'InvalidCertificateRef',
    ],
    ['none at all', () => ({ gateways: [gateway('edge', [https('x', { tls: {} })])] }), 'InvalidCertificateRef'],
    [
      'GatewaySecretMissingReferenceGrant',
      () => ({ gateways: [reference('other', { namespace: 'web' })] }),
      'RefNotPermitted',
    ],
    [
      'GatewaySecretInvalidReferenceGrant: another namespace',
      () => ({
        gateways: [reference('other', { namespace: 'web' })],
        referenceGrants: [grantFor({ group: '', kind: 'Secret' }, 'elsewhere')],
      }),
      'RefNotPermitted',
    ],
    [
      'GatewaySecretInvalidReferenceGrant: another name',
      () => ({
        gateways: [reference('other', { namespace: 'web' })],
        referenceGrants: [grantFor({ group: '', kind: 'Secret', name: 'x' })],
      }),
      'RefNotPermitted',
    ],
    [
      'GatewaySecretReferenceGrantAllInNamespace',
      () => ({
        gateways: [reference('other', { namespace: 'web' })],
        referenceGrants: [grantFor({ group: '', kind: 'Secret' })],
      }),
      '',
    ],
    [
      'GatewaySecretReferenceGrantSpecific',
      () => ({
        gateways: [reference('other', { namespace: 'web' })],
        referenceGrants: [grantFor({ group: '', kind: 'Secret', name: 'other' })],
      }),
      '',
    ],
  ];
  for (const [name, objects, reason] of cases) {
    test(name, () => {
      const outcome = translated({ secrets: [certificate, other], ...objects() });
      const ofListener = outcome.listener('edge', 'https');
      if (reason === '') {
        assert.equal(ofListener, 'Accepted ResolvedRefs Programmed [HTTPRoute GRPCRoute] 0');
        assert.equal(outcome.translation.listeners[0]!.name, 'https-443');
      } else {
        assert.equal(ofListener, `Accepted !ResolvedRefs/${reason} !Programmed/Invalid [HTTPRoute GRPCRoute] 0`);
        assert.equal(outcome.gateway('edge'), INVALID);
        assert.deepEqual(outcome.translation.listeners, []);
        const key = Buffer.from(pem()['tls.key']!, 'base64').toString().split('\n')[1]!;
        assert.ok(!JSON.stringify(outcome.translation).includes(key), 'the key is nowhere');
      }
    });
  }

  test('GatewayOverlappingTLSConfigHostnames', () => {
    const names = ['foo.example.com', 'bar.example.com', '*.example.com', 'example.org'];
    const listeners = names.map((hostname, i) => https('cert', { name: `l${i}`, hostname }));
    const elsewhere = https('cert', { name: 'elsewhere', hostname: 'foo.example.com', port: 8444 });
    const outcome = translated({ gateways: [gateway('edge', [...listeners, elsewhere])], secrets: [certificate] });
    const overlapping = [...listeners, elsewhere].map(({ name }) =>
      outcome.listener('edge', name).includes('OverlappingTLSConfig/OverlappingHostnames'),
    );
    assert.deepEqual(overlapping, [true, true, true, false, false]);
  });
});
