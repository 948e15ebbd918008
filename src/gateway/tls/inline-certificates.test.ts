import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { GatewayConfig } from '../../link/messages.ts';
import type { InlineCertificate } from '../../model/config.ts';
import type { Asked } from '../fixtures/certificates.ts';
import { shownTo, TlsGateway } from '../fixtures/tls-gateway.ts';

const names = ['file.test'];

async function issue(gateway: TlsGateway, asked: Asked, hosts: string[] = []): Promise<InlineCertificate> {
  return { name: `Secret shop/${asked.names[0]}`, ...(await gateway.authority.issue(asked)), hosts };
}

function withCertificates(config: GatewayConfig, certificates: InlineCertificate[]): GatewayConfig {
  return {
    ...config,
    listeners: config.listeners.map((listener) => ({ ...listener, tls: { ...listener.tls!, certificates } })),
  };
}

async function shown(gateway: TlsGateway, asked: string): Promise<string> {
  const socket = await gateway.connect(asked, { rejectUnauthorized: false });
  const name = shownTo(socket);
  socket.destroy();
  return name;
}

describe('certificates that are not in files', () => {
  test('are shown, replace each other with the configuration, and no key is logged', async () => {
    await using gateway = await TlsGateway.start([{ names }]);
    const first = await issue(gateway, { names: ['a.test'] });
    assert.equal((await gateway.harness.configure(withCertificates(gateway.config, [first]))).type, 'configured');
    assert.equal((await gateway.get('a.test')).status, 200);
    const next = await issue(gateway, { names: ['b.test'] });
    assert.equal((await gateway.harness.configure(withCertificates(gateway.config, [next]))).type, 'configured');
    assert.equal((await gateway.get('b.test')).status, 200);
    const broken = { ...next, key: first.key };
    const refused = await gateway.harness.configure(withCertificates(gateway.config, [broken]));
    assert.equal(refused.type, 'refused');
    assert.match(JSON.stringify(refused), /Secret shop\/b\.test: the key is not the one of the certificate/);
    assert.equal((await gateway.get('b.test')).status, 200);
    const said = JSON.stringify([gateway.log.lines, refused]);
    for (const { key } of [first, next]) assert.ok(!said.includes(key.split('\n')[1]!), 'no key is logged');
  });

  test('are chosen by their hosts where those are given, with wildcards of any number of labels', async () => {
    await using gateway = await TlsGateway.start([{ names }]);
    const certificates = [
      await issue(gateway, { names: ['first.test'] }),
      await issue(gateway, { names: ['narrow.test'] }, ['www.shop.test']),
      await issue(gateway, { names: ['wide.test', 'first.test'] }, ['*.shop.test']),
      await issue(gateway, { names: ['deep.test'] }, ['*.pay.shop.test']),
    ];
    await gateway.harness.configure(withCertificates(gateway.config, certificates));
    for (const [asked, expected] of [
      ['www.shop.test', 'narrow.test'],
      ['x.shop.test', 'wide.test'],
      ['a.b.shop.test', 'wide.test'],
      ['a.b.pay.shop.test', 'deep.test'],
      ['shop.test', 'first.test'],
      ['first.test', 'first.test'],
      ['wide.test', 'first.test'],
    ] as const)
      assert.equal(await shown(gateway, asked), expected, asked);
  });
});
