import assert from 'node:assert/strict';
import { connect as connectHttp2 } from 'node:http2';
import type { ClientHttp2Session, IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http2';
import { afterEach, describe, it } from 'node:test';
import { backendConfig, gatewayConfig, GatewayHarness } from '../../fixtures/gateway-harness.ts';
import { ok, RawBackend } from '../../fixtures/raw-backend.ts';
import type { RawRequest } from '../../fixtures/raw-backend.ts';

const open: { close(): Promise<void> | void }[] = [];

async function serve(answer: (request: RawRequest, index: number) => void, awake = true) {
  const backend = await RawBackend.start(answer);
  const harness = await GatewayHarness.start(gatewayConfig([backendConfig('app')]));
  open.push(harness, backend);
  if (awake) harness.update('app', [{ port: backend.port }]);
  const session = connectHttp2(`http://127.0.0.1:${harness.port}`);
  session.on('error', () => {});
  open.unshift({ close: () => session.destroy() });
  return { backend, harness, session };
}

interface Answer {
  headers: IncomingHttpHeaders & { ':status'?: number };
  body: string;
  trailers: IncomingHttpHeaders;
}

function ask(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === undefined });
    const answer: Answer = { headers: {}, body: '', trailers: {} };
    stream.on('response', (received) => (answer.headers = received));
    stream.on('trailers', (received) => (answer.trailers = received));
    stream.on('data', (chunk: Buffer) => (answer.body += chunk.toString('latin1')));
    stream.on('error', reject);
    stream.on('end', () => resolve(answer));
    if (body !== undefined) stream.end(body);
  });
}

describe('HTTP/2 clients', () => {
  afterEach(async () => {
    for (const part of open.splice(0)) await part.close();
  });

  it('are answered, head and body, many at once', async () => {
    const { session, harness, backend } = await serve((request) =>
      request.socket.write(ok(request.target, 'X-A: b\r\n')),
    );
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, i) => ask(session, { ':path': `/${i}`, 'x-mine': 'yes', cookie: 'a=1; b=2' })),
    );
    for (const [i, answer] of answers.entries()) {
      assert.equal(answer.headers[':status'], 200);
      assert.equal(answer.headers['x-a'], 'b');
      assert.equal(answer.body, `/${i}`);
    }
    const { head } = backend.requests[0]!;
    assert.match(head, /^GET \/\d+ HTTP\/1\.1\r\n/);
    assert.match(head, new RegExp(`\r\nhost: 127.0.0.1:${harness.port}\r\n`));
    assert.match(head, /\r\nx-mine: yes\r\n/);
    assert.match(head, /\r\ncookie: a=1; b=2\r\n/);
    assert.equal(harness.log.length, 200);
    assert.equal(harness.log[0]!.outcome, '');
  });

  it('are held while the backend wakes, with their bodies', async () => {
    const { session, harness, backend } = await serve(
      (request) =>
        void request
          .bodyUntil((body) => body.endsWith('0\r\n\r\n'))
          .then((body) => request.socket.write(ok(body.replaceAll(/[^x]/g, '')))),
      false,
    );
    const body = 'x'.repeat(300_000);
    const answer = ask(session, { ':path': '/', ':method': 'POST' }, body);
    await harness.nextOf('wake');
    harness.update('app', [{ port: backend.port }]);
    assert.equal((await answer).body.length, body.length);
  });
});
