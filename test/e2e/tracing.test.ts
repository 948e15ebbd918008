/** Traces of running gateways, as an OTLP/HTTP receiver sees them; and receivers that do harm. */
import { strict as assert } from 'node:assert';
import net from 'node:net';
import { describe, it } from 'node:test';
import { ask } from './fixtures/client.ts';
import { backend, configuration } from './fixtures/configuration.ts';
import { Place, type Dormouse } from './fixtures/dormouse.ts';
import { OtlpReceiver, type ReceivedSpan } from './fixtures/otlp-receiver.ts';
import { until } from './fixtures/until.ts';

const BOUND = { timeout: 60_000 };
const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736';
const PARENT = '00f067aa0ba902b7';

function gateway(traces: Record<string, unknown>, backends: Record<string, object>, filters: object[] = []): string {
  return configuration({
    backends: backends as never,
    telemetry: { traces },
    routes: [{ name: 'all', rules: [{ filters, backends: [{ name: Object.keys(backends)[0]! }] }] }],
  });
}

async function counted(dormouse: Dormouse, name: string): Promise<number> {
  const { body } = await ask(await dormouse.port('observe'), '/metrics');
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(body)?.[1] ?? 'NaN');
}

describe('traces', { concurrency: 2 }, () => {
  it('go on through two gateways, from the span of the client to the wait for the application', BOUND, async () => {
    await using receiver = await OtlpReceiver.start();
    const otlp = { otlp: receiver.url, headers: { authorization: 'Bearer of-the-receiver' } };
    const second = new Place(
      gateway({ ...otlp, samplePercent: 0, serviceName: 'second' }, { app: backend() }, [
        { requestHeaders: { set: { 'x-by': 'second' } } },
        { responseHeaders: { set: { 'x-also': 'second' } } },
      ]),
    );
    await using _second = second;
    const inner = await second.start().up();
    const first = new Place(
      gateway(
        { ...otlp, samplePercent: 0, serviceName: 'first' },
        { second: { servers: [`http://127.0.0.1:${await inner.port()}`] } },
      ),
    );
    await using _first = first;
    const outer = await first.start().up();

    const headers = { traceparent: `00-${TRACE}-${PARENT}-01`, tracestate: 'vendor=1' };
    const answer = await ask(await outer.port(), { path: '/headers', headers });
    assert.equal(answer.status, 200, answer.body);
    assert.equal(answer.headers['server-timing'], undefined);
    const told = JSON.parse(answer.body) as Record<string, string>;
    // Not sampled, neither by a client nor by chance: passed on as it is, and told to nobody.
    const other = '00-11111111111111111111111111111111-2222222222222222-00';
    assert.equal(
      (
        JSON.parse(
          (await ask(await outer.port(), { path: '/headers', headers: { traceparent: other } })).body,
        ) as Record<string, string>
      ).traceparent,
      other,
    );

    const servers = await until('both gateways have told', () => {
      const found = receiver.spans.filter(({ kind }) => kind === 2);
      return found.length === 2 && found;
    });
    assert.deepEqual([...new Set(receiver.spans.map(({ traceId }) => traceId))], [TRACE]);
    assert.deepEqual([...receiver.paths], ['/v1/traces']);
    assert.equal(receiver.authorization, 'Bearer of-the-receiver');
    const of = (service: string): { server: ReceivedSpan; parts: ReceivedSpan[] } => {
      const server = servers.find((span) => span.service === service)!;
      return { server, parts: receiver.spans.filter(({ parentSpanId }) => parentSpanId === server.spanId) };
    };
    const before = of('first');
    const behind = of('second');
    const names = (parts: ReceivedSpan[]): string[] => parts.map(({ name }) => name);
    const waitOf = (parts: ReceivedSpan[]): ReceivedSpan => parts.find(({ kind }) => kind === 3)!;

    assert.equal(before.server.parentSpanId, PARENT);
    assert.equal(before.server.name, 'GET all');
    assert.deepEqual(
      names(before.parts).filter((name) => name !== 'second'),
      [...['accept', 'balance', 'connect', 'first byte', 'body']],
    );
    assert.equal(behind.server.parentSpanId, waitOf(before.parts).spanId);
    assert.deepEqual(names(behind.parts), [
      ...['accept', 'filter requestHeaders', 'wake', 'balance', 'connect', 'first byte'],
      ...['response filter responseHeaders', 'body'],
    ]);
    // What the application is told is the span that waits for it.
    assert.equal(told.traceparent, `00-${TRACE}-${waitOf(behind.parts).spanId}-01`);
    assert.equal(told.tracestate, 'vendor=1');
    assert.equal(new Set(receiver.spans.map(({ spanId }) => spanId)).size, receiver.spans.length);
    for (const { server, parts } of [before, behind]) {
      for (const { name, fromMs, toMs } of parts) {
        assert.ok(toMs >= fromMs, name);
        if (name !== 'accept') assert.ok(fromMs >= server.fromMs - 0.01 && toMs <= server.toMs + 0.01, name);
      }
    }
    const { attributes } = behind.server;
    assert.deepEqual(
      ['http.request.method', 'url.path', 'http.route', 'dormouse.backend', 'dormouse.cold_start'].map(
        (key) => attributes[key],
      ),
      ['GET', '/headers', 'all', 'app', true],
    );
    assert.equal(Number(attributes['http.response.status_code']), 200);
    await until('it is counted', async () => (await counted(inner, 'dormouse_traces_exported_total')) === 1);
  });

  it('begin where the client has none, for the share that is configured', BOUND, async () => {
    await using receiver = await OtlpReceiver.start();
    const place = new Place(gateway({ otlp: receiver.url, samplePercent: 100 }, { app: backend() }));
    await using _ = place;
    const up = await place.start().up();
    const { body } = await ask(await up.port(), '/headers');
    const [, traceId, spanId] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-01$/.exec(
      (JSON.parse(body) as Record<string, string>).traceparent!,
    )!;
    const wait = await until('it is told', () => receiver.spans.find((span) => span.spanId === spanId));
    assert.equal(wait.traceId, traceId);
    assert.equal(wait.service, 'dormouse');
    assert.equal(receiver.spans.find(({ kind }) => kind === 2)!.parentSpanId, '');
  });

  it('a request that is refused has its trace as well', BOUND, async () => {
    await using receiver = await OtlpReceiver.start();
    const place = new Place(
      gateway({ otlp: receiver.url, samplePercent: 100 }, { app: backend() }, [{ validate: { methods: ['POST'] } }]),
    );
    await using _ = place;
    const up = await place.start().up();
    assert.equal((await ask(await up.port())).status, 405);
    const server = await until('it is told', () => receiver.spans.find(({ kind }) => kind === 2));
    assert.equal(Number(server.attributes['http.response.status_code']), 405);
    assert.equal(server.attributes['dormouse.outcome'], 'filter');
    const parts = receiver.spans.filter(({ parentSpanId }) => parentSpanId === server.spanId);
    assert.deepEqual(
      parts.map(({ name }) => name),
      ['accept', 'filter validate'],
    );
    assert.equal((await up.backend('app')).phase, 'asleep');
  });

  it('a receiver that refuses harms no request, and is counted and told once', BOUND, async () => {
    await using receiver = await OtlpReceiver.start();
    receiver.status = 400;
    const url = new URL(receiver.url);
    url.username = 'name';
    url.password = 'secret-of-ours';
    const place = new Place(gateway({ otlp: url.href, samplePercent: 100 }, { app: backend() }));
    await using _ = place;
    const up = await place.start().up();
    for (let i = 0; i < 20; i++) assert.equal((await ask(await up.port())).status, 200);
    await until('they are counted', async () => (await counted(up, 'dormouse_traces_failed_total')) > 0);
    const line = await up.line(/traces cannot be exported/);
    assert.doesNotMatch(JSON.stringify(line), /secret-of-ours/);
    assert.equal(await up.stop(), 0);
    assert.equal(up.log.filter(({ msg }) => msg === 'traces cannot be exported').length, 1);
  });

  it('a receiver that is down, or never answers, harms no request and no end', BOUND, async () => {
    await using receiver = await OtlpReceiver.start();
    receiver.status = 0;
    const down = net.createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => down.once('listening', resolve));
    const { port } = down.address() as net.AddressInfo;
    await new Promise((resolve) => down.close(resolve));
    for (const url of [receiver.url, `http://127.0.0.1:${port}`]) {
      const place = new Place(gateway({ otlp: url, samplePercent: 100 }, { app: backend() }));
      await using _ = place;
      const up = await place.start().up();
      for (let i = 0; i < 20; i++) assert.equal((await ask(await up.port())).status, 200);
      if (url === receiver.url) await until('it was asked', () => receiver.requests > 0);
      const since = performance.now();
      assert.equal(await up.stop(), 0);
      assert.ok(performance.now() - since < 5000, `it ended after ${Math.round(performance.now() - since)} ms`);
      assert.deepEqual(place.leftovers(), []);
    }
  });
});
