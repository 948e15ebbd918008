import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClientCertificate } from '../connection-info.ts';
import { requestView } from '../request-view.fixture.ts';
import { clientCertificateLine } from './client-certificate.ts';
import { ForwardingContext } from './forwarded.ts';
import { RequestIds } from './request-ids.ts';

const CERTIFICATE: ClientCertificate = {
  subject: 'CN=billing,O=Acme',
  issuer: 'CN=Clients',
  fingerprint: 'ab'.repeat(32),
  serialNumber: '01',
  subjectAltName: 'DNS:billing.internal, URI:spiffe://acme/billing, IP Address:10.0.0.1',
};
const START = `X-Forwarded-Client-Cert: Hash=${'ab'.repeat(32)};Subject=`;

describe('the line about the certificate of a client', () => {
  const cases: [string, Partial<ClientCertificate>, string][] = [
    ['all that is known', {}, '"CN=billing,O=Acme";DNS=billing.internal;URI=spiffe://acme/billing'],
    ['no alternative names', { subjectAltName: '' }, '"CN=billing,O=Acme"'],
    ['a quote and bytes beyond ASCII', { subject: 'CN="a" é', subjectAltName: '' }, '"CN=\\"a\\" \\c3\\a9"'],
    ['line breaks', { subject: 'CN=a\r\nX-Admin: 1', subjectAltName: '' }, '"CN=a\\0d\\0aX-Admin: 1"'],
    [
      'names with separators, as Node writes them',
      { subjectAltName: 'DNS:"a, DNS:b", URI:x;y' },
      '"CN=billing,O=Acme";DNS="a, DNS:b";URI="x;y"',
    ],
    ['very many names', { subjectAltName: 'DNS:a.test, '.repeat(1000) }, '"CN=billing,O=Acme"'],
  ];
  for (const [name, more, expected] of cases)
    test(name, () => assert.equal(clientCertificateLine({ ...CERTIFICATE, ...more }), `${START}${expected}\r\n`));

  test('is said by us, never by a client that is not trusted', () => {
    const certificateLine = clientCertificateLine(CERTIFICATE);
    const spoofed = requestView({ headers: [['X-Forwarded-Client-Cert', 'Subject="CN=admin"']] });
    const linesOf = (trusted: boolean, line: string): string =>
      new ForwardingContext(
        { address: '192.0.2.1', trusted, scheme: 'https', port: 443, certificateLine: line },
        new RequestIds('p'),
      ).lines(spoofed);
    for (const trusted of [false, true]) {
      assert.ok(linesOf(trusted, certificateLine).includes(certificateLine));
      assert.ok(!linesOf(trusted, '').includes('Client-Cert'));
    }
  });
});
