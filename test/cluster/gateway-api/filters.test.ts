/** RouteFilters on real gateways: each kind that the CRD has does in a cluster what it does in the file, and a wrong one is refused with the place. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { installDormouse } from '../fixtures/installation.ts';
import { Scene } from '../fixtures/scene.ts';
import { ensureCluster, until } from '../machine/index.ts';
import { Edge, type Answer, type Asked } from './gateway.fixture.ts';

let scene: Scene;
let edge: Edge;

before(async () => {
  const cluster = await ensureCluster();
  await installDormouse(cluster);
  scene = await Scene.open(cluster, 'filters');
  edge = await Edge.open(scene, [{ name: 'http', port: 80, protocol: 'HTTP' }]);
  const app = await scene.guarded({ name: 'one', backend: null });
  await scene.guarded({ name: 'empty', replicas: 0, backend: null });
  // Who is asked and who gets copies: a Backend that somebody else runs.
  await scene.namespace.apply([
    {
      apiVersion: 'dormouse.dev/v1alpha1',
      kind: 'Backend',
      metadata: { name: 'other' },
      spec: { servers: [{ url: `http://${app.host}:80` }] },
    },
  ]);
});

after(async () => {
  edge?.close();
  await scene?.[Symbol.asyncDispose]();
});

interface Seen {
  path: string;
  headers: Record<string, string>;
}

const seen = ({ text }: Answer): Seen => JSON.parse(text) as Seen;
const json = { 'content-type': 'application/json' };

interface Kind {
  /** Of the RouteFilter. */
  spec: object;
  /** Of the rule. Default: /KIND. */
  prefix?: string;
  /** Default: one. */
  service?: string;
  asked?: Asked;
  /** Of the answer to a request for the prefix, or `asked`. */
  check(answer: Answer): void | Promise<void>;
}

const status =
  (wanted: number) =>
  (answer: Answer): void =>
    assert.equal(answer.status, wanted, answer.text);

const SHA = createHash('sha256').update('a-long-and-random-key').digest('hex');

const KINDS: Readonly<Record<string, Kind>> = {
  requestHeaders: {
    spec: { set: { 'x-tenant': 'acme' } },
    check: (answer) => assert.equal(seen(answer).headers['x-tenant'], 'acme'),
  },
  responseHeaders: {
    spec: { set: { 'x-served': 'yes' } },
    check: ({ headers }) => assert.equal(headers['x-served'], 'yes'),
  },
  rewrite: {
    spec: { path: { stripPrefix: '/rewrite', addPrefix: '/v2' } },
    asked: { path: '/rewrite/x?y=1' },
    check: (answer) => assert.equal(seen(answer).path, '/v2/x?y=1'),
  },
  redirect: {
    spec: { host: 'elsewhere.example', status: 308 },
    check: (answer) => {
      status(308)(answer);
      assert.match(answer.headers.location ?? '', /^http:\/\/elsewhere\.example.*\/redirect$/);
    },
  },
  jwt: {
    spec: { issuer: ['https://login.example/'], audience: ['shop'], jwks: { backend: 'other', path: '/jwks' } },
    check: status(401),
  },
  apiKey: {
    spec: { keys: [{ name: 'partner', hash: `sha256:${SHA}` }], from: [{ header: 'X-Api-Key' }] },
    asked: { path: '/apiKey', headers: { 'x-api-key': 'a-long-and-random-key' } },
    check: async (answer) => {
      status(200)(answer);
      assert.equal((await edge.ask('filters', { path: '/apiKey' })).status, 401);
    },
  },
  basic: {
    spec: {
      users: [
        {
          name: 'alice',
          hash: '$scrypt$ln=14,r=8,p=5$bm90IGEgcmVhbCBzYWx0$bm90IGEgcmVhbCBoYXNoLCBqdXN0IGFuIGV4YW1wbGU',
        },
      ],
    },
    check: status(401),
  },
  forwardAuth: {
    spec: { backend: 'other', path: '/verify', responseHeaders: ['X-Pod'] },
    check: (answer) => assert.ok(seen(answer).headers['x-pod'] !== undefined, answer.text),
  },
  rateLimit: {
    spec: { limit: 1, window: '1h' },
    // One of each gateway's own, at most.
    check: async () => {
      const statuses = await Promise.all(
        Array.from({ length: 8 }, async () => (await edge.ask('filters', { path: '/rateLimit' })).status),
      );
      assert.ok(statuses.filter((one) => one === 429).length >= 6, statuses.join());
    },
  },
  concurrency: {
    spec: { max: 1 },
    prefix: '/slow',
    asked: { path: '/slow?ms=1' },
    // One at each gateway.
    check: async () => {
      const statuses = await Promise.all(
        Array.from({ length: 8 }, async () => (await edge.ask('filters', { path: '/slow?ms=2000' })).status),
      );
      const passed = statuses.filter((one) => one === 200).length;
      assert.ok(passed >= 1 && passed <= 2, statuses.join());
      assert.equal(statuses.filter((one) => one === 503).length, 8 - passed);
    },
  },
  validate: { spec: { methods: ['POST'] }, check: status(405) },
  body: {
    spec: { request: { set: { '/id': 'set' } } },
    prefix: '/count',
    asked: { method: 'POST', path: '/count', headers: json, body: '{"a":1}' },
    check: ({ text }) => assert.equal((JSON.parse(text) as { id: string }).id, 'set'),
  },
  compress: {
    spec: { encodings: ['gzip'], minSize: 1 },
    asked: { path: '/compress', headers: { 'accept-encoding': 'gzip' } },
    check: ({ headers }) => assert.equal(headers['content-encoding'], 'gzip'),
  },
  errorPages: {
    spec: { pages: [{ status: ['5xx'], type: 'text/html', body: '<h1>later</h1>' }] },
    service: 'empty',
    asked: { path: '/errorPages', headers: { accept: 'text/html' } },
    check: (answer) => {
      status(503)(answer);
      assert.equal(answer.text, '<h1>later</h1>');
    },
  },
  mirror: {
    spec: { backend: 'other', percent: 100 },
    prefix: '/echo',
    asked: { method: 'POST', path: '/echo', headers: { 'x-id': 'mirrored' }, body: 'hello' },
    check: async ({ text }) => {
      assert.equal(text, 'hello');
      await until('a copy came', () => scene.witness.pods('mirrored').length === 2);
    },
  },
  cors: {
    spec: { origins: ['https://app.example'] },
    asked: { path: '/cors', headers: { origin: 'https://app.example' } },
    check: ({ headers }) => assert.equal(headers['access-control-allow-origin'], 'https://app.example'),
  },
};

const routeFilter = (name: string, spec: object): object => ({
  apiVersion: 'dormouse.dev/v1alpha1',
  kind: 'RouteFilter',
  metadata: { name },
  spec,
});

test('each kind of RouteFilter is accepted and seen in traffic', async (t) => {
  const nameOf = (kind: string): string => kind.toLowerCase();
  await scene.namespace.apply(
    Object.entries(KINDS).map(([kind, { spec }]) => routeFilter(nameOf(kind), { [kind]: spec })),
  );
  await edge.route(
    'filters',
    Object.entries(KINDS).map(([kind, { prefix, service = 'one' }]) => ({
      matches: [{ path: { type: 'PathPrefix', value: prefix ?? `/${kind}` } }],
      filters: [
        { type: 'ExtensionRef', extensionRef: { group: 'dormouse.dev', kind: 'RouteFilter', name: nameOf(kind) } },
      ],
      backendRefs: [{ name: service, port: 80 }],
    })),
  );
  await edge.untilTold('HTTPRoute', 'filters', 'ResolvedRefs');
  await edge.untilRoutedEverywhere('filters', { path: '/requestHeaders' });
  for (const [kind, { asked, check }] of Object.entries(KINDS)) {
    await t.test(kind, async () => {
      await edge.untilTold('RouteFilter', nameOf(kind), 'Accepted');
      await edge.untilTold('RouteFilter', nameOf(kind), 'ResolvedRefs');
      await check(await edge.ask('filters', asked ?? { path: `/${kind}` }));
    });
  }
});

test('what the schema can see is refused by the API server with its place', async (t) => {
  for (const kind of Object.keys(KINDS)) {
    await t.test(kind, async () => {
      await assert.rejects(
        scene.namespace.apply([routeFilter('wrong', { [kind]: { nonsense: 1 } })]),
        ({ message }: Error) => message.includes(`spec.${kind}`) && message.includes('nonsense'),
      );
    });
  }
  await assert.rejects(scene.namespace.apply([routeFilter('none', {})]), /exactly one/);
});

test('what only the operator can see is told in its status; its requests go nowhere until it is right', async () => {
  const wrong: readonly [string, object, RegExp][] = [
    ['rewrite', { path: { regex: '(', replacement: '/' } }, /regex/],
    ['apiKey', { keys: [{ name: 'partner', hash: 'plain' }] }, /hash/],
    ['validate', { json: { schema: { type: 'nothing' } } }, /schema/],
  ];
  for (const [kind, spec, message] of wrong) {
    const name = `wrong-${kind.toLowerCase()}`;
    await scene.namespace.apply([routeFilter(name, { [kind]: spec })]);
    const told = await edge.untilTold('RouteFilter', name, 'Accepted', 'False', 'Invalid');
    assert.match(told.message, message);
  }
  const extensionRef = { group: 'dormouse.dev', kind: 'RouteFilter', name: 'wrong-apikey' };
  await edge.route('guarded', [
    { filters: [{ type: 'ExtensionRef', extensionRef }], backendRefs: [{ name: 'one', port: 80 }] },
  ]);
  await edge.untilTold('HTTPRoute', 'guarded', 'ResolvedRefs', 'False');
  const closed = await until('the route is in force', async () => {
    const answer = await edge.ask('guarded');
    return answer.status === 404 ? null : answer;
  });
  assert.equal(closed.status, 500);
  await scene.namespace.apply([routeFilter('wrong-apikey', { apiKey: KINDS['apiKey']!.spec })]);
  await edge.untilTold('HTTPRoute', 'guarded', 'ResolvedRefs');
  const asked = await until('the filter is in force', async () => {
    const answer = await edge.ask('guarded');
    return answer.status === 500 ? null : answer;
  });
  assert.equal(asked.status, 401);
});
