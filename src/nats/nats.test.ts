import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import { NatsConnection, type NatsOptions } from './nats-connection.ts';
import { connectFields, publicName, readCredentials } from './nats-credentials.ts';
import { NatsParser, type NatsMessage } from './nats-parser.ts';

/** A published pair of a seed and its public key. */
const SEED = 'SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU';

function parsed(chunks: readonly string[]): string[] {
  const seen: string[] = [];
  const parser = new NatsParser({
    onInfo: (info) => seen.push(`info ${JSON.stringify(info)}`),
    onMessage: (sid, { subject, reply, status, description, data }: NatsMessage) =>
      seen.push(`${sid} ${subject} ${reply} ${status} ${description} ${data.toString()}`),
    onPing: () => seen.push('ping'),
    onPong: () => seen.push('pong'),
    onError: (reason) => seen.push(`error ${reason}`),
  });
  for (const chunk of chunks) parser.execute(Buffer.from(chunk, 'latin1'));
  return seen;
}

describe('what a server says', () => {
  const text =
    'INFO {"a":1}\r\nPING\r\n+OK\r\nMSG a.b 1 5\r\nhel\r\n\r\nMSG a.b 2 re.ply 0\r\n\r\nPONG\r\n' +
    'HMSG in 3 16 16\r\nNATS/1.0 503\r\n\r\n\r\nHMSG in 3 to 42 44\r\nNATS/1.0 408 Request Timeout\r\nA: bcdef\r\n\r\nxy\r\n' +
    "-ERR 'Permissions Violation'\r\n";
  const said = [
    'info {"a":1}',
    'ping',
    '1 a.b  0  hel\r\n',
    '2 a.b re.ply 0  ',
    'pong',
    '3 in  503  ',
    '3 in to 408 Request Timeout xy',
    'error Permissions Violation',
  ];

  it('is read, however it is cut', () => {
    assert.deepEqual(parsed([text]), said);
    for (let size = 1; size < 12; size++)
      assert.deepEqual(parsed(text.match(new RegExp(`[^]{1,${size}}`, 'g'))!), said);
  });

  it('is refused when it is something else, or too large', () => {
    for (const [wrong, message] of [
      ['HTTP/1.1 400 Bad Request\r\n', /no NATS: it says "HTTP/],
      ['x'.repeat(70_000), /line does not end/],
      ['MSG a 1 99999999999\r\n', /too large/],
      ['MSG a 1 -5\r\n', /too large/],
      ['MSG a 1 x\r\n', /too large/],
      ['HMSG a 1 9 5\r\n', /too large/],
      ['INFO {\r\n', /JSON/],
    ] as const)
      assert.throws(() => parsed([wrong]), message);
  });
});

describe('credentials', () => {
  it('a seed, alone or with a JWT, signs the nonce', () => {
    const creds = `-----BEGIN NATS USER JWT-----\neyJ0.eyJq.c2ln\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${SEED}\n------END USER NKEY SEED------\n`;
    const login = readCredentials(creds);
    assert.deepEqual(login, { kind: 'key', jwt: 'eyJ0.eyJq.c2ln', seed: SEED });
    assert.match(connectFields(login, 'nonce')['sig']!, /^[\w-]{86}$/);
    assert.equal(connectFields(login, 'nonce')['jwt'], 'eyJ0.eyJq.c2ln');
    assert.equal(connectFields(readCredentials(` ${SEED}\n`), 'nonce')['nkey'], publicName(SEED));
    assert.match(publicName(SEED), /^U[A-Z2-7]{55}$/);
  });

  it('what is none, or damaged, is said to be', () => {
    assert.throws(() => readCredentials('hello'), /neither a user NKEY seed nor is one/);
    assert.throws(() => readCredentials(`${SEED.slice(0, -1)}A`), /damaged/);
  });
});

/** A server that says `greeting` to each, and keeps what it hears. */
async function server(greeting: string, answer: (heard: string, socket: net.Socket) => void) {
  const sockets = new Set<net.Socket>();
  const listening = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    socket.on('data', (chunk) => answer(chunk.toString(), socket));
    socket.write(greeting);
  });
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const { port } = listening.address() as net.AddressInfo;
  return {
    port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      listening.close();
      await once(listening, 'close');
    },
  };
}

function options(port: number, more: Partial<NatsOptions> = {}): NatsOptions {
  return {
    host: '127.0.0.1',
    port,
    tls: null,
    login: { kind: 'none' },
    name: 'test',
    connectMs: 200,
    onLost: () => {},
    ...more,
  };
}

const pong = (heard: string, socket: net.Socket): void => {
  for (const _ of heard.matchAll(/^PING\r\n/gm)) socket.write('PONG\r\n');
};

describe('connection', () => {
  it('a server that is silent is given up in time, and nothing is left open', async () => {
    await using silent = await server('', () => {});
    await assert.rejects(NatsConnection.open(options(silent.port)), /no connection within 200 ms/);
    await using halting = await server('INFO {}\r\n', () => {});
    await assert.rejects(NatsConnection.open(options(halting.port)), /no connection within 200 ms/);
    while (silent.sockets.size + halting.sockets.size > 0) await new Promise(setImmediate);
  });

  it('what the server refuses at the login is the reason', async () => {
    await using refusing = await server('INFO {}\r\n', (_, socket) =>
      socket.write("-ERR 'Authorization Violation'\r\n"),
    );
    await assert.rejects(NatsConnection.open(options(refusing.port)), /Authorization Violation/);
    await assert.rejects(NatsConnection.open(options(refusing.port, { tls: {} })), /offers no TLS/);
  });

  it('publishes what belongs to one turn in one write, and tells when it ends', async () => {
    const heard: string[] = [];
    await using talking = await server('INFO {}\r\n', (text, socket) => {
      heard.push(text);
      pong(text, socket);
    });
    const { promise, resolve } = Promise.withResolvers<Error>();
    const connection = await NatsConnection.open(options(talking.port, { onLost: resolve }));
    connection.publish('a', 'grüße');
    connection.publish('b', '', 'back', 'Nats-Msg-Id: 1\r\n');
    await connection.flush();
    assert.equal(heard[1], 'PUB a 7\r\ngrüße\r\nHPUB b back 28 28\r\nNATS/1.0\r\nNats-Msg-Id: 1\r\n\r\n\r\nPING\r\n');
    const asked = connection.request('c', '', 10_000);
    asked.catch(() => {});
    for (const socket of talking.sockets) socket.destroy();
    assert.match((await promise).message, /closed|reset/);
    await assert.rejects(asked, /closed|reset/);
    await assert.rejects(connection.flush(), /ended/);
    await assert.rejects(connection.request('c', '', 10), /ended/);
    connection.publish('a', 'nobody hears it');
    connection.close();
  });

  it('a request is answered, refused when nobody listens, and given up in time', async () => {
    await using talking = await server('INFO {}\r\n', (text, socket) => {
      pong(text, socket);
      const [, subject, reply] = /^PUB (\S+) (\S+) \d+\r\n/m.exec(text) ?? [];
      const sid = [...text.matchAll(/^SUB \S+ (\d+)\r\n/gm)].at(-1)?.[1];
      if (subject === 'yes') socket.write(`MSG ${reply} ${sid} 2\r\nok\r\n`);
      if (subject === 'no') socket.write(`HMSG ${reply} ${sid} 16 16\r\nNATS/1.0 503\r\n\r\n\r\n`);
    });
    const connection = await NatsConnection.open(options(talking.port));
    assert.equal((await connection.request('yes', '', 1000)).data.toString(), 'ok');
    await assert.rejects(connection.request('no', '', 1000), /no responders to no/);
    await assert.rejects(connection.request('silent', '', 50), /no answer from silent within 50 ms/);
    connection.close();
  });
});
