import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, mock, test } from 'node:test';
import { endpoints, pickContext, type TestEndpoint } from '../gateway/balancing/endpoints.fixture.ts';
import { RoundRobin } from '../gateway/balancing/round-robin.ts';
import { RequestEdit, ResponseEdit } from '../gateway/filters/edits.ts';
import { filterContext, filterServices } from '../gateway/filters/filters.fixture.ts';
import type { Filter } from '../gateway/filters/filter.ts';
import { requestView } from '../gateway/request-view.fixture.ts';
import { silentLogger, type Logger } from '../model/ports.ts';
import { findPlugin } from './find-plugin.ts';
import { guardedFilter } from './guarded-filter.ts';
import { guardedStrategy } from './guarded-strategy.ts';
import { loadPlugin, pluginOf } from './load-plugin.ts';
import type { PluginFilter, PluginStrategy } from './plugin.ts';
import { PluginFailures } from './plugin-failures.ts';

const folder = mkdtempSync(join(tmpdir(), 'dormouse-plugins-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(path: string, text: string): string {
  mkdirSync(join(folder, path, '..'), { recursive: true });
  writeFileSync(join(folder, path), text);
  return join(folder, path);
}

/** Counts, and remembers what is logged. */
function failures(): { failures: PluginFailures; logged: Record<string, unknown>[]; pass(ms: number): void } {
  const logged: Record<string, unknown>[] = [];
  let nowMs = 0;
  const logger: Logger = { ...silentLogger, error: (_message, fields) => void logged.push(fields ?? {}) };
  return {
    failures: new PluginFailures({ logger, clock: { nowMs: () => nowMs, wallMs: () => nowMs } }),
    logged,
    pass: (ms) => void (nowMs += ms),
  };
}

const count = (counted: PluginFailures): number =>
  counted.families()[0]!.series.reduce((sum, { value }) => sum + value!, 0);

test('a plugin is found as a file or as a package, and its version follows its content', () => {
  const path = file('mine.ts', 'export default 1;');
  const found = findPlugin('./mine.ts', folder);
  assert.equal(found.path, path);
  assert.equal(findPlugin(path, '/').version, found.version);
  file('mine.ts', 'export default 2;');
  assert.notEqual(findPlugin('./mine.ts', folder).version, found.version);
  file('node_modules/plain/package.json', '{ "main": "lib.js" }');
  file('node_modules/plain/lib.js', '');
  file('node_modules/@own/esm/package.json', '{ "exports": { ".": { "types": "./x.d.ts", "import": "./esm.js" } } }');
  file('node_modules/@own/esm/esm.js', '');
  assert.equal(findPlugin('plain', folder).path, join(folder, 'node_modules/plain/lib.js'));
  assert.equal(findPlugin('@own/esm', join(folder, 'below')).path, join(folder, 'node_modules/@own/esm/esm.js'));
  for (const [written, expected] of [
    ['./none.ts', /there is no file .*none\.ts; relative paths start/],
    ['.', /there is no package \. in/],
    ['./node_modules', /is not a file; name a module/],
    ['none', /there is no package none in .* or above; install it there/],
    ['none.ts', /write \.\/none\.ts for a file/],
  ] as const)
    assert.throws(() => findPlugin(written, folder), { code: 'DORMOUSE_PLUGIN', message: expected });
});

test('a module is loaded by version, in bounded time, and only when it is a plugin', async () => {
  const path = file('loaded.mjs', 'export default { name: "a", filters: { x: { create() {} } } };');
  const first = await loadPlugin({ path, version: '1' });
  assert.equal(await loadPlugin({ path, version: '1' }), first);
  file('loaded.mjs', 'export const plugin = { name: "b" };');
  assert.equal((await loadPlugin({ path, version: '2' })).name, 'b');
  const never = file('never.mjs', 'await new Promise(() => {});');
  await assert.rejects(loadPlugin({ path: never, version: '1' }, 50), /it did not load within 0\.05 s/);
  const thrown = file('thrown.mjs', 'throw null;');
  await assert.rejects(loadPlugin({ path: thrown, version: '1' }), /it threw null/);
  const inPackage = file('node_modules/ts/index.ts', 'export default {};');
  await assert.rejects(loadPlugin({ path: inPackage, version: '1' }), /the package has to bring JavaScript/);
  for (const [module, expected] of [
    [{}, /no default export/],
    [{ default: [] }, /no default export/],
    [{ default: { name: '' } }, /its export has no name/],
    [{ default: { name: 'x', filter: {} } }, /its export has filter; there are name, strategies, filters/],
    [{ default: { name: 'x', filters: [] } }, /filters is not a mapping/],
    [{ default: { name: 'x', filters: { 'a b': { create() {} } } } }, /filters\.a b is not a name/],
    [{ default: { name: 'x', triggers: { a: { create() {} } } } }, /triggers\.a has no function start/],
    [{ default: { name: 'x', filters: { a: { create() {}, options: {} } } } }, /neither a Standard Schema nor/],
  ] as const)
    assert.throws(() => pluginOf(module), expected);
  assert.equal(pluginOf({ default: { __esModule: true, default: { name: 'cjs' } } }).name, 'cjs');
});

const PLACE = { plugin: 'mine', kind: 'filter', part: 'x' } as const;

function guard(made: PluginFilter): { filter: Filter; counted: PluginFailures } {
  const { failures: counted } = failures();
  const factory = guardedFilter(PLACE, { create: () => made }, counted);
  return { filter: factory({} as never, { ...filterContext(), index: 0, services: filterServices() }), counted };
}

function edit(): RequestEdit {
  const made = new RequestEdit();
  made.begin(requestView(), '192.0.2.1', 'http');
  return made;
}

test('answers of a plugin become header lines that can stand in a head, or 500', async () => {
  const { filter, counted } = guard({
    request: () => ({ status: 403, headers: { 'x-a': '1', 'set-cookie': ['a=1', 'b=2'] }, body: 'no' }),
  });
  assert.deepEqual(await filter.request!(edit()), {
    status: 403,
    headers: 'x-a: 1\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n',
    body: 'no',
  });
  assert.equal(count(counted), 0);
  for (const answer of [
    { status: 200, headers: { 'x-a': 'b\r\nx-injected: 1' } },
    { status: 200, headers: { 'content-length': '5' } },
    { status: 101 },
    { status: '200' },
    { status: 200, body: {} },
    'text',
  ]) {
    for (const request of [() => answer, () => Promise.resolve(answer)]) {
      const bad = guard({ request: request as unknown as () => { status: number } });
      const given = await bad.filter.request!(edit());
      assert.deepEqual([given?.status, count(bad.counted)], [500, 1], JSON.stringify(answer));
    }
  }
});

test('a promise that never settles is a 500 after 30 s; what was asked for the end of the request can not throw into it', async (t) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  t.after(() => mock.timers.reset());
  const { filter, counted } = guard({
    request: (request) => {
      request.atEnd(() => {
        throw new Error('at the end');
      });
      return new Promise<null>(() => {});
    },
  });
  const request = edit();
  const verdict = filter.request!(request);
  for (const over of request.ends!) over();
  mock.timers.tick(30_000);
  assert.equal((await verdict)?.status, 500);
  assert.equal(count(counted), 2);
});

test('a response step that throws leaves a 500 and nothing of what it had begun', () => {
  const { filter, counted } = guard({
    response(response) {
      response.setHeader('x-half', '1');
      response.setStatus(299);
      throw new Error('no');
    },
  });
  const response = new ResponseEdit();
  response.begin({ view: requestView() }, 200);
  response.addHeader('x-before', '1');
  filter.response!(response);
  assert.deepEqual([response.status, response.append, count(counted)], [500, 'x-before: 1\r\n', 1]);
  assert.match(response.replacement!.body.toString(), /"status":500/);
});

test('10,000 faults leave one series, and a log line each 10 s that says how many were not logged', () => {
  const { failures: counted, logged, pass } = failures();
  for (let i = 0; i < 10_000; i++) {
    counted.count(PLACE, 'request', new Error(`number ${i}`));
    pass(3);
  }
  assert.deepEqual(
    counted.families()[0]!.series.map(({ labels, value }) => [labels, value]),
    [[{ plugin: 'mine', kind: 'filter', part: 'x' }, 10_000]],
  );
  assert.equal(logged.length, 3);
  assert.equal(logged[1]!['unlogged'], 3333);
});

test('a strategy that throws or picks a stranger is replaced by round-robin for that request', () => {
  let mode: 'throw' | 'stranger' | 'null' | 'first' = 'throw';
  let updateFails = false;
  let known: readonly TestEndpoint[] = [];
  const strategy: PluginStrategy = {
    update(list) {
      if (updateFails) throw new Error('in update');
      known = list as readonly TestEndpoint[];
    },
    pick() {
      if (mode === 'throw') throw new Error('in pick');
      if (mode === 'stranger') return { id: 'stranger', weight: 1, inFlight: 0 };
      return mode === 'null' ? null : known[0]!;
    },
  };
  const { failures: counted } = failures();
  const factory = guardedStrategy(
    { plugin: 'mine', kind: 'strategy', part: 'x' },
    { create: () => strategy },
    () => new RoundRobin(),
    { failures: counted, logger: silentLogger },
  );
  const guarded = factory<TestEndpoint>({ strategy: 'x', hash: null, sticky: null, slowStartMs: 0 });
  const list = endpoints([1, 1]);
  guarded.update(list);
  const picked = (): (TestEndpoint | null)[] => [guarded.pick(pickContext(), null), guarded.pick(pickContext(), null)];
  for (const failing of ['throw', 'stranger', 'null'] as const) {
    mode = failing;
    assert.deepEqual(new Set(picked()), new Set(list), failing);
  }
  mode = 'first';
  assert.deepEqual(picked(), [list[0], list[0]]);
  assert.equal(guarded.pick(pickContext(), [list[0]!]), list[1], 'what was tried is not tried again');
  updateFails = true;
  guarded.update([list[1]!]);
  assert.deepEqual(picked(), [list[1], list[1]], 'it knows endpoints that are gone');
  assert.equal(count(counted), 6);
});

test("an error that nobody caught is the plugin's when its code threw it", async () => {
  const { failures: counted } = failures();
  const path = file(
    'late/late.mjs',
    `export default { name: 'late', filters: { x: { create() {} } } };
export const timer = (told) => setTimeout(() => { try { throw new Error('in timer'); } catch (error) { told(error); } }, 0);
export const called = () => { throw new Error('called'); };`,
  );
  await loadPlugin({ path, version: '1' });
  const module = (await import(`file://${path}?version=1`)) as {
    timer(told: (error: unknown) => void): void;
    called(): void;
  };
  const inTimer = await new Promise<unknown>((resolve) => module.timer(resolve));
  assert.equal(counted.claims(inTimer, 'uncaughtException'), false, 'not loaded as a plugin');
  counted.loaded('late', path);
  assert.equal(counted.claims(inTimer, 'uncaughtException'), true);
  let throughUs: unknown;
  try {
    module.called();
  } catch (error) {
    throughUs = error;
  }
  assert.equal(counted.claims(throughUs, 'uncaughtException'), false, 'something of ours was left half done');
  assert.equal(counted.claims(throughUs, 'unhandledRejection'), true);
  assert.equal(counted.claims(new Error('ours'), 'unhandledRejection'), false);
  assert.equal(counted.claims('text', 'unhandledRejection'), false);
});
