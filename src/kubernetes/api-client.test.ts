import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { silentLogger, systemClock } from '../model/ports.ts';
import { createClient, type ApiClient } from './api-client.ts';
import { isReason } from './api-error.ts';
import { FakeServer, json, status } from './api-server.fixture.ts';
import { CONFIG_MAPS, DEPLOYMENTS, NODES, PODS } from './resources.ts';

const SCALED_OBJECTS = {
  group: 'keda.sh',
  version: 'v1alpha1',
  plural: 'scaledobjects',
  kind: 'ScaledObject',
  namespaced: true,
};
const NAME = { namespace: 'shop', name: 'web' };
const options = { logger: silentLogger, clock: systemClock, random: () => 0 };

describe('the API client', () => {
  let server: FakeServer;
  let client: ApiClient;

  beforeEach(async () => {
    server = new FakeServer((_, response) => json(response, 200, { metadata: {} }));
    await server.listen();
    client = createClient(server.config, { ...options, timeoutMs: 5000 });
  });

  afterEach(async () => {
    await client.close();
    await server.close();
  });

  it('asks where the API server keeps each kind', async () => {
    await client.get(DEPLOYMENTS, NAME);
    await client.get(NODES, { name: 'n1' });
    await client.patch(DEPLOYMENTS, NAME, { type: 'merge', body: { spec: {} } }, { subresource: 'scale' });
    await client.patch(PODS, NAME, { type: 'apply', body: {}, fieldManager: 'me', force: true });
    await client.create(PODS, { metadata: NAME }, { subresource: 'eviction' });
    await client.create(PODS, { metadata: NAME });
    await client.delete(PODS, NAME, { uid: 'u1', resourceVersion: '7' });
    assert.deepEqual(
      server.asked.map(({ method, path, query }) => `${method} ${path}${query.size > 0 ? `?${query.toString()}` : ''}`),
      [
        'GET /apis/apps/v1/namespaces/shop/deployments/web',
        'GET /api/v1/nodes/n1',
        'PATCH /apis/apps/v1/namespaces/shop/deployments/web/scale',
        'PATCH /api/v1/namespaces/shop/pods/web?fieldManager=me&force=true',
        'POST /api/v1/namespaces/shop/pods/web/eviction',
        'POST /api/v1/namespaces/shop/pods',
        'DELETE /api/v1/namespaces/shop/pods/web',
      ],
    );
    assert.equal(server.asked[2]!.headers['content-type'], 'application/merge-patch+json');
    assert.deepEqual(JSON.parse(server.asked[6]!.body).preconditions, { uid: 'u1', resourceVersion: '7' });
  });

  it('refuses names that would mean something else: an empty one all objects, .. another place', async () => {
    for (const name of ['', '.', '..', 'a/b', 'a%2fb']) {
      await assert.rejects(client.delete(PODS, { namespace: 'shop', name }), { code: 'DORMOUSE_API_NAME' });
    }
    await assert.rejects(client.get(PODS, { name: 'web' }), /its namespace is missing/);
    assert.equal(server.asked.length, 0);
  });

  it('gives null for what is not there, and false for what can not be deleted any more', async () => {
    server.answer = (_, response) => json(response, 404, status(404, 'NotFound', 'not found', { name: 'web' }));
    assert.equal(await client.get(PODS, NAME), null);
    assert.equal(await client.delete(PODS, NAME), false);
  });

  const failures: [string, number, object, RegExp][] = [
    [
      'Forbidden names the right to give',
      403,
      status(
        403,
        'Forbidden',
        'deployments.apps "web" is forbidden: User "system:serviceaccount:dormouse:operator" cannot patch resource "deployments/scale" in API group "apps" in the namespace "shop"',
      ),
      /patch deployments\.apps\/scale shop\/web: give the service account "operator" in namespace "dormouse" the verb "patch" on "deployments\/scale" of API group "apps" in namespace "shop"/,
    ],
    [
      'a quota is no missing right',
      403,
      status(403, 'Forbidden', 'exceeded quota: pods'),
      /shop\/web: exceeded quota: pods$/,
    ],
    [
      'Unauthorized says whose credentials',
      401,
      status(401, 'Unauthorized', 'Unauthorized'),
      /does not accept the credentials \(Unauthorized\): renew those of a test/,
    ],
    [
      'Conflict says to read again',
      409,
      status(409, 'Conflict', 'the object has been modified'),
      /changed or replaced since it was read/,
    ],
    [
      'Invalid names the fields',
      422,
      status(422, 'Invalid', 'invalid', {
        causes: [
          { field: 'spec.replicas', message: 'must be at least 0' },
          { field: 'spec.x', message: 'unknown' },
        ],
      }),
      /not valid: spec\.replicas: must be at least 0; spec\.x: unknown$/,
    ],
    ['too large', 413, status(413, 'RequestEntityTooLarge', 'limit is 3145728'), /etcd 1\.5 MiB; make it smaller/],
    ['a missing object', 404, status(404, 'NotFound', 'no "web"', { name: 'web' }), /it is not there/],
  ];
  for (const [title, code, body, message] of failures) {
    it(`errors: ${title}`, async () => {
      server.answer = (_, response) => json(response, code, body);
      const patch = { type: 'merge', body: {} } as const;
      await assert.rejects(client.patch(DEPLOYMENTS, NAME, patch, { subresource: 'scale' }), (error: Error) => {
        assert.match(error.message, message);
        assert.equal((error as { status?: number }).status, code);
        return true;
      });
    });
  }

  it('errors: a kind that is not installed names the CRD', async () => {
    server.answer = (_, response) => response.writeHead(404).end('404 page not found\n');
    await assert.rejects(client.list(SCALED_OBJECTS), /the CRD "scaledobjects\.keda\.sh" is not installed/);
    await assert.rejects(client.list(DEPLOYMENTS), /this API server has no apps\/v1 Deployment/);
  });

  it('repeats reads, replacements and merge patches when the server fails, creations and JSON patches not', async () => {
    server.answer = (_, response) => json(response, 500, status(500, 'InternalError', 'etcd is slow'));
    await assert.rejects(client.get(PODS, NAME), /failed with 500 \(etcd is slow\)/);
    assert.equal(server.asked.length, 3);
    await assert.rejects(client.create(PODS, { metadata: NAME }));
    assert.equal(server.asked.length, 4);
    await assert.rejects(client.patch(PODS, NAME, { type: 'json', body: [] }));
    assert.equal(server.asked.length, 5);
    await assert.rejects(client.replace(PODS, NAME, {}));
    assert.equal(server.asked.length, 8);
  });

  it('repeats a creation that was refused for too much work, after the time that the server says', async () => {
    server.answer = (_, response) => {
      if (server.asked.length === 1)
        json(response, 429, status(429, 'TooManyRequests', 'later'), { 'retry-after': '1' });
      else json(response, 201, { metadata: { name: 'web' } });
    };
    const began = performance.now();
    await client.create(PODS, { metadata: NAME });
    assert.ok(performance.now() - began >= 990, 'it did not wait for Retry-After');
  });

  it('gives up at once when the server wants more time than there is', async () => {
    server.answer = (_, response) =>
      json(response, 429, status(429, 'TooManyRequests', 'later'), { 'retry-after': '60' });
    await assert.rejects(client.get(PODS, NAME), (error) => {
      assert.ok(isReason(error, 'TooManyRequests'));
      assert.equal((error as { retryAfterMs?: number }).retryAfterMs, 60_000);
      return true;
    });
    assert.equal(server.asked.length, 1);
  });

  it('a delete whose answer was lost and that finds nothing the second time has deleted', async () => {
    server.answer = (_, response) => {
      if (server.asked.length === 1) server.cut();
      else json(response, 404, status(404, 'NotFound', 'gone', { name: 'web' }));
    };
    assert.equal(await client.delete(PODS, NAME), true);
    assert.equal(server.asked.length, 2);
  });

  it('a creation whose answer was lost is not repeated', async () => {
    server.answer = () => server.cut();
    await assert.rejects(client.create(PODS, { metadata: NAME }), { code: 'DORMOUSE_API_UNREACHABLE' });
    assert.equal(server.asked.length, 1);
  });

  it('an answer that does not come is given up within the bound', async () => {
    await client.close();
    client = createClient(server.config, { ...options, timeoutMs: 300 });
    server.answer = () => {};
    await assert.rejects(client.get(PODS, NAME), /get pods shop\/web: no answer within 300 ms; see whether http:/);
  });

  it('the signal of a request ends it with its reason, also while it waits to try again', async () => {
    server.answer = () => {};
    const asked = new AbortController();
    const pending = client.get(PODS, NAME, { signal: asked.signal });
    asked.abort(new Error('not needed any more'));
    await assert.rejects(pending, /not needed any more/);
    const waiting = new AbortController();
    server.answer = (_, response) => {
      json(response, 429, status(429, 'TooManyRequests', 'later'), { 'retry-after': '4' });
      setImmediate(() => waiting.abort(new Error('left')));
    };
    await assert.rejects(client.get(PODS, NAME, { signal: waiting.signal }), /left/);
  });

  it('what is no API server is told so', async () => {
    server.answer = (_, response) => response.writeHead(200).end('<html>');
    await assert.rejects(client.get(PODS, NAME), { code: 'DORMOUSE_API_ANSWER' });
    await assert.rejects(client.list(PODS), /not one of a Kubernetes API server/);
    server.answer = (_, response) => json(response, 200, { hello: 1 });
    await assert.rejects(client.list(PODS), /it is no list/);
  });

  it('nothing listens: says the address', async () => {
    const config = server.config;
    await server.close();
    const lonely = createClient(config, options);
    await assert.rejects(lonely.get(PODS, NAME), /ECONNREFUSED.*see whether http:\/\/127/);
    await lonely.close();
    await server.listen();
  });

  it('lists in pages and starts again when the server has forgotten the state of the first', async () => {
    const page = (names: string[], next?: string): object => ({
      metadata: { resourceVersion: '10', continue: next },
      items: names.map((name) => ({ metadata: { name } })),
    });
    let expired = false;
    server.answer = ({ query }, response) => {
      assert.equal(query.get('limit'), '500');
      if (query.get('continue') === null) json(response, 200, page(['a', 'b'], 'next'));
      else if (expired) json(response, 200, page(['c']));
      else {
        expired = true;
        json(response, 410, status(410, 'Expired', 'too old'));
      }
    };
    const { items, resourceVersion } = await client.list(CONFIG_MAPS, { namespace: 'shop', labelSelector: 'a=b' });
    assert.deepEqual(
      items.map((item) => `${item.apiVersion} ${item.kind} ${item.metadata.name}`),
      ['v1 ConfigMap a', 'v1 ConfigMap b', 'v1 ConfigMap c'],
    );
    assert.equal(resourceVersion, '10');
    assert.equal(server.asked[0]!.query.get('labelSelector'), 'a=b');
  });

  it('asks for smaller pages when objects are so large that one exceeds the bound', async () => {
    server.answer = ({ query }, response) => {
      if (Number(query.get('limit')) > 100) {
        response.writeHead(200);
        const chunk = Buffer.alloc(1024 * 1024, ' ');
        const more = (): void => {
          while (!response.destroyed && response.write(chunk));
        };
        response.on('drain', more);
        more();
      } else json(response, 200, { metadata: { resourceVersion: '1' }, items: [] });
    };
    assert.equal((await client.list(PODS)).resourceVersion, '1');
    assert.deepEqual(
      server.asked.map(({ query }) => query.get('limit')),
      ['500', '63'],
    );
  });

  it('finds out where a kind is kept, once for all who ask, and asks again for what was not there', async () => {
    let now = 0;
    await client.close();
    client = createClient(server.config, { ...options, clock: { ...systemClock, nowMs: () => now } });
    let installed = false;
    server.answer = ({ path }, response) => {
      assert.equal(path, '/apis/argoproj.io/v1alpha1');
      const resources = [
        { name: 'rollouts', kind: 'Rollout', namespaced: true },
        { name: 'rollouts/scale', kind: 'Scale', namespaced: true },
        { name: 'analysisruns', kind: 'AnalysisRun', namespaced: true },
      ];
      if (installed) json(response, 200, { kind: 'APIResourceList', resources });
      else response.writeHead(404).end('404 page not found');
    };
    const ask = (kind: string) => client.resourceOf('argoproj.io/v1alpha1', kind);
    assert.deepEqual(await Promise.all([ask('Rollout'), ask('Rollout')]), [null, null]);
    installed = true;
    assert.equal(await ask('Rollout'), null);
    now = 61_000;
    assert.deepEqual(await ask('Rollout'), {
      group: 'argoproj.io',
      version: 'v1alpha1',
      plural: 'rollouts',
      kind: 'Rollout',
      namespaced: true,
      scalable: true,
    });
    assert.equal((await ask('AnalysisRun'))!.scalable, false);
    assert.equal(server.asked.length, 2);
    assert.equal(await client.resourceOf('../../etc', 'Rollout'), null);
  });

  it('a token that the server refuses is read again at once; one that stays refused is an error after two requests', async () => {
    await client.close();
    let token = 'old';
    const asked: boolean[] = [];
    const { credentials } = server.config;
    client = createClient(
      {
        ...server.config,
        credentials: async (fresh = false) => {
          asked.push(fresh);
          return { ...(await credentials()), token: fresh ? token : 'old' };
        },
      },
      options,
    );
    server.answer = ({ headers, query }, response) => {
      if (headers.authorization !== 'Bearer new') json(response, 401, status(401, 'Unauthorized', 'Unauthorized'));
      else if (query.has('watch')) response.writeHead(200).flushHeaders();
      else json(response, 200, { metadata: { resourceVersion: '1' }, items: [] });
    };
    await assert.rejects(client.get(PODS, NAME), (error) => isReason(error, 'Unauthorized'));
    assert.deepEqual(asked, [false, true]);
    token = 'new';
    await client.get(PODS, NAME);
    assert.deepEqual(asked.slice(2), [false, true]);
    await client.list(PODS);
  });

  it('other certificates mean other connections; what is under way on the old ones goes on', async () => {
    await client.close();
    let tlsRevision = 1;
    const { credentials } = server.config;
    client = createClient(
      { ...server.config, credentials: async () => ({ ...(await credentials()), tlsRevision }) },
      options,
    );
    const waiting: (() => void)[] = [];
    const ports = new Set<number>();
    server.answer = (_, response) => {
      ports.add(response.socket!.remotePort!);
      waiting.push(() => json(response, 200, { metadata: {} }));
      if (waiting.length === 2) for (const answer of waiting) answer();
    };
    const first = client.get(PODS, NAME);
    await new Promise(setImmediate);
    tlsRevision = 2;
    await Promise.all([first, client.get(PODS, NAME)]);
    assert.equal(ports.size, 2);
  });
});
