import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import type { ConnectionInfo } from '../connection-info.ts';
import { Authority, type Pem } from '../fixtures/certificates.ts';
import { TlsGateway } from '../fixtures/tls-gateway.ts';

async function start(mode: 'optional' | 'require'): Promise<{ gateway: TlsGateway; clients: Authority; known: Pem }> {
  const clients = await Authority.create('Clients');
  const gateway = await TlsGateway.start([{ names: ['a.test'] }], {
    tls: (folder) => {
      const caFile = join(folder, 'clients.pem');
      writeFileSync(caFile, clients.pem);
      return { clientAuth: { mode, caFile } };
    },
  });
  return { gateway, clients, known: await clients.issue({ names: ['billing.internal'] }) };
}

/** The connection is open in the gateway. */
function infoOf(gateway: TlsGateway): ConnectionInfo {
  const [listener] = gateway.harness.gateway['listeners'].values();
  const [connection] = listener!.connections;
  return (connection as unknown as { info: ConnectionInfo }).info;
}

describe('certificates of clients', () => {
  test('are asked for: the one of a known authority is told to whoever handles the request', async () => {
    const { gateway, known } = await start('require');
    await using _ = gateway;
    const client = await gateway.client('a.test', known);
    client.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    assert.equal((await client.response()).status, 200);
    assert.match(
      gateway.backend.requests[0]!.head,
      /\r\nX-Forwarded-Client-Cert: Hash=[0-9a-f]{64};Subject="CN=billing.internal,O=Dormouse tests";DNS=billing.internal\r\n/,
    );
    const { clientCertificate } = infoOf(gateway).tls!;
    assert.equal(clientCertificate?.subject, 'CN=billing.internal,O=Dormouse tests');
    assert.equal(clientCertificate.issuer, 'CN=Clients');
    assert.equal(clientCertificate.subjectAltName, 'DNS:billing.internal');
    assert.match(clientCertificate.fingerprint, /^[0-9a-f]{64}$/);
    assert.match(clientCertificate.serialNumber, /^[0-9A-F]+$/);
  });

  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`${maxVersion}: a client without one is refused by an alert when one is required`, async () => {
      const { gateway } = await start('require');
      await using _ = gateway;
      await assert.rejects(
        (async () => {
          const socket = await gateway.connect('a.test', { maxVersion });
          // With TLS 1.3 the client is done first.
          socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
          const [error] = (await once(socket, 'error')) as [Error];
          throw error;
        })(),
        /certificate required|handshake failure|CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE/i,
      );
      assert.equal(gateway.handshakes.failed, 1);
      assert.equal(gateway.backend.requests.length, 0);
    });

    test(`${maxVersion}: one of an unknown authority is answered with 400, and its session opens nothing either`, async () => {
      for (const mode of ['require', 'optional'] as const) {
        const { gateway } = await start(mode);
        await using _ = gateway;
        const stranger = await (await Authority.create('Clients')).issue({ names: ['billing.internal'] });
        const options: ConnectionOptions = { ...stranger, maxVersion };
        const socket = await gateway.connect('a.test', options);
        socket.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
        const [answer] = (await once(socket, 'data')) as [Buffer];
        assert.match(answer.toString(), /^HTTP\/1\.1 400 [^]*"code":"client-certificate"/);
        await once(socket, 'end');
        const session = socket.getSession()!;
        const again = await gateway.connect('a.test', { ...options, session });
        const [second] = (await once(again, 'data')) as [Buffer];
        assert.match(second.toString(), /^HTTP\/1\.1 400 /);
        again.destroy();
        assert.equal(gateway.handshakes.client_certificate, 2);
        assert.equal(gateway.backend.requests.length, 0);
      }
    });
  }

  test('that have expired are refused', async () => {
    const { gateway, clients } = await start('require');
    await using _ = gateway;
    const expired = await clients.issue({ names: ['billing.internal'], fromDays: -9, toDays: -8 });
    const answer = await gateway.get('a.test', expired);
    assert.equal(answer.status, 400);
    assert.match(answer.body, /CERT_HAS_EXPIRED/);
  });

  test('may be optional: a client without one is let in, and known to have none', async () => {
    const { gateway, known } = await start('optional');
    await using _ = gateway;
    const client = await gateway.client('a.test');
    client.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    assert.equal((await client.response()).status, 200);
    assert.equal(infoOf(gateway).tls?.clientCertificate, null);
    client.socket.destroy();
    assert.equal((await gateway.get('a.test', known)).status, 200);
  });

  test('that are trusted no more open nothing, not even by a session that was agreed on before', async () => {
    const { gateway, known } = await start('require');
    await using _ = gateway;
    const client = await gateway.connect('a.test', known);
    client.write('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    await once(client, 'data');
    const session = client.getSession()!;
    client.destroy();
    const inForce = gateway.log.next('files have changed and are in force');
    writeFileSync(join(gateway.folder, 'clients.pem'), (await Authority.create('Others')).pem);
    await inForce;
    const answer = await gateway.get('a.test', { ...known, session });
    assert.equal(answer.status, 400);
  });
});
