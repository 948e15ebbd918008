import assert from 'node:assert/strict';
import { connect as connectTls } from 'node:tls';
import { after, describe, it } from 'node:test';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import { silentLogger, type Logger } from '../model/ports.ts';
import { issueOperator, renewedAuthority, trustBundle } from '../tls/authority.ts';
import { linkCertificates, SERVER_NAME } from './fixtures/link-certificates.ts';
import { startRelay, type Relay } from './fixtures/relay.ts';
import { dialLink, type DialOptions } from './grpc-client.ts';
import type { LinkCredentials } from './grpc-link.ts';
import { serveLinks, type LinkServer, type ServeLinksOptions } from './grpc-server.ts';
import { linkContract, scriptedGateway } from './link.contract.ts';
import type { Link } from './link.ts';
import type { DownMessage, UpMessage } from './messages.ts';

type OperatorEnd = Link<DownMessage, UpMessage>;
const certificates = await linkCertificates();
const opened: (LinkServer | Relay)[] = [];
after(() => Promise.all(opened.map((one) => one.close())));

async function serve(
  more: Partial<ServeLinksOptions> = {},
): Promise<{ server: LinkServer; next(): Promise<OperatorEnd> }> {
  const arrived: OperatorEnd[] = [];
  const waiting: ((link: OperatorEnd) => void)[] = [];
  const server = await serveLinks({
    address: { host: '127.0.0.1', port: 0 },
    credentials: certificates.operator,
    logger: silentLogger,
    onLink: (_id, link) => {
      const wanted = waiting.shift();
      if (wanted === undefined) arrived.push(link);
      else wanted(link);
    },
    ...more,
  });
  opened.push(server);
  const next = async (): Promise<OperatorEnd> => arrived.shift() ?? new Promise((resolve) => waiting.push(resolve));
  return { server, next };
}

function dial(port: number, more: Partial<DialOptions> = {}): ReturnType<typeof dialLink> {
  return dialLink({
    address: { host: '127.0.0.1', port },
    serverName: SERVER_NAME,
    credentials: certificates.gateway,
    gateway: 'gateway-1',
    logger: silentLogger,
    signal: new AbortController().signal,
    ...more,
  });
}

linkContract('grpc over mutual TLS', async () => {
  const { server, next } = await serve();
  const relay = await startRelay(server.address.port);
  opened.push(relay);
  const gateway = await dial(relay.port);
  scriptedGateway(gateway);
  const farClosed = new Promise<void>((resolve) => gateway.onClose(resolve));
  return { near: await next(), crash: () => relay.cut(), farClosed };
});

const closeOf = (link: { onClose(handler: () => void): void }): Promise<void> =>
  new Promise((resolve) => link.onClose(resolve));

describe('a link over gRPC', () => {
  it('notices at both ends that the other one is silent', async () => {
    const keepAlive = { pingMs: 50, timeoutMs: 100 };
    const { server, next } = await serve({ keepAlive });
    const relay = await startRelay(server.address.port);
    opened.push(relay);
    const gateway = await dial(relay.port, { keepAlive });
    const operator = await next();
    relay.silence();
    await Promise.all([closeOf(gateway), closeOf(operator)]);
    assert.equal(server.links, 0);
  });

  it('gives up when an operator accepts and says nothing', async () => {
    const { server } = await serve();
    const relay = await startRelay(server.address.port);
    opened.push(relay);
    const pending = dial(relay.port, { connectMs: 300 });
    while (relay.connections === 0) await new Promise(setImmediate);
    relay.silence();
    await assert.rejects(pending, { code: 'DORMOUSE_LINK_UNREACHABLE', message: /did not answer within 300 ms/ });
  });

  it('says why there is no link: nobody listens, another name, another authority', async () => {
    const { server } = await serve();
    const gone = await serve();
    await gone.server.close();
    await assert.rejects(dial(gone.server.address.port), {
      code: 'DORMOUSE_LINK_UNREACHABLE',
      message: /ECONNREFUSED/,
    });
    const { port } = server.address;
    await assert.rejects(dial(port, { serverName: 'another.example.com' }), { message: /altnames|Host:/ });
    const other = await linkCertificates();
    await assert.rejects(dial(port, { credentials: other.gateway }), { code: 'DORMOUSE_LINK_UNREACHABLE' });
    await assert.rejects(dial(port, { credentials: { ...certificates.gateway, ca: other.operator.ca } }), {
      code: 'DORMOUSE_LINK_UNREACHABLE',
      message: /certificate/,
    });
  });

  it('gives up at once when it is told to', async () => {
    const { server } = await serve();
    await assert.rejects(dial(server.address.port, { signal: AbortSignal.abort() }), { message: /given up/ });
    const controller = new AbortController();
    const pending = dial(server.address.port, { signal: controller.signal });
    controller.abort();
    await assert.rejects(pending, { message: /given up/ });
  });

  it('lets in gateways only', async () => {
    const lines: string[] = [];
    const logger: Logger = {
      ...silentLogger,
      warn: (message, { reason } = {}) => void lines.push(`${message}: ${reason}`),
    };
    const { server } = await serve({ logger });
    const { port } = server.address;
    // An operator's certificate is of the same authority, but not for clients.
    await assert.rejects(dial(port, { credentials: certificates.operator }), { code: 'DORMOUSE_LINK_UNREACHABLE' });
    await assert.rejects(dial(port, { gateway: 'a b' }), {
      code: 'DORMOUSE_LINK_REFUSED',
      message: /must be the gateway's name/,
    });
    assert.equal(lines.length, 1);
    // Without any certificate the handshake ends.
    const socket = connectTls({
      port,
      host: '127.0.0.1',
      servername: SERVER_NAME,
      ca: certificates.gateway.ca as string,
      ALPNProtocols: ['h2'],
    });
    socket.on('error', () => {});
    socket.resume();
    await new Promise((resolve) => socket.on('close', resolve));
    assert.equal(server.links, 0);
  });

  it('uses new certificates for new handshakes and keeps the links that are there', async () => {
    const { server, next } = await serve();
    const { port } = server.address;
    const first = await dial(port);
    const atOperator = await next();
    const renewed = await linkCertificates();
    server.setCredentials(renewed.operator);
    const second = await dial(port, { credentials: renewed.gateway });
    await next();
    await assert.rejects(dial(port), { code: 'DORMOUSE_LINK_UNREACHABLE' });
    scriptedGateway(first);
    const answered = new Promise<UpMessage>((resolve) => atOperator.onMessage(resolve));
    atOperator.send({ type: 'configure', version: 8, config: {} as never });
    assert.deepEqual(await answered, { type: 'configured', version: 8 });
    assert.equal(server.links, 2);
    for (const link of [first, second]) link.close();
  });

  it('goes over to another authority without a moment in which somebody is not trusted', async () => {
    const { server } = await serve();
    const { port } = server.address;
    const wallMs = Date.now();
    const authority = await renewedAuthority([], wallMs - 8 * 365 * 86_400_000);
    const two = await renewedAuthority(authority, wallMs);
    assert.equal(two.length, 2);
    const former = await linkCertificates(wallMs, authority);
    server.setCredentials({ ca: trustBundle(two), ...(await issueOperator(two, [SERVER_NAME], wallMs)) });
    // A gateway that has not been given the new bundle yet, and one that has.
    (await dial(port, { credentials: former.gateway })).close();
    (await dial(port, { credentials: (await linkCertificates(wallMs, two)).gateway })).close();
  });

  it('keeps what it has when it is given certificates that cannot be used', async () => {
    const { server, next } = await serve();
    const broken: LinkCredentials = { ...certificates.operator, key: certificates.gateway.key };
    assert.throws(() => server.setCredentials(broken), { code: 'DORMOUSE_LINK_CREDENTIALS' });
    await assert.rejects(dial(server.address.port, { credentials: { ...certificates.gateway, key: 'none' } }), {
      code: 'DORMOUSE_LINK_CREDENTIALS',
    });
    (await dial(server.address.port)).close();
    await next();
    await assert.rejects(serve({ credentials: broken }), { code: 'DORMOUSE_LINK_CREDENTIALS' });
    await assert.rejects(serve({ address: server.address }), { code: 'DORMOUSE_LINK_ADDRESS' });
  });

  it('closes when the other end does not read: what waits is bounded', async () => {
    const { server, next } = await serve();
    const relay = await startRelay(server.address.port);
    opened.push(relay);
    await dial(relay.port);
    const operator = await next();
    relay.silence();
    const closed = closeOf(operator);
    let sent = 0;
    let isOpen = true;
    void closed.then(() => (isOpen = false));
    const config = { padding: 'x'.repeat(8_000_000) } as unknown as never;
    while (isOpen && sent < 20) {
      operator.send({ type: 'configure', version: ++sent, config });
      await new Promise(setImmediate);
    }
    await closed;
    assert.ok(sent <= 10, `${sent} messages of 8 MB`);
  });

  it('ignores what it does not know and closes on what is no message', async () => {
    const { server, next } = await serve();
    const gateway = await dial(server.address.port);
    const operator = await next();
    const got: string[] = [];
    operator.onMessage((message) => got.push(message.type));
    gateway.send({ type: 'dance' } as never);
    gateway.send({ type: 'configured', version: 1 });
    gateway.send({ type: 'demand', windows: [3] } as never);
    const closed = closeOf(operator);
    gateway.close();
    await closed;
    assert.deepEqual(got, ['configured']);
  });

  it('tells the other end, too, when it closes on what is no frame', async () => {
    const { server, next } = await serve();
    const { port } = server.address;
    const { ca, cert, key } = certificates.gateway;
    const client = new Client(
      `127.0.0.1:${port}`,
      credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert)),
      { 'grpc.ssl_target_name_override': SERVER_NAME },
    );
    const metadata = new Metadata();
    metadata.set('dormouse-gateway', 'g');
    metadata.set('dormouse-link-version', '1');
    const same = (frame: Buffer): Buffer => frame;
    const call = client.makeBidiStreamRequest('/dormouse.link.v1.Link/Attach', same, same, metadata);
    const operator = await next();
    const ended = new Promise<{ code: number }>((resolve) => call.once('error', resolve as never));
    call.resume();
    call.write(Buffer.from([0xff, 0xff]));
    await closeOf(operator);
    assert.equal((await ended).code, 8);
    client.close();
  });

  it('closes its links when the server closes', async () => {
    const { server, next } = await serve();
    const gateway = await dial(server.address.port);
    await next();
    const closed = closeOf(gateway);
    await server.close();
    await closed;
  });
});
