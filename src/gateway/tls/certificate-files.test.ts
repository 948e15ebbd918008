import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import type { GatewayConfig } from '../../link/messages.ts';
import type { ListenerTlsConfig } from '../../model/config.ts';
import { writePem } from '../fixtures/certificates.ts';
import { shownTo, TlsGateway } from '../fixtures/tls-gateway.ts';

const names = ['a.test'];
const IN_FORCE = 'files have changed and are in force';
const NOT_USED = 'changed files cannot be used';

async function isShownValidForDays(gateway: TlsGateway, days: number): Promise<void> {
  const socket = await gateway.connect('a.test');
  const until = new Date(socket.getPeerCertificate().valid_to).getTime();
  socket.destroy();
  assert.equal(Math.round((until - Date.now()) / 86_400_000), days);
}

function withTls(config: GatewayConfig, more: Partial<ListenerTlsConfig>): GatewayConfig {
  return {
    ...config,
    listeners: config.listeners.map((listener) => ({ ...listener, tls: { ...listener.tls!, ...more } })),
  };
}

describe('certificate files that change', () => {
  test('are in force for the next connection; those that are open go on', async () => {
    await using gateway = await TlsGateway.start([{ names }]);
    const open = await gateway.client('a.test');
    const inForce = gateway.log.next(IN_FORCE);
    await gateway.write('0', { names, toDays: 50 });
    assert.deepEqual((await inForce).fields.files, [join(gateway.folder, '0.crt'), join(gateway.folder, '0.key')]);
    await isShownValidForDays(gateway, 50);
    open.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    assert.equal((await open.response()).status, 200);
  });

  test('by a link that is swapped, as Kubernetes does it', async () => {
    const folders = (gateway: string): string[] => ['1', '2'].map((name) => join(gateway, name));
    await using gateway = await TlsGateway.start([{ names }], {
      tls: (folder) => {
        for (const made of folders(folder)) mkdirSync(made);
        const cert = readFileSync(join(folder, '0.crt'), 'utf8');
        writePem(join(folder, '1'), 'tls', { cert, key: readFileSync(join(folder, '0.key'), 'utf8') });
        symlinkSync('1', join(folder, '..data'));
        for (const file of ['tls.crt', 'tls.key']) symlinkSync(`..data/${file}`, join(folder, file));
        return { certificates: [{ certFile: join(folder, 'tls.crt'), keyFile: join(folder, 'tls.key') }] };
      },
    });
    writePem(join(gateway.folder, '2'), 'tls', await gateway.authority.issue({ names, toDays: 40 }));
    const inForce = gateway.log.next(IN_FORCE);
    symlinkSync('2', join(gateway.folder, '..tmp'));
    renameSync(join(gateway.folder, '..tmp'), join(gateway.folder, '..data'));
    await inForce;
    await isShownValidForDays(gateway, 40);
  });

  const broken: [string, (cert: string, key: string) => [cert: string, key: string], string, string][] = [
    ['a certificate of which half is written', (cert, key) => [cert.slice(0, 300), key], '0.crt', 'no END line'],
    ['a certificate that is empty', (_cert, key) => ['', key], '0.crt', 'empty'],
    ['a certificate that is nonsense', (_cert, key) => ['hello\n', key], '0.crt', 'no PEM certificate'],
    [
      'a chain of which the second half is missing',
      (cert, key) => [cert + cert.slice(0, 200), key],
      '0.crt',
      'no END line',
    ],
    ['a key of which half is written', (cert, key) => [cert, key.slice(0, 80)], '0.key', 'no END line'],
    [
      'a key with bytes of another',
      (cert, key) => [cert, key.replace(/^M.{20}/m, 'MIIIIIIIIIIIIIIIIIIII')],
      '0.key',
      'cannot be read',
    ],
  ];
  for (const [name, breakIt, file, reason] of broken) {
    test(`${name} is not used, the log says so once, and what follows is`, async () => {
      await using gateway = await TlsGateway.start([{ names }]);
      const next = await gateway.authority.issue({ names, toDays: 30 });
      const [cert, key] = breakIt(next.cert, next.key);
      const notUsed = gateway.log.next(NOT_USED);
      writePem(gateway.folder, '0', { cert, key });
      const line = await notUsed;
      assert.equal(line.fields.file, join(gateway.folder, file));
      assert.match(String(line.fields.reason), new RegExp(reason));
      await isShownValidForDays(gateway, 90);
      const inForce = gateway.log.next(IN_FORCE);
      writePem(gateway.folder, '0', next);
      await inForce;
      await isShownValidForDays(gateway, 30);
      assert.ok(!JSON.stringify(gateway.log.lines).includes(next.key.split('\n')[1]!), 'no key is logged');
    });
  }

  test('a certificate without its key is not used, nor a file that is gone', async () => {
    await using gateway = await TlsGateway.start([{ names }]);
    const next = await gateway.authority.issue({ names, toDays: 30 });
    const mismatch = gateway.log.next('the key is not the one of the certificate');
    writeFileSync(join(gateway.folder, '0.crt'), next.cert);
    await mismatch;
    const gone = gateway.log.next('ENOENT');
    rmSync(join(gateway.folder, '0.key'));
    await gone;
    await isShownValidForDays(gateway, 90);
    const inForce = gateway.log.next(IN_FORCE);
    writeFileSync(join(gateway.folder, '0.key'), next.key);
    await inForce;
    await isShownValidForDays(gateway, 30);
  });

  test('written bit by bit under load lose no connection and no request', async () => {
    await using gateway = await TlsGateway.start([{ names }]);
    let stopped = false;
    let answered = 0;
    const kept = Array.from({ length: 4 }, async () => {
      const client = await gateway.client('a.test');
      while (!stopped) {
        client.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
        assert.equal((await client.response()).status, 200);
        answered++;
      }
    });
    const fresh = Array.from({ length: 4 }, async () => {
      while (!stopped) {
        assert.equal((await gateway.get('a.test')).status, 200);
        answered++;
      }
    });
    for (let round = 0; round < 6; round++) {
      const next = await gateway.authority.issue({ names, toDays: 20 + round });
      const inForce = gateway.log.next(IN_FORCE);
      for (const [file, text] of [
        ['0.crt', next.cert],
        ['0.key', next.key],
      ] as const) {
        for (let size = 0; size < text.length; size += 97) {
          writeFileSync(join(gateway.folder, file), text.slice(0, size));
          await new Promise((resolve) => setImmediate(resolve));
        }
        writeFileSync(join(gateway.folder, file), text);
      }
      await inForce;
      await isShownValidForDays(gateway, 20 + round);
    }
    stopped = true;
    await Promise.all([...kept, ...fresh]);
    assert.ok(answered > 50, `${answered} requests`);
    assert.equal(gateway.handshakes.failed, 0);
  });
});

describe('a configuration with certificates', () => {
  test('is refused as a whole when one cannot be used, and the former goes on', async () => {
    await using gateway = await TlsGateway.start([{ names }]);
    await gateway.write('other', { names });
    const files = await gateway.write('new', { names });
    const certificates = [{ ...files, keyFile: join(gateway.folder, 'other.key') }];
    const answer = await gateway.harness.configure(withTls(gateway.config, { certificates }));
    assert.ok(answer.type === 'refused');
    assert.match(answer.reason, /listeners\.web\.tls: .*other\.key: the key is not the one of the certificate/);
    await isShownValidForDays(gateway, 90);
  });

  test('is in force when its own files are fine, though those that it kept are just being written', async () => {
    await using gateway = await TlsGateway.start([{ names }]);
    const notUsed = gateway.log.next(NOT_USED);
    writeFileSync(join(gateway.folder, '0.crt'), '');
    const answer = await gateway.harness.configure({ ...gateway.config, reportIntervalMs: 60 });
    assert.equal(answer.type, 'configured');
    await notUsed;
    await isShownValidForDays(gateway, 90);
  });

  test('may name other ones: the next connection is shown them, open ones go on', async () => {
    await using gateway = await TlsGateway.start([{ names }]);
    const open = await gateway.client('a.test');
    const certificates = [await gateway.write('b', { names: ['b.test'] })];
    const answer = await gateway.harness.configure(withTls(gateway.config, { certificates, minVersion: '1.3' }));
    assert.equal(answer.type, 'configured');
    const socket = await gateway.connect('b.test');
    assert.equal(shownTo(socket), 'b.test');
    socket.destroy();
    open.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    assert.equal((await open.response()).status, 200);
  });

  test('may change a listener from https to http and back, on the same port', async () => {
    await using gateway = await TlsGateway.start([{ names }]);
    const open = await gateway.client('a.test');
    const [listener] = gateway.config.listeners;
    const plain = { ...gateway.config, listeners: [{ ...listener!, protocol: 'http' as const, tls: null }] };
    assert.equal((await gateway.harness.configure(plain)).type, 'configured');
    const client = await gateway.harness.connect();
    client.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    assert.equal((await client.response()).status, 200);
    open.send('GET / HTTP/1.1\r\nHost: a.test\r\n\r\n');
    assert.equal((await open.response()).status, 200);
    assert.equal((await gateway.harness.configure(gateway.config)).type, 'configured');
    assert.equal((await gateway.get('a.test')).status, 200);
  });

  test('with a certificate that has expired serves it and warns', async () => {
    await using gateway = await TlsGateway.start([{ names, fromDays: -20, toDays: -10 }]);
    const warning = gateway.log.lines.find(({ message }) => message.includes('expired'));
    assert.equal(warning?.fields.file, join(gateway.folder, '0.crt'));
    const socket = await gateway.connect('a.test', { rejectUnauthorized: false });
    assert.equal(socket.authorizationError, 'CERT_HAS_EXPIRED');
    socket.destroy();
    await once(socket, 'close');
  });
});
