/** The admin API on a real cluster: what one request makes, what a failed step and a killed process leave (nothing), and what a deletion takes away (that and nothing else). */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ClusterTarget } from '../../../src/apis/admin/cluster/cluster-target.ts';
import type { KubernetesObject, Resource } from '../../../src/kubernetes/client.ts';
import { DEPLOYMENTS, SERVICES } from '../../../src/kubernetes/resources.ts';
import { silentLogger, systemClock } from '../../../src/model/ports.ts';
import { BACKENDS } from '../../../src/operator/backend-object.ts';
import { SCALED_OBJECTS } from '../../../src/operator/kinds.ts';
import { hashApiKey } from '../../../src/gateway/auth/api-keys.ts';
import { Authority } from '../../../src/gateway/fixtures/certificates.ts';
import { INSTALLATION_NAMESPACE, installDormouse, scaleOperators } from '../fixtures/installation.ts';
import { Scene } from '../fixtures/scene.ts';
import { Edge } from '../gateway-api/gateway.fixture.ts';
import { runProgram } from '../../../bench/processes.ts';
import { APP_IMAGE, ensureCluster, until, type Cluster } from '../machine/index.ts';
import { specOf } from './spec.ts';

const ROUTES: Resource = {
  group: 'gateway.networking.k8s.io',
  version: 'v1',
  plural: 'httproutes',
  kind: 'HTTPRoute',
  namespaced: true,
};
const MAIN = join(import.meta.dirname, '../../../src/commands/main.ts');
const TOKEN = 'a-token-of-the-platform-team';
const READER = 'a-token-of-the-dashboard';

let cluster: Cluster;
let scene: Scene;
let edge: Edge;
let authority: Authority;
let address = '';

before(async () => {
  cluster = await ensureCluster({ keda: true });
  // Kinds first: the scene watches them, and its namespace's name is one of the values.
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'admin');
  authority = await Authority.create();
  const pair = await authority.issue({ names: ['dormouse-admin', 'localhost'] });
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: 'admin-tls', namespace: INSTALLATION_NAMESPACE },
    type: 'kubernetes.io/tls',
    stringData: { 'tls.crt': pair.cert, 'tls.key': pair.key },
  };
  await cluster.kubectl(['apply', '--server-side', '--force-conflicts', '-f', '-'], JSON.stringify(secret));
  await installDormouse(cluster, {
    values: {
      admin: {
        enabled: true,
        namespaces: [scene.namespace.name],
        tokens: [
          { name: 'platform', hash: hashApiKey(TOKEN), scope: 'admin' },
          { name: 'dashboard', hash: hashApiKey(READER), scope: 'read' },
        ],
        tls: { secretName: 'admin-tls' },
        gateway: { namespace: scene.namespace.name, name: 'edge' },
      },
    },
  });
  edge = await Edge.open(scene, [{ name: 'http', port: 80, protocol: 'HTTP' }]);
  await until('the admin API is ready', async () => {
    const deployment = await cluster.read<{ status: { availableReplicas?: number; updatedReplicas?: number } }>(
      `/apis/apps/v1/namespaces/${INSTALLATION_NAMESPACE}/deployments/dormouse-admin`,
    );
    return deployment?.status.availableReplicas === 1 && deployment.status.updatedReplicas === 1;
  });
  const service = await cluster.read<{ spec: { clusterIP: string } }>(
    `/api/v1/namespaces/${INSTALLATION_NAMESPACE}/services/dormouse-admin`,
  );
  address = service!.spec.clusterIP;
});

after(async () => {
  edge?.close();
  await scene?.[Symbol.asyncDispose]();
});

interface Answer {
  status: number;
  headers: Record<string, unknown>;
  // oxlint-disable-next-line typescript/no-explicit-any
  json: any;
}

function api(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        host: address,
        port: 443,
        servername: 'dormouse-admin',
        ca: authority.pem,
        method,
        path,
        agent: false,
        signal: AbortSignal.timeout(120_000),
        headers: {
          host: 'dormouse-admin',
          authorization: `Bearer ${TOKEN}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (part) => (text += part));
        response.on('end', () =>
          resolve({ status: response.statusCode!, headers: response.headers, json: JSON.parse(text) }),
        );
      },
    );
    outgoing.once('error', reject);
    outgoing.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Which objects of this name there are. */
async function objects(name: string): Promise<Record<string, KubernetesObject>> {
  const found: Record<string, KubernetesObject> = {};
  for (const resource of [DEPLOYMENTS, SERVICES, BACKENDS, ROUTES, SCALED_OBJECTS]) {
    const object = await scene.client.get<KubernetesObject>(resource, { namespace: scene.namespace.name, name });
    if (object !== null && object.metadata.deletionTimestamp === undefined) found[resource.kind] = object;
  }
  return found;
}

async function kinds(name: string): Promise<string[]> {
  return Object.keys(await objects(name));
}

function target(beforeStep?: (what: string) => void): ClusterTarget {
  return new ClusterTarget({
    client: scene.client,
    namespaces: [scene.namespace.name],
    settings: {
      gateway: { namespace: scene.namespace.name, name: 'edge', sectionName: null },
      scaleBy: 'dormouse',
    },
    check: () => [],
    clock: systemClock,
    logger: silentLogger,
    ...(beforeStep === undefined ? {} : { beforeStep }),
  });
}

test(
  'one request makes all of it, the first request for its host wakes it, and a deletion takes all of it away',
  { timeout: 300_000 },
  async () => {
    const body = { name: 'shop', ...specOf('shop') };
    const key = { 'idempotency-key': 'made-once' };
    const made = await api('POST', '/v1/backends', body, key);
    assert.equal(made.status, 201, JSON.stringify(made.json));
    assert.equal(made.headers['location'], `/v1/backends/shop?namespace=${scene.namespace.name}`);
    assert.deepEqual(made.json.spec.env, { NAME: '********' });
    const there = await objects('shop');
    assert.deepEqual(Object.keys(there), ['Deployment', 'Service', 'Backend', 'HTTPRoute']);
    for (const [kind, { metadata }] of Object.entries(there)) {
      assert.equal(metadata.labels?.['app.kubernetes.io/managed-by'], 'dormouse-admin', kind);
      const owner = kind === 'Deployment' ? undefined : there['Deployment']!.metadata.uid;
      assert.equal(metadata.ownerReferences?.[0]?.uid, owner, kind);
    }
    const again = await api('POST', '/v1/backends', body, key);
    assert.deepEqual([again.status, again.headers['idempotent-replayed']], [201, 'true']);
    assert.equal((await objects('shop'))['Deployment']!.metadata.uid, there['Deployment']!.metadata.uid);
    const other = await api('POST', '/v1/backends', { ...body, port: 81 }, key);
    assert.deepEqual([other.status, other.json.code], [422, 'DORMOUSE_ADMIN_IDEMPOTENCY_KEY']);
    const taken = await api('POST', '/v1/backends', body);
    assert.deepEqual([taken.status, taken.json.code], [409, 'DORMOUSE_BACKEND_EXISTS']);

    const host = { headers: { host: 'shop.admin.example' } };
    const answer = await until('it is routed', async () => {
      const { status, text } = await edge.ask('shop', host);
      return status === 404 || status === 500 ? null : { status, text };
    });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(JSON.parse(answer.text).name, 'shop');
    const shown = await until('it is shown awake', async () => {
      const { json } = await api('GET', '/v1/backends/shop');
      return json.status.state === 'awake' ? json : null;
    });
    assert.match(shown.status.lastWoken.by, /^GET \/ from/);

    const soon = new Date(Date.now() + 3_600_000).toISOString();
    assert.equal((await api('PUT', '/v1/backends/shop/awake', { until: soon })).status, 200);
    await until('why it is awake says so', async () => {
      const { json } = await api('POST', '/v1/backends/shop/sleep');
      return json.asleep === false && scene.eventsOf('shop').includes('SleepRefused');
    });
    assert.equal((await api('DELETE', '/v1/backends/shop/awake')).status, 200);
    await until(
      'it can be put to sleep',
      async () => (await api('POST', '/v1/backends/shop/sleep')).json.asleep === true,
    );
    const woken = await api('POST', '/v1/backends/shop/wake?wait=60000');
    assert.deepEqual([woken.status, woken.json.awake], [200, true]);

    const patch = await api('PATCH', '/v1/backends/shop', { env: { NAME: 'another' }, scale: { max: 3 } });
    assert.equal(patch.status, 200, JSON.stringify(patch.json));
    await until('pods are of the new spec', async () => {
      const { status, text } = await edge.ask('shop', host);
      return status === 200 && JSON.parse(text).name === 'another';
    });
    const wrong = await api('PATCH', '/v1/backends/shop', { scale: { mx: 3 }, image: 'a b' });
    assert.equal(wrong.status, 422);
    assert.deepEqual(
      wrong.json.errors.map(({ field }: { field: string }) => field),
      ['/image'],
    );
    const deep = await api('PATCH', '/v1/backends/shop', { scale: { mx: 3 } });
    assert.deepEqual(
      deep.json.errors.map(({ field }: { field: string }) => field),
      ['/scale/mx'],
    );

    await scene.namespace.kubectl('delete', 'backend,httproute', 'shop');
    const put = await api('PUT', '/v1/backends/shop', { ...specOf('shop'), env: { NAME: '********' } });
    assert.equal(put.status, 200, JSON.stringify(put.json));
    assert.deepEqual(
      await kinds('shop'),
      ['Deployment', 'Service', 'Backend', 'HTTPRoute'],
      'what was missing is back',
    );

    await scene.namespace.apply([{ apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'shop' }, data: {} }]);
    const removed = await api('DELETE', '/v1/backends/shop');
    assert.deepEqual(removed.json, {
      name: 'shop',
      removed: ['HTTPRoute shop', 'Backend shop', 'Service shop', 'Deployment shop'],
      left: [],
    });
    assert.deepEqual(await kinds('shop'), []);
    assert.match(await scene.namespace.kubectl('get', 'configmap', 'shop', '-o', 'name'), /shop/);
    assert.equal((await api('GET', '/v1/backends/shop')).status, 404);
  },
);

test('other tokens, other namespaces and Backends of others', { timeout: 120_000 }, async () => {
  const body = { name: 'nobody', ...specOf('nobody') };
  const reader = await api('POST', '/v1/backends', body, { authorization: `Bearer ${READER}` });
  assert.deepEqual([reader.status, reader.json.code], [403, 'DORMOUSE_ADMIN_SCOPE']);
  const elsewhere = await api('POST', '/v1/backends', { ...body, namespace: 'kube-system' });
  assert.deepEqual([elsewhere.status, elsewhere.json.code], [404, 'DORMOUSE_ADMIN_NAMESPACE']);
  assert.equal((await api('GET', '/v1/backends/x?namespace=kube-system')).status, 404);
  await scene.guarded({ name: 'mine', waits: false });
  const list = await api('GET', '/v1/backends');
  assert.deepEqual(
    list.json.items.map(({ name, origin }: { name: string; origin: string }) => [name, origin]),
    [['mine', 'cluster']],
  );
  for (const method of ['DELETE', 'PATCH']) {
    const refused = await api(method, '/v1/backends/mine', method === 'PATCH' ? { port: 1 } : undefined);
    assert.deepEqual([refused.status, refused.json.code], [409, 'DORMOUSE_BACKEND_READ_ONLY']);
  }
  const may = async (verb: string, resource: string, ...where: string[]): Promise<string> => {
    const account = `system:serviceaccount:${INSTALLATION_NAMESPACE}:dormouse-admin`;
    return (await cluster.kubectl(['auth', 'can-i', verb, resource, '--as', account, ...where])).stdout.trim();
  };
  assert.equal(await may('create', 'deployments.apps', '-n', scene.namespace.name), 'yes');
  for (const [verb, resource] of [
    ['get', 'secrets'],
    ['create', 'pods'],
    ['create', 'rolebindings.rbac.authorization.k8s.io'],
    ['create', 'pods/exec'],
  ])
    assert.equal(await may(verb!, resource!, '-n', scene.namespace.name), 'no', `${verb} ${resource}`);
  assert.equal(await may('create', 'deployments.apps', '-n', 'kube-system'), 'no');
});

test('a step that fails takes back those before it, and nothing of anybody else', { timeout: 120_000 }, async () => {
  await scene.namespace.apply([
    { apiVersion: 'v1', kind: 'Service', metadata: { name: 'theirs' }, spec: { ports: [{ port: 80 }] } },
  ]);
  const taken = await api('POST', '/v1/backends', { name: 'theirs', ...specOf('theirs') });
  assert.deepEqual([taken.status, taken.json.code], [409, 'DORMOUSE_ADMIN_TAKEN']);
  assert.match(taken.json.detail, /Service theirs is there already.*Everything that was done was taken back/);
  assert.deepEqual(await kinds('theirs'), ['Service']);
  for (const what of ['Service', 'Backend', 'HTTPRoute', 'Deployment failing (ready)']) {
    const failing = target((step) => {
      if (step.startsWith(what === 'Service' || what === 'Backend' || what === 'HTTPRoute' ? `${what} ` : what))
        throw new Error('the disk of etcd is full');
    });
    await assert.rejects(failing.create({ name: 'failing', ...specOf('failing') }, null), {
      code: 'DORMOUSE_ADMIN_STEP',
      message: /the disk of etcd is full\. Everything that was done was taken back/,
    });
    assert.deepEqual(await kinds('failing'), [], what);
  }
  const refused = await api('POST', '/v1/backends', {
    name: 'refused',
    ...specOf('refused'),
    resources: { cpu: '2', memory: '1Ki' },
  });
  assert.ok([201, 422].includes(refused.status), JSON.stringify(refused.json));
});

async function crash(
  action: string,
  name: string,
  killAt: number,
): Promise<{ signal: string | null; steps: string[] }> {
  const child = spawn(
    process.execPath,
    [
      join(import.meta.dirname, 'crash.ts'),
      cluster.kubeconfigPath,
      scene.namespace.name,
      'edge',
      action,
      name,
      String(killAt),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part));
  const [, killed] = (await once(child, 'close')) as [number | null, string | null];
  return { signal: killed, steps: text.trim().split('\n') };
}

test(
  'a deletion that has to wait for the operator says what is left, and goes on by itself',
  { timeout: 300_000 },
  async () => {
    const name = 'waiting';
    assert.equal((await api('POST', '/v1/backends', { name, ...specOf(name) })).status, 201);
    await until(
      'the operator has seen it',
      async () => (await objects(name))['Backend']?.metadata.finalizers !== undefined,
    );
    try {
      await scaleOperators(cluster, 0);
      const { status, json } = await api('DELETE', `/v1/backends/${name}`);
      assert.equal(status, 200);
      assert.deepEqual(json.removed, [`HTTPRoute ${name}`]);
      assert.match(json.left.join(), /^Backend waiting \(it is being deleted, and waits for the operator/);
      assert.ok((await kinds(name)).includes('Deployment'));
    } finally {
      await scaleOperators(cluster, 2);
    }
    await until('it is gone', async () => (await kinds(name)).length === 0, { timeoutMs: 90_000 });
  },
);

test('a process that is killed between any two steps leaves nothing half done', { timeout: 600_000 }, async (t) => {
  const name = 'killed';
  // What the chart's own does, in a process of the test's: that one would settle it at its own time.
  await cluster.kubectl(['-n', INSTALLATION_NAMESPACE, 'scale', 'deployment/dormouse-admin', '--replicas=0']);
  try {
    const { steps } = await crash('create', name, 0);
    t.diagnostic(`create: ${steps.join(', ')}`);
    await target().remove({ name, namespace: '' });
    for (let at = 1; at <= steps.length; at++) {
      assert.equal((await crash('create', name, at)).signal, 'SIGKILL');
      const left = await kinds(name);
      await target().recover();
      assert.deepEqual(await kinds(name), [], `killed before ${steps[at - 1]}, which left ${left.join(', ')}`);
    }
    // And with the same key it goes on at once, without waiting for anybody.
    assert.equal((await crash('create', name, 4)).signal, 'SIGKILL');
    const { view } = await target().create({ name, ...specOf(name) }, 'the-same-key');
    assert.equal(view.name, name);
    assert.deepEqual(await kinds(name), ['Deployment', 'Service', 'Backend', 'HTTPRoute']);

    const { steps: changes } = await crash('update', name, 0);
    t.diagnostic(`update: ${changes.join(', ')}`);
    const back = await target().update({ name, namespace: '' }, () => specOf(name));
    assert.deepEqual(back.spec, specOf(name));
    for (let at = 2; at <= changes.length; at++) {
      assert.equal((await crash('update', name, at)).signal, 'SIGKILL');
      await target().recover();
      const { spec, status } = await target().get({ name, namespace: '' });
      assert.deepEqual(spec, specOf(name), `killed before ${changes[at - 1]}`);
      assert.ok(!status.problems.some((problem) => problem.includes('not finished')), status.problems.join());
      const route = (await objects(name))['HTTPRoute'] as KubernetesObject & { spec: { hostnames: string[] } };
      assert.deepEqual(route.spec.hostnames, [`${name}.admin.example`]);
    }

    const { steps: ends } = await crash('delete', name, 0);
    t.diagnostic(`delete: ${ends.join(', ')}`);
    for (let at = 2; at <= ends.length; at++) {
      await target().create({ name, ...specOf(name) }, null);
      assert.equal((await crash('delete', name, at)).signal, 'SIGKILL');
      await target().recover();
      assert.deepEqual(await kinds(name), [], `killed before ${ends[at - 1]}`);
    }
  } finally {
    await cluster.kubectl(['-n', INSTALLATION_NAMESPACE, 'scale', 'deployment/dormouse-admin', '--replicas=1']);
  }
});

test(
  'with scale.by keda there is a ScaledObject that belongs to the Backend, and goes with it',
  { timeout: 180_000 },
  async () => {
    await until(
      'the admin API is there again',
      async () => (await api('GET', '/v1/backends').catch(() => null))?.status === 200,
    );
    const body = { name: 'queued', ...specOf('queued'), scale: { by: 'keda', max: 5, idleAfter: '10m' } };
    const made = await api('POST', '/v1/backends', body);
    assert.equal(made.status, 201, JSON.stringify(made.json));
    const there = await until('the operator has made a ScaledObject', async () => {
      const found = await objects('queued');
      return found['ScaledObject'] === undefined ? null : found;
    });
    assert.equal(there['ScaledObject']!.metadata.ownerReferences?.[0]?.uid, there['Backend']!.metadata.uid);
    assert.equal((await api('DELETE', '/v1/backends/queued')).status, 200);
    await until('nothing is left', async () => (await kinds('queued')).length === 0);
  },
);

test(
  'the command line does it too: a backend is made, listed, changed, woken and taken away',
  { timeout: 180_000 },
  async () => {
    // As with kubectl port-forward.
    const relay = net.createServer((socket) => {
      const server = net.connect(443, address);
      socket.on('error', () => server.destroy());
      server.on('error', () => socket.destroy());
      socket.pipe(server).pipe(socket);
    });
    relay.listen(0, '127.0.0.1');
    await once(relay, 'listening');
    const folder = mkdtempSync(join(tmpdir(), 'dormouse-admin-cli-'));
    const { port } = relay.address() as net.AddressInfo;
    const file = (name: string, content: string): string => {
      writeFileSync(join(folder, name), content, { mode: 0o600 });
      return join(folder, name);
    };
    const where = ['--api', `https://localhost:${port}`, '--cacert', file('ca.pem', authority.pem)];
    const dormouse = (token: string, ...args: string[]): Promise<string> =>
      runProgram([process.execPath, MAIN, ...args, ...where, '--token-file', token], { core: null }, 60_000);
    try {
      const [admin, reader] = [file('admin', `${TOKEN}\n`), file('reader', READER)];
      const made = ['--name', 'typed', '--port', '8080', '--host', 'typed.admin.example', '--idle-after', '10m'];
      const said = await dormouse(admin, 'run', ...made, '--set', 'pullPolicy=Never', APP_IMAGE);
      assert.match(said, /^typed is there, \w+: the first request for typed\.admin\.example wakes it$/m);
      assert.deepEqual(await kinds('typed'), ['Deployment', 'Service', 'Backend', 'HTTPRoute']);
      assert.match(await dormouse(reader, 'backend', 'list'), /^typed\b/m);
      await assert.rejects(dormouse(reader, 'rm', 'typed'), /may only read|scope/);
      const answer = await until('it is routed', async () => {
        const { status } = await edge.ask('typed', { headers: { host: 'typed.admin.example' } });
        return status === 404 || status === 500 ? null : status;
      });
      assert.equal(answer, 200);
      await dormouse(admin, 'backend', 'update', 'typed', '--max', '3');
      assert.match(await dormouse(admin, 'backend', 'show', 'typed', '--json'), /"max": 3/);
      await assert.rejects(
        dormouse(admin, 'run', ...made, '--set', 'pullPolicy=Never', APP_IMAGE),
        /typed.*exists|there is/,
      );
      await dormouse(admin, 'rm', 'typed');
      assert.deepEqual(await kinds('typed'), []);
    } finally {
      relay.close();
      rmSync(folder, { recursive: true });
    }
  },
);
