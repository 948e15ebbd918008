/** The examples of docs/protocols.md as they stand there, but for ports and programs: all of it begins asleep. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import tls from 'node:tls';
import { WebSocket } from 'ws';
import { parse } from 'yaml';
import { Authority } from '../../src/gateway/fixtures/certificates.ts';
import { RawClient } from './fixtures/client.ts';
import { Place, type Dormouse } from './fixtures/dormouse.ts';
import { until } from './fixtures/until.ts';

const BOUND = { timeout: 60_000 };
const APPLICATION = new URL('./fixtures/stream-application.mjs', import.meta.url).pathname;

interface Example {
  listeners?: { name: string; address: string }[];
  backends: Record<string, { process: { command: string[] }; scale?: { idleAfter: string } }>;
  routes?: object[];
}

const page = readFileSync(new URL('../../docs/protocols.md', import.meta.url), 'utf8');
const examples = [...page.matchAll(/^```yaml\n([^]*?)^```$/gm)].map((match) => parse(match[1]!) as Example);

describe('docs/protocols.md', () => {
  let place: Place;
  let up: Dormouse;
  let authority: Authority;

  before(async () => {
    const [http, tcp, passed] = examples as [Example, Example, Example];
    authority = await Authority.create();
    const { cert, key } = await authority.issue({ names: ['in.mail.example'] });
    place = new Place('');
    writeFileSync(join(place.path, 'cert.pem'), cert);
    writeFileSync(join(place.path, 'key.pem'), key);
    const run = (...words: string[]): string[] => [process.execPath, APPLICATION, ...words];
    http.backends['chat']!.process.command = run('http');
    http.backends['chat']!.scale!.idleAfter = '500ms';
    tcp.backends['cache']!.process.command = run('tcp');
    tcp.backends['cache']!.scale!.idleAfter = '500ms';
    passed.backends['mail']!.process.command = run('tls', 'cert.pem', 'key.pem');
    const listeners = [{ name: 'web', address: '' }, ...tcp.listeners!, ...passed.listeners!];
    for (const listener of listeners) listener.address = '127.0.0.1:0';
    const log = { accessLog: { format: 'json', file: 'access.log' } };
    place.write(
      JSON.stringify({
        workers: 1,
        listeners,
        backends: { ...http.backends, ...tcp.backends, ...passed.backends },
        routes: [...http.routes!.map((route) => ({ ...route, listeners: ['web'] })), ...passed.routes!],
        observe: { address: '127.0.0.1:0' },
        telemetry: log,
      }),
    );
    up = await place.start().up();
  });

  after(async () => {
    await place[Symbol.asyncDispose]();
  });

  it('a WebSocket wakes its backend and keeps it awake; asleep by command it is told 1001', BOUND, async () => {
    const client = new WebSocket(`ws://127.0.0.1:${await up.port()}/`);
    await once(client, 'open');
    client.send('hello');
    const [data] = await once(client, 'message');
    assert.equal(String(data), 'hello');
    const awake = await up.backendWhen('chat', 'kept awake', ({ demand }) => demand.tunnels === 1);
    await until('twice its idle time has passed', () => Date.now() - awake.sinceMs > 1000);
    assert.equal((await up.backend('chat')).phase, 'awake');
    const closed = once(client, 'close');
    const slept = await place.run('sleep', 'chat');
    assert.equal(slept.code, 0, slept.stderr);
    assert.equal((await closed)[0], 1001);
    assert.ok((await up.logs('chat')).includes('closed with 1001'));
  });

  it(
    'an event stream: held, told to try again, resumed by Last-Event-ID, ended when the client leaves',
    BOUND,
    async () => {
      const request = http.get({
        host: '127.0.0.1',
        port: await up.port(),
        path: '/events',
        headers: { 'last-event-id': '41' },
      });
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      assert.equal(response.headers['x-cold-start'], 'true');
      let text = '';
      response.setEncoding('utf8').on('data', (part: string) => (text += part));
      await until('two events', () => /id: 43\ndata: from \d+\n\n/.test(text));
      assert.match(text, /^retry: 2000\n\nid: 42\n/);
      request.destroy();
      await until('the application knows', async () => (await up.logs('chat')).includes('a listener left'));
      await up.phase('chat', 'asleep');
    },
  );

  it('a TCP connection wakes its backend, keeps it awake, and lets it sleep', BOUND, async () => {
    using client = await RawClient.connect(await up.port('redis'));
    await client.until(/^hello\n$/);
    client.send('ping');
    await client.until(/ping$/);
    await up.backendWhen('cache', 'kept awake', ({ demand }) => demand.tunnels === 1);
    client.destroy();
    await up.phase('cache', 'asleep');
    const line = await until('its line in the access log', () =>
      readFileSync(join(place.path, 'access.log'), 'utf8')
        .split('\n')
        .find((each) => each.includes('"backend":"cache"')),
    );
    const { protocol, outcome, coldStart } = JSON.parse(line) as Record<string, unknown>;
    assert.deepEqual([protocol, outcome, coldStart], ['tcp', 'tunnel', true]);
  });

  it('TLS goes through by its name, and wakes its backend', BOUND, async () => {
    const port = await up.port('secure');
    const client = tls.connect({ host: '127.0.0.1', port, servername: 'in.mail.example', ca: authority.pem });
    let text = '';
    client.setEncoding('utf8').on('data', (part: string) => (text += part));
    await once(client, 'secureConnect');
    assert.equal(client.authorized, true);
    client.write('sealed');
    await until('an echo', () => text === 'hello\nsealed');
    client.destroy();
    const stranger = tls.connect({ host: '127.0.0.1', port, servername: 'other.example', ca: authority.pem });
    const [error] = (await once(stranger, 'error')) as [NodeJS.ErrnoException];
    assert.equal(error.code, 'ECONNRESET');
    const silent = net.connect(port, '127.0.0.1');
    await once(silent, 'connect');
    silent.destroy();
  });
});
