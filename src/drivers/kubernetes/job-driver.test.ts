/** Runs as Jobs (scale.jobs), with an API server in the test's hands; test/cluster/queue-demo has a real one. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Change, Informer, KubernetesClient } from '../../kubernetes/client.ts';
import { JOBS } from '../../kubernetes/resources.ts';
import type { BackendConfig, KubernetesConfig } from '../../model/config.ts';
import { defaultBackend } from '../../model/config.fixture.ts';
import { silentLogger, systemClock } from '../../model/ports.ts';
import type { FinishedRun } from '../../model/status.ts';
import { Witness } from '../driver.contract.ts';
import { JOB_LABEL, JobDriver, type Job } from './job-driver.ts';

class RunWitness extends Witness {
  readonly runs: FinishedRun[] = [];

  run(run: FinishedRun): void {
    this.runs.push(run);
  }
}

/** Keeps Jobs, and one CronJob. */
class FakeJobs {
  readonly jobs = new Map<string, Job>();
  readonly #listeners: ((change: Change<Job>) => void)[] = [];
  readonly #synced = Promise.withResolvers<void>();
  hasTemplate = true;

  readonly client = {
    informer: () => this.#informer,
    get: async () =>
      this.hasTemplate
        ? {
            metadata: { name: 'mill', uid: 'u1', annotations: {} },
            spec: { jobTemplate: { metadata: { labels: { team: 'a' } }, spec: { backoffLimit: 1 } } },
          }
        : null,
    create: async (_: unknown, job: Job) => {
      this.put(job);
      return job;
    },
    delete: async (_: unknown, { name }: { name: string }) => {
      const job = this.jobs.get(name);
      this.jobs.delete(name);
      if (job !== undefined) this.#tell({ type: 'removed', object: job });
      return job !== undefined;
    },
  } as unknown as KubernetesClient;

  readonly #informer = {
    resource: JOBS,
    start() {},
    synced: () => this.#synced.promise,
    list: () => this.jobs.values(),
    onChange: (listener: (change: Change<Job>) => void) => {
      this.#listeners.push(listener);
      return () => {};
    },
  } as unknown as Informer<Job>;

  put(job: Job): void {
    const before = this.jobs.get(job.metadata.name);
    this.jobs.set(job.metadata.name, job);
    this.#tell(before === undefined ? { type: 'added', object: job } : { type: 'changed', object: job, before });
  }

  end(name: string, type: 'Complete' | 'Failed', atMs = Date.now()): void {
    const completionTime = new Date(atMs).toISOString();
    const conditions = [{ type, status: 'True', message: 'it has reached the specified backoff limit' }];
    this.put({ ...this.jobs.get(name)!, status: { completionTime, conditions } });
  }

  sync(): void {
    this.#synced.resolve();
  }

  #tell(change: Change<Job>): void {
    for (const listener of this.#listeners) listener(change);
  }
}

function job(name: string, status: Job['status'] = {}): Job {
  const metadata = {
    name,
    namespace: 'shop',
    uid: name,
    resourceVersion: '1',
    creationTimestamp: new Date().toISOString(),
  };
  return { apiVersion: 'batch/v1', kind: 'Job', metadata, status };
}

function world({ history = 10, max = 5 } = {}) {
  const api = new FakeJobs();
  const witness = new RunWitness();
  const config = {
    namespace: 'shop',
    target: { apiVersion: 'batch/v1', kind: 'CronJob', name: 'mill' },
  } as KubernetesConfig;
  const standard = defaultBackend('shop/mill');
  const backend: BackendConfig = {
    ...standard,
    source: { driver: 'kubernetes', kubernetes: config },
    scale: { ...standard.scale, max, jobs: { batch: 1, history } },
  };
  const driver = new JobDriver(backend, config, witness, {
    client: api.client,
    clock: systemClock,
    logger: silentLogger,
  });
  return { api, witness, driver };
}

test('Jobs are made from the template, with its labels and ours; none before those that there are have been seen', async () => {
  const { api, witness, driver } = world();
  api.put(job('mill-old', { active: 1, ready: 1 }));
  driver.scaleUp(3);
  assert.equal(api.jobs.size, 1);
  api.sync();
  await witness.until('three Jobs', () => api.jobs.size === 3);
  const made = [...api.jobs.values()].find(({ metadata }) => metadata.name !== 'mill-old')!;
  assert.match(made.metadata.name, /^mill-[0-9a-f]{8}$/);
  assert.deepEqual(made.metadata.labels, {
    team: 'a',
    [JOB_LABEL]: 'mill',
    'app.kubernetes.io/managed-by': 'dormouse',
  });
  assert.deepEqual(made.metadata.ownerReferences, [
    { apiVersion: 'batch/v1', kind: 'CronJob', name: 'mill', uid: 'u1', controller: false },
  ]);
  assert.deepEqual(
    driver.instances().map(({ state }) => state),
    ['ready', 'starting', 'starting'],
  );
  await driver.close();
});

test('ends are told once; those of the past are not, and more than the history are deleted', async () => {
  const { api, witness, driver } = world({ history: 2 });
  api.put(
    job('mill-past', { conditions: [{ type: 'Complete', status: 'True' }], completionTime: '2020-01-01T00:00:00Z' }),
  );
  api.sync();
  driver.scaleUp(3);
  await witness.until('three more', () => api.jobs.size === 4);
  const names = [...api.jobs.keys()].slice(1);
  for (const [index, name] of names.entries()) api.end(name, 'Complete', 1000 * (index + 1));
  for (const name of names) if (api.jobs.has(name)) api.end(name, 'Complete', 5000);
  assert.deepEqual(
    witness.runs.map(({ id, ok, reason }) => [id, ok, reason]),
    names.map((name) => [name, true, 'completed']),
  );
  assert.equal(api.jobs.size, 2);
  assert.deepEqual(driver.instances(), []);
  assert.equal(driver.crash(), null);
  await driver.close();
});

test('a Job that Kubernetes has given up is a failure, and holds the next one back', async () => {
  const { api, witness, driver } = world();
  api.sync();
  driver.scaleUp(1);
  await witness.until('a Job', () => api.jobs.size === 1);
  api.end([...api.jobs.keys()][0]!, 'Failed');
  assert.match(witness.runs[0]!.reason, /^failed: it has reached the specified backoff limit/);
  assert.ok(driver.crash() !== null && witness.crashes.length === 1);
  driver.scaleUp(1);
  assert.equal(driver.instances().length, 0);
  await driver.close();
});

test('without its CronJob the next step is told', async () => {
  const { api, witness, driver } = world();
  api.hasTemplate = false;
  api.sync();
  driver.scaleUp(1);
  const crash = await witness.until('a crash', () => witness.crashes[0] ?? false);
  assert.match(crash.reason, /^there is no CronJob mill in namespace shop; create it, or correct kubernetes\.target$/);
  await driver.close();
});

test('the end of this program ends no Job', async () => {
  const { api, witness, driver } = world();
  api.sync();
  driver.scaleUp(2);
  await witness.until('two Jobs', () => api.jobs.size === 2);
  await driver.close();
  assert.equal(api.jobs.size, 2);
});
