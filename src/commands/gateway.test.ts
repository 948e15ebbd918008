/** `dormouse gateway` as a process of its own, with an operator at the other end of a real link. */
import { freePort } from '../model/free-port.fixture.ts';
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { backendConfig, gatewayConfig, listenerConfig, RawClient } from '../gateway/fixtures/gateway-harness.ts';
import { ok, RawBackend } from '../gateway/fixtures/raw-backend.ts';
import { serveLinks, type LinkServer } from '../link/grpc-server.ts';
import type { Link } from '../link/link.ts';
import type { DownMessage, UpMessage } from '../link/messages.ts';
import { silentLogger } from '../model/ports.ts';
import { issueClient, issueOperator, renewedAuthority, trustBundle } from '../tls/authority.ts';

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

interface Certificates {
  operator: { ca: string; cert: string; key: string };
  gateway: { 'ca.crt': string; 'tls.crt': string; 'tls.key': string };
}

async function certificates(): Promise<Certificates> {
  const nowMs = Date.now();
  const authority = await renewedAuthority([], nowMs);
  const ca = trustBundle(authority);
  const { cert, key } = await issueClient(authority, 'gateway', nowMs);
  return {
    operator: { ca, ...(await issueOperator(authority, ['localhost'], nowMs)) },
    gateway: { 'ca.crt': ca, 'tls.crt': cert, 'tls.key': key },
  };
}

/** As the kubelet does it with a Secret: a new folder, and a link to it that is changed at once. */
class SecretFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'dormouse-gateway-'));
  #version = 0;

  constructor() {
    closing.push(() => rmSync(this.path, { recursive: true }));
  }

  write(files: Record<string, string>): void {
    const folder = `..v${++this.#version}`;
    mkdirSync(join(this.path, folder));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.path, folder, name), text);
    symlinkSync(folder, join(this.path, '..new'));
    renameSync(join(this.path, '..new'), join(this.path, '..data'));
    if (this.#version > 1) return;
    for (const name of Object.keys(files)) symlinkSync(join('..data', name), join(this.path, name));
  }
}

/** A leader that sends one configuration, and says of the backend what the test wants. */
class Operator extends EventEmitter {
  readonly got: UpMessage[] = [];
  link: Link<DownMessage, UpMessage> | null = null;
  server!: LinkServer;
  names: string[] = [];

  static async start(
    port: number,
    credentials: Certificates['operator'],
    greeted: (link: Link<DownMessage, UpMessage>) => void,
  ): Promise<Operator> {
    const operator = new Operator();
    operator.server = await serveLinks({
      address: { host: '127.0.0.1', port },
      credentials,
      logger: silentLogger,
      onLink: (id, link) => {
        operator.names.push(id);
        operator.link = link;
        link.send({ type: 'role', leader: true, term: 0 });
        link.onMessage((message) => {
          operator.got.push(message);
          if (message.type === 'hello') greeted(link);
          operator.emit('message');
        });
      },
    });
    closing.push(() => operator.server.close());
    return operator;
  }

  async heard(type: UpMessage['type']): Promise<void> {
    while (!this.got.some((message) => message.type === type)) await once(this, 'message');
  }
}

function spawnGateway(args: string[]): { child: ChildProcess; log: () => string; logged(part: string): Promise<void> } {
  const child = spawn(process.execPath, ['--no-warnings', MAIN, 'gateway', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, HOSTNAME: 'gateway-1' },
  });
  closing.push(
    () => child.exitCode === null && child.signalCode === null && (child.kill('SIGKILL'), once(child, 'exit')),
  );
  let text = '';
  const read = new EventEmitter();
  child.stderr!.on('data', (chunk) => {
    text += chunk;
    read.emit('more');
  });
  return {
    child,
    log: () => text,
    logged: async (part) => {
      while (!text.includes(part)) await once(read, 'more');
    },
  };
}

async function get(port: number, path: string): Promise<{ status: number; body: string }> {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  return { status: response.status, body: await response.text() };
}

describe('dormouse gateway', () => {
  it('waits for its certificates, serves, outlives its operator, and leaves without losing anything', async () => {
    const [linkPort, observePort, port] = [await freePort(), await freePort(), await freePort()];
    let finish: () => void = () => {};
    const arrived = new EventEmitter();
    const backend = await RawBackend.start((request) => {
      if (request.target !== '/slow') return void request.socket.write(ok(request.target));
      finish = () => request.socket.write(ok('slow'));
      arrived.emit('slow');
    });
    closing.push(() => backend.close());
    const greeted = (link: Link<DownMessage, UpMessage>): void => {
      const listener = listenerConfig({ address: { host: '127.0.0.1', port } });
      link.send({
        type: 'configure',
        version: 1,
        config: gatewayConfig([backendConfig('app')], { listeners: [listener] }),
      });
      link.send({
        type: 'backend',
        backend: 'app',
        version: 1,
        phase: 'awake',
        endpoints: [{ id: 'app-1', host: '127.0.0.1', port: backend.port, weight: 1, state: 'ready' }],
        crash: null,
        wakingSinceMs: 0,
      });
    };
    const first = await certificates();
    const operator = await Operator.start(linkPort, first.operator, greeted);
    const folder = new SecretFolder();
    const { child, logged, log } = spawnGateway([
      ...['--operator', `localhost:${linkPort}`, '--certificates', folder.path],
      ...['--observe', `127.0.0.1:${observePort}`, '--delay', '500ms', '--drain', '20s'],
    ]);
    const exited = once(child, 'exit');
    await logged('ca.crt: it is not there');
    assert.deepEqual(await get(observePort, '/readyz'), {
      status: 503,
      body: 'not ready\n- no operator has sent a configuration yet\n',
    });
    assert.equal((await get(observePort, '/livez')).status, 200);
    folder.write(first.gateway);
    await operator.heard('applied');
    assert.deepEqual(operator.names, ['gateway-1']);
    assert.equal((await get(observePort, '/readyz')).status, 200);
    assert.equal((await get(port, '/one')).body, '/one');

    // The operator is gone; another one comes, with another authority, and the Secret is changed to it.
    await operator.server.close();
    assert.equal((await get(port, '/two')).body, '/two');
    assert.equal((await get(observePort, '/readyz')).status, 200);
    const second = await certificates();
    const next = await Operator.start(linkPort, second.operator, greeted);
    folder.write(second.gateway);
    await next.heard('applied');
    const metrics = (await get(observePort, '/metrics')).body;
    assert.match(metrics, /^dormouse_requests_total\{.*route="app".*\} 2$/m);
    assert.match(metrics, /^dormouse_link_leader 1$/m);
    assert.match(metrics, /^dormouse_link_leader_changes_total 1$/m);
    assert.match(metrics, /^dormouse_process_resident_memory_bytes\{role="gateway"\} \d+$/m);

    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const slow = new RawClient(socket);
    slow.send('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(arrived, 'slow');
    child.kill('SIGTERM');
    await next.heard('leaving');
    assert.deepEqual(await get(observePort, '/readyz'), { status: 503, body: 'not ready\n- it is leaving\n' });
    // Whoever has not heard yet that it leaves is served.
    assert.equal((await get(port, '/three')).body, '/three');
    // Then nobody is accepted any more, and what was accepted is finished.
    await assert.rejects(async () => {
      for (;;) {
        const late = connect({ port, host: '127.0.0.1' });
        await once(late, 'connect');
        late.destroy();
      }
    });
    assert.equal(child.exitCode, null);
    finish();
    assert.equal((await slow.response()).body, 'slow');
    assert.deepEqual(await exited, [0, null]);
    assert.doesNotMatch(log(), /PRIVATE KEY/);
  });

  it('ends at once when it is told twice', async () => {
    const folder = new SecretFolder();
    const { child, logged } = spawnGateway([
      ...['--operator', `localhost:${await freePort()}`, '--certificates', folder.path],
      ...['--observe', '127.0.0.1:0', '--delay', '10m', '--drain', '1h'],
    ]);
    await logged('ca.crt: it is not there');
    child.kill('SIGTERM');
    await logged('leaving');
    child.kill('SIGTERM');
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });

  it('says what is wrong with its flags, and ends with 2', async () => {
    const { child, log } = spawnGateway(['--certificates', '/nowhere']);
    const [code] = await once(child, 'close');
    assert.equal(code, 2);
    assert.match(log(), /--operator is missing: an address such as dormouse-operator/);
    assert.doesNotMatch(log(), / at /);
  });

  it('says that it cannot observe where another program listens, and ends with 1', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    closing.push(() => taken.close());
    const { child, log } = spawnGateway([
      ...['--operator', 'localhost:1', '--certificates', '/nowhere'],
      ...['--observe', `127.0.0.1:${(taken.address() as { port: number }).port}`],
    ]);
    const [code] = await once(child, 'close');
    assert.equal(code, 1);
    assert.match(log(), /EADDRINUSE/);
  });
});
