import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { silentLogger, systemClock } from '../model/ports.ts';
import { createClient, type ApiClient } from './api-client.ts';
import { FakeServer, json, status, type Asking } from './api-server.fixture.ts';
import { EventRecorder } from './events.ts';

const backend = (uid: string) => ({
  apiVersion: 'dormouse.dev/v1alpha1',
  kind: 'Backend',
  metadata: { namespace: 'shop', name: 'web', uid, resourceVersion: '3' },
});

describe('the recorder of Events', () => {
  let server: FakeServer;
  let client: ApiClient;
  let recorder: EventRecorder;
  let now: number;
  let refuses: ((asking: Asking) => number | null) | null;
  const events = new EventEmitter();

  beforeEach(async () => {
    now = 1_000_000;
    refuses = null;
    server = new FakeServer((asking, response) => {
      const code = refuses?.(asking) ?? null;
      if (code === null) json(response, 200, JSON.parse(asking.body));
      else json(response, code, status(code, '', 'no'));
      events.emit(asking.method);
    });
    await server.listen();
    const clock = { nowMs: () => now, wallMs: () => Date.UTC(2026, 0, 1) + now };
    client = createClient(server.config, { logger: silentLogger, clock: systemClock, random: () => 0 });
    recorder = new EventRecorder({
      client,
      controller: 'dormouse.dev/operator',
      instance: 'operator-1',
      logger: silentLogger,
      clock,
      random: () => 0.5,
      repeatMs: 40,
    });
  });

  afterEach(async () => {
    await recorder.stop();
    await client.close();
    await server.close();
  });

  it('says what of whom, who says it, and when', async () => {
    recorder.record(backend('u1'), 'Normal', 'Asleep', 'Sleep', 'idle for 5 minutes');
    await recorder.stop();
    const { method, path, body } = server.asked[0]!;
    assert.equal(`${method} ${path}`, 'POST /apis/events.k8s.io/v1/namespaces/shop/events');
    const event = JSON.parse(body) as Record<string, unknown>;
    const { metadata, ...rest } = event as { metadata: { name: string } };
    assert.match(metadata.name, /^web\.[0-9a-f]+$/);
    assert.deepEqual(rest, {
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      eventTime: '2026-01-01T00:16:40.000000Z',
      reportingController: 'dormouse.dev/operator',
      reportingInstance: 'operator-1',
      type: 'Normal',
      reason: 'Asleep',
      action: 'Sleep',
      note: 'idle for 5 minutes',
      regarding: {
        apiVersion: 'dormouse.dev/v1alpha1',
        kind: 'Backend',
        name: 'web',
        namespace: 'shop',
        uid: 'u1',
        resourceVersion: '3',
      },
    });
  });

  it('counts what is said again in the Event that is there, not more often than it may write', async () => {
    recorder.record(backend('u1'), 'Normal', 'Woken', 'Wake', 'a request');
    while (recorder.counts.created === 0) await new Promise(setImmediate);
    for (let times = 0; times < 10; times += 1) recorder.record(backend('u1'), 'Normal', 'Woken', 'Wake', 'a request');
    assert.equal(server.asked.length, 1);
    const second = once(events, 'PATCH');
    now += 41;
    await second;
    assert.equal((JSON.parse(server.asked[1]!.body) as { series: { count: number } }).series.count, 11);
    // What was forgotten by the API server is made anew.
    refuses = ({ method }) => (method === 'PATCH' ? 404 : null);
    while (recorder.counts.updated === 0) await new Promise(setImmediate);
    const third = once(events, 'POST');
    now += 41;
    recorder.record(backend('u1'), 'Normal', 'Woken', 'Wake', 'a request');
    await third;
    await recorder.stop();
    assert.deepEqual(recorder.counts, { created: 2, updated: 1, dropped: 0, failed: 0 });
  });

  it('is bounded for each object, and the others are heard all the same', async () => {
    for (let index = 0; index < 100; index += 1) recorder.record(backend('loud'), 'Normal', 'A', 'B', `note ${index}`);
    recorder.record(backend('quiet'), 'Normal', 'A', 'B', 'note');
    await recorder.stop();
    assert.deepEqual([recorder.counts.created, recorder.counts.dropped], [26, 75]);
  });

  it('never throws: what the server refuses is dropped', async () => {
    refuses = () => 403;
    recorder.record(backend('u1'), 'Warning', 'A', 'B', 'note');
    await recorder.stop();
    assert.deepEqual(recorder.counts, { created: 0, updated: 0, dropped: 0, failed: 1 });
    recorder.record(backend('u1'), 'Warning', 'A', 'B', 'after the end');
    assert.equal(server.asked.length, 1);
  });
});
