import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { DormouseError } from '../../../model/errors.ts';
import { silentLogger, systemClock } from '../../../model/ports.ts';
import { backendStatus } from '../../../model/backend-status.fixture.ts';
import type { BackendStatus } from '../../../model/status.ts';
import type { AdminError } from '../admin-error.ts';
import type { Caller } from '../admin-target.ts';
import { pointerOf } from './config-issues.ts';
import { MachineTarget } from './machine-target.ts';
import { readState } from './state-file.ts';

const CALLER: Caller = { name: 'test', scope: 'commands', from: 'socket', mayRun: true };

const status = (name: string): BackendStatus => backendStatus({ name });

/** A dormouse whose reload puts in force what the target says then. */
async function machine(t: TestContext) {
  const stateDir = mkdtempSync(join(tmpdir(), 'dormouse-admin-'));
  t.after(() => rmSync(stateDir, { recursive: true, force: true }));
  let inForce: string[] = [];
  const made = {
    stateDir,
    reloads: 0,
    pins: [] as [string, number | null][],
    fault: null as Error | null,
    inForce: () => inForce,
    open: async () => {
      const target: MachineTarget = await MachineTarget.open({
        stateDir,
        clock: systemClock,
        logger: silentLogger,
        controller: {
          backends: () => inForce.map(status),
          wake: async () => {},
          sleep: async () => {},
          pin: (name, untilMs) => void made.pins.push([name, untilMs]),
          onEvent: () => () => {},
        },
        reload: async () => {
          made.reloads++;
          await new Promise(setImmediate);
          if (made.fault !== null) throw made.fault;
          inForce = Object.keys(target.entries());
        },
        causeText: () => '',
        onTraffic: () => () => {},
      });
      return target;
    },
  };
  return made;
}

test('what is in force is what is written, with mode 0600, and is there for the next one', async (t) => {
  const made = await machine(t);
  const target = await made.open();
  await Promise.all(
    ['a', 'b', 'c'].map((name) => target.create({ name, servers: ['http://127.0.0.1:1'] }, null, CALLER)),
  );
  assert.deepEqual(made.inForce(), ['a', 'b', 'c']);
  assert.equal(statSync(join(made.stateDir, 'admin.json')).mode & 0o777, 0o600);
  await target.remove({ name: 'b', namespace: '' });
  assert.deepEqual(Object.keys((await made.open()).entries()), ['a', 'c']);
  assert.deepEqual(readdirSync(made.stateDir), ['admin.json']);
});

test('what the configuration refuses changes nothing, and its keys are told as pointers into the body', async (t) => {
  const made = await machine(t);
  const target = await made.open();
  await target.create({ name: 'a', servers: ['http://127.0.0.1:1'] }, null, CALLER);
  const issues = [{ key: 'backends.a.scale.mx', message: 'unknown key', hint: 'did you mean "max"?' }];
  made.fault = Object.assign(new DormouseError('DORMOUSE_CONFIG_INVALID', 'x', { userFault: true }), { issues });
  const change = target.update({ name: 'a', namespace: '' }, (spec) => ({ ...spec, scale: { mx: 2 } }), CALLER);
  await assert.rejects(change, (error: AdminError) => {
    assert.deepEqual(
      [error.status, error.code, error.errors],
      [422, 'DORMOUSE_ADMIN_FIELD', [{ field: '/scale/mx', detail: 'unknown key', next: 'did you mean "max"?' }]],
    );
    return true;
  });
  assert.equal(target.isTrying, false);
  issues.push({ key: 'listeners[0].address', message: 'port 80 is taken', hint: '' });
  await assert.rejects(target.create({ name: 'b', servers: [] }, null, CALLER), { code: 'DORMOUSE_ADMIN_CONFLICT' });
  made.fault = null;
  assert.deepEqual((await target.get({ name: 'a', namespace: '' })).spec, { servers: ['http://127.0.0.1:1'] });
  assert.deepEqual(Object.keys((await made.open()).entries()), ['a']);
});

test('what can’t be written is taken back', async (t) => {
  const made = await machine(t);
  const target = await made.open();
  await target.create({ name: 'a', servers: ['http://127.0.0.1:1'] }, null, CALLER);
  const next = join(made.stateDir, 'admin.json.next');
  // A folder in the place of the file that is written next: root could write into a read-only one.
  mkdirSync(next);
  await assert.rejects(target.create({ name: 'b', servers: ['http://127.0.0.1:1'] }, null, CALLER), {
    code: 'DORMOUSE_ADMIN_STATE',
    message: /could not be written.*Nothing was changed/,
  });
  assert.deepEqual([made.inForce(), made.reloads], [['a'], 3]);
  assert.deepEqual(Object.keys((await readState(made.stateDir)).backends), ['a']);
  rmdirSync(next);
  await target.create({ name: 'b', servers: ['http://127.0.0.1:1'] }, null, CALLER);
  assert.deepEqual(Object.keys((await readState(made.stateDir)).backends), ['a', 'b']);
});

test('a state file that is none is told, with what to do', async (t) => {
  const made = await machine(t);
  for (const text of [
    '',
    '{',
    '[]',
    '{"version":2,"backends":{},"pins":{}}',
    '{"version":1,"backends":{"a":1},"pins":{}}',
  ]) {
    writeFileSync(join(made.stateDir, 'admin.json'), text);
    await assert.rejects(made.open(), {
      code: 'DORMOUSE_ADMIN_STATE',
      message: /admin\.json can't be used: .*; put a copy of it back/,
    });
  }
});

test('pins are kept, and those to come are set again at the start', async (t) => {
  const made = await machine(t);
  const target = await made.open();
  await target.create({ name: 'a', servers: ['http://127.0.0.1:1'] }, null, CALLER);
  const untilMs = Date.now() + 60_000;
  await target.pin({ name: 'a', namespace: '' }, untilMs);
  const next = await made.open();
  made.pins.length = 0;
  next.restorePins();
  assert.deepEqual(made.pins, [['a', untilMs]]);
  await next.pin({ name: 'a', namespace: '' }, null);
  assert.deepEqual(JSON.parse(readFileSync(join(made.stateDir, 'admin.json'), 'utf8')).pins, {});
});

test('places of the configuration as JSON pointers', () => {
  for (const [key, pointer] of [
    ['backends.shop', ''],
    ['backends.shop.scale.max', '/scale/max'],
    ['backends.shop.triggers[0].cron.start', '/triggers/0/cron/start'],
    ['backends.shop.process.env["a/b~c"]', '/process/env/a~1b~0c'],
    ['backends.shop.route.hosts[1]', '/hosts/1'],
    ['backends.shop.route.rules[0].matches[0].path.prefix', '/path'],
    ['backends.shopping.scale', null],
    ['routes[0].hosts', null],
    ['', null],
  ] as const)
    assert.equal(pointerOf(key, 'shop'), pointer, key);
});
