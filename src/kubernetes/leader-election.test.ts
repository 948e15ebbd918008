/** What a real API server and real time can't be made to do in a test: clocks that differ, requests that hang, a lease edited by hand. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { silentLogger, systemClock } from '../model/ports.ts';
import { createClient, type ApiClient } from './api-client.ts';
import { FakeServer, json, status } from './api-server.fixture.ts';
import { LeaderElection, type LeaderElectionOptions } from './leader-election.ts';

interface Lease {
  metadata: { name: string; namespace: string; resourceVersion?: string };
  spec: { holderIdentity: string; leaseDurationSeconds: number; renewTime: string; leaseTransitions: number };
}

const LOCK = { namespace: 'dormouse', name: 'operator' };
const TIMES = { leaseDurationMs: 1000, renewDeadlineMs: 400, retryPeriodMs: 50 };

describe('leader election', () => {
  let server: FakeServer;
  let client: ApiClient;
  let lease: Lease | null;
  let hangs: boolean;
  const events = new EventEmitter();
  const running: { election: LeaderElection; stop: AbortController }[] = [];

  beforeEach(async () => {
    lease = null;
    hangs = false;
    let version = 0;
    const put = (body: string): Lease => {
      lease = JSON.parse(body) as Lease;
      version += 1;
      lease.metadata.resourceVersion = String(version);
      events.emit('put', lease);
      return lease;
    };
    server = new FakeServer(({ method, body }, response) => {
      if (hangs) return;
      if (method === 'GET') {
        if (lease === null) json(response, 404, status(404, 'NotFound', 'not found', { name: 'operator' }));
        else json(response, 200, lease);
      } else if (method === 'POST') {
        if (lease === null) json(response, 201, put(body));
        else json(response, 409, status(409, 'AlreadyExists', 'there'));
      } else if (lease === null) {
        json(response, 404, status(404, 'NotFound', 'not found', { name: 'operator' }));
      } else if ((JSON.parse(body) as Lease).metadata.resourceVersion !== lease.metadata.resourceVersion) {
        json(response, 409, status(409, 'Conflict', 'changed'));
      } else {
        json(response, 200, put(body));
      }
    });
    await server.listen();
    client = createClient(server.config, { logger: silentLogger, clock: systemClock, random: Math.random });
  });

  afterEach(async () => {
    hangs = false;
    for (const { election, stop } of running.splice(0)) {
      stop.abort(new Error('over'));
      await election.finished();
    }
    await client.close();
    await server.close();
  });

  function candidate(identity: string, options: Partial<LeaderElectionOptions> = {}) {
    const stop = new AbortController();
    const election = new LeaderElection({
      client,
      lock: LOCK,
      identity,
      logger: silentLogger,
      clock: systemClock,
      random: Math.random,
      ...TIMES,
      started: async (signal) => {
        events.emit('leads', identity, performance.now());
        if (!signal.aborted) await once(signal, 'abort');
        events.emit('ended', identity, (signal.reason as Error).message);
      },
      ...options,
    });
    running.push({ election, stop });
    election.start(stop.signal);
    return { election, stop };
  }

  it('one leads, and gives the lock back: the next has it within a period', async () => {
    const began = once(events, 'leads');
    const one = candidate('one');
    assert.equal((await began)[0], 'one');
    assert.equal(one.election.isLeader, true);
    const two = candidate('two');
    await once(events, 'put');
    await once(events, 'put');
    assert.deepEqual([two.election.isLeader, lease!.spec.holderIdentity], [false, 'one']);
    const next = once(events, 'leads');
    one.stop.abort(new Error('stopping'));
    await one.election.finished();
    const releasedAtMs = performance.now();
    const [identity, atMs] = (await next) as [string, number];
    assert.equal(identity, 'two');
    assert.ok(atMs - releasedAtMs < 200, `${atMs - releasedAtMs} ms`);
    assert.deepEqual([one.election.isLeader, lease!.spec.leaseTransitions], [false, 1]);
  });

  it('clocks that are an hour apart make no difference: what counts is how long it was seen unchanged', async () => {
    const early = { ...systemClock, wallMs: () => Date.now() - 3_600_000 };
    const began = once(events, 'leads');
    const one = candidate('one', { clock: early });
    await began;
    candidate('two', { clock: { ...systemClock, wallMs: () => Date.now() + 3_600_000 } });
    // Longer than a lease lasts, renewed the whole time.
    const until = performance.now() + 1500;
    while (performance.now() < until) await once(events, 'put');
    assert.equal(one.election.isLeader, true);
    assert.equal(lease!.spec.holderIdentity, 'one');
  });

  it('a holder that does not renew is left alone for its lease, from when it was first seen', async () => {
    const spec = {
      holderIdentity: 'dead',
      leaseDurationSeconds: 1,
      renewTime: '1999-01-01T00:00:00.000000Z',
      leaseTransitions: 4,
    };
    lease = { metadata: { ...LOCK, resourceVersion: '0' }, spec };
    const began = performance.now();
    const leads = once(events, 'leads');
    candidate('one');
    const [, atMs] = (await leads) as [string, number];
    assert.ok(atMs - began >= 990 && atMs - began < 1500, `${atMs - began} ms`);
    assert.equal(lease.spec.leaseTransitions, 5);
  });

  it('a leader that can not renew ends in time, also while requests hang, and comes back', async () => {
    const leads = once(events, 'leads');
    const one = candidate('one');
    await leads;
    const ended = once(events, 'ended');
    hangs = true;
    const hungAtMs = performance.now();
    const [, reason] = (await ended) as [string, string];
    assert.match(reason, /not renewed for 400 ms/);
    assert.ok(performance.now() - hungAtMs < 700, 'longer than the deadline');
    assert.equal(one.election.isLeader, false);
    const again = once(events, 'leads');
    hangs = false;
    await again;
    assert.equal(one.election.isLeader, true);
  });

  it('a process that was stopped for too long does not take itself for the leader', async () => {
    let now = 0;
    const leads = once(events, 'leads');
    const one = candidate('one', {
      clock: { ...systemClock, nowMs: () => now },
      retryPeriodMs: 60_000,
      renewDeadlineMs: 120_000,
      leaseDurationMs: 180_000,
    });
    await leads;
    assert.equal(one.election.isLeader, true);
    now = 120_001;
    assert.equal(one.election.isLeader, false);
  });

  it('a lease that somebody else has written ends it at once; one that was deleted is made again', async () => {
    const leads = once(events, 'leads');
    const one = candidate('one');
    await leads;
    lease = null;
    await once(events, 'put');
    assert.equal(one.election.isLeader, true);
    const ended = once(events, 'ended');
    lease = { metadata: { ...LOCK, resourceVersion: 'x' }, spec: { ...lease!.spec, holderIdentity: 'hand' } };
    assert.match((await ended)[1] as string, /hand holds the lock/);
  });

  it('work that does not end is not begun a second time, and its lock is left to run out', async () => {
    let begun = 0;
    let end = (): void => {};
    const leads = once(events, 'begun');
    const one = candidate('one', {
      started: async () => {
        begun += 1;
        events.emit('begun');
        await new Promise<void>((resolve) => {
          end = resolve;
        });
      },
    });
    await leads;
    one.stop.abort(new Error('stopping'));
    await one.election.finished();
    assert.deepEqual([begun, lease!.spec.holderIdentity], [1, 'one']);
    end();
  });

  it('work that fails at once ends nothing', async () => {
    const two = candidate('two', {
      started: () => {
        events.emit('thrown');
        throw new Error('broken');
      },
    });
    await once(events, 'thrown');
    await once(events, 'put');
    assert.equal(two.election.isLeader, true);
  });
});
