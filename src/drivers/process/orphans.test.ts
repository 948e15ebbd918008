/** A supervisor killed with SIGKILL, and the next start. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { silentLogger, systemClock } from '../../model/ports.ts';
import type { LogLine, Instance } from '../driver.ts';
import type { Crash } from '../../model/backend.ts';
import { endOrphans, stateMarker } from '../index.ts';
import { bench, isAlive } from './fixtures/process-backend.ts';
import type { Bench } from './fixtures/process-backend.ts';
import { ProcessTable, bootId } from './process-table.ts';

const SUPERVISOR = fileURLToPath(new URL('./fixtures/supervisor.ts', import.meta.url));
const linuxOnly = { skip: process.platform !== 'linux' && 'reads /proc' };

interface Event {
  instance?: Instance;
  line?: LogLine;
  crash?: Crash | null;
}

/** Runs the supervisor until `enough` says that all was seen. The caller ends it. */
async function supervise(
  args: string[],
  enough: (events: Event[]) => boolean,
  shell = 'exec "$@"',
): Promise<{ supervisor: ChildProcess; events: Event[] }> {
  const supervisor = spawn('/bin/sh', ['-c', shell, 'sh', process.execPath, SUPERVISOR, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const events: Event[] = [];
  const bound = setTimeout(() => supervisor.kill('SIGKILL'), 10_000);
  for await (const text of createInterface({ input: supervisor.stdout! })) {
    events.push(JSON.parse(text) as Event);
    if (enough(events)) break;
  }
  clearTimeout(bound);
  assert.ok(enough(events), JSON.stringify(events));
  return { supervisor, events };
}

async function kill(supervisor: ChildProcess): Promise<void> {
  const exited = once(supervisor, 'exit');
  supervisor.kill('SIGKILL');
  await exited;
}

function pidsIn(events: Event[]): number[] {
  const ofInstances = events.flatMap(({ instance }) => (instance?.pid == null ? [] : [instance.pid]));
  const ofChildren = events.flatMap(({ line }) =>
    /^(?:child|daemon) \d+$/.test(line?.text ?? '') ? [Number(line!.text.split(' ')[1])] : [],
  );
  return [...new Set([...ofInstances, ...ofChildren])];
}

async function inBench(run: (place: Bench) => Promise<void>): Promise<void> {
  const place = await bench();
  try {
    await run(place);
  } finally {
    await place.release();
  }
}

const end = (place: Bench): Promise<{ ended: number }> =>
  endOrphans({ stateDir: place.stateDir, marker: place.marker, logger: silentLogger, clock: systemClock });

test(
  'all that a killed supervisor left is ended: instances, their children, and what left the group',
  linuxOnly,
  async () => {
    await inBench(async (place) => {
      const app = JSON.stringify({ fork: true, daemon: true, ignoreTerm: true });
      const seen = (events: Event[]): boolean =>
        events.filter(({ instance }) => instance?.state === 'ready').length === 2 && pidsIn(events).length === 6;
      const { supervisor, events } = await supervise([place.stateDir, app, '2'], seen);
      await kill(supervisor);
      const pids = pidsIn(events);
      for (const pid of pids) assert.equal(await isAlive(pid), true);
      assert.deepEqual(await end(place), { ended: 6 });
      for (const pid of pids) assert.equal(await isAlive(pid), false);
      assert.deepEqual(await readdir(join(place.stateDir, 'instances')), []);
      assert.deepEqual(await end(place), { ended: 0 });
    });
  },
);

test('one whose record was never written is found by its marker', linuxOnly, async () => {
  await inBench(async (place) => {
    // A file where the folder of records should be.
    await writeFile(join(place.stateDir, 'instances'), '');
    // It is found ready before it says so, and one that speaks to nobody ends of that.
    const { supervisor, events } = await supervise(
      [place.stateDir],
      (all) =>
        all.some(({ instance }) => instance?.state === 'ready') &&
        all.some(({ line }) => line?.text.startsWith('listening') === true),
    );
    await kill(supervisor);
    assert.deepEqual(await end(place), { ended: 1 });
    for (const pid of pidsIn(events)) assert.equal(await isAlive(pid), false);
  });
});

test(
  'one without the marker is found by its record; a process that only has the same pid is left alone',
  linuxOnly,
  async () => {
    await inBench(async (place) => {
      const folder = join(place.stateDir, 'instances');
      await mkdir(folder);
      const bystander = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
      const ours = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
      const table = new ProcessTable(place.marker, process.platform);
      const record = async (instance: string, child: ChildProcess, startTime: string | null): Promise<void> => {
        const all = {
          instance,
          backend: 'app',
          pid: child.pid,
          pgid: child.pid,
          startTime,
          boot: await bootId(),
          marker: place.marker,
          port: 1,
        };
        await writeFile(join(folder, `${instance}.json`), JSON.stringify(all));
      };
      await record('app-1', bystander, '12345');
      await record('app-2', ours, await table.startTime(ours.pid!));
      await writeFile(join(folder, 'app-3.json'), '{ "pid": -1, broken');
      await writeFile(join(folder, 'app-4.json'), JSON.stringify({ pid: 1, pgid: 0 }));
      const exited = once(ours, 'exit');
      assert.deepEqual(await end(place), { ended: 1 });
      assert.deepEqual((await exited)[1], 'SIGTERM');
      assert.equal(await isAlive(bystander.pid!), true);
      assert.deepEqual(await readdir(folder), []);
      bystander.kill('SIGKILL');
    });
  },
);

test('a record of another boot ends nothing', linuxOnly, async () => {
  await inBench(async (place) => {
    const folder = join(place.stateDir, 'instances');
    await mkdir(folder);
    const child = spawn('sleep', ['60'], { stdio: 'ignore', detached: true });
    const startTime = await new ProcessTable(place.marker, process.platform).startTime(child.pid!);
    const record = {
      instance: 'a-1',
      backend: 'a',
      pid: child.pid,
      pgid: child.pid,
      startTime,
      boot: 'another',
      marker: place.marker,
      port: 1,
    };
    await writeFile(join(folder, 'a-1.json'), JSON.stringify(record));
    assert.deepEqual(await end(place), { ended: 0 });
    assert.equal(await isAlive(child.pid!), true);
    child.kill('SIGKILL');
  });
});

test('a frozen orphan is ended too', linuxOnly, async () => {
  await inBench(async (place) => {
    const { supervisor, events } = await supervise([place.stateDir], (all) =>
      all.some(({ instance }) => instance?.state === 'ready'),
    );
    await kill(supervisor);
    const [pid] = pidsIn(events);
    process.kill(-pid!, 'SIGSTOP');
    assert.deepEqual(await end(place), { ended: 1 });
    assert.equal(await isAlive(pid!), false);
  });
});

test('a process that carries the marker and calls endOrphans does not end itself', linuxOnly, async () => {
  await inBench(async (place) => {
    const index = new URL('../index.ts', import.meta.url).href;
    const ports = new URL('../../model/ports.ts', import.meta.url).href;
    const script = `
      const { endOrphans } = await import(${JSON.stringify(index)});
      const { silentLogger, systemClock } = await import(${JSON.stringify(ports)});
      const deps = { stateDir: ${JSON.stringify(place.stateDir)}, marker: ${JSON.stringify(place.marker)}, logger: silentLogger, clock: systemClock };
      process.exit((await endOrphans(deps)).ended === 0 ? 0 : 1);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      env: { ...process.env, DORMOUSE_MARKER: place.marker },
      stdio: 'inherit',
    });
    assert.deepEqual(await once(child, 'exit'), [0, null]);
  });
});

test('the marker is made once, is secret, and survives', async () => {
  await inBench(async (place) => {
    assert.match(place.marker, /^[0-9a-f]{32}$/);
    assert.equal(await stateMarker(place.stateDir), place.marker);
    const file = join(place.stateDir, 'marker');
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    await writeFile(file, 'rubbish');
    const another = await stateMarker(place.stateDir);
    assert.match(another, /^[0-9a-f]{32}$/);
    assert.notEqual(another, place.marker);
    assert.equal((await readFile(file, 'latin1')).trim(), another);
  });
});

test('a state folder that can’t be used is told with the next step', async () => {
  await inBench(async (place) => {
    const file = join(place.stateDir, 'marker');
    await stateMarker(place.stateDir);
    await assert.rejects(stateMarker(join(file, 'state')), {
      code: 'DORMOUSE_STATE_DIR',
      userFault: true,
      message: /marker\/state.*set stateDir to another folder/,
    });
  });
});

test('records are complete and secret while an instance runs', linuxOnly, async () => {
  await inBench(async (place) => {
    const folder = join(place.stateDir, 'instances');
    const { supervisor, events } = await supervise([place.stateDir], (all) =>
      all.some(({ instance }) => instance?.state === 'ready'),
    );
    try {
      let names: string[] = [];
      for (let turn = 0; turn < 1000 && !names.includes('app-1.json'); turn++) {
        names = await readdir(folder).catch(() => []);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
      const file = join(folder, 'app-1.json');
      const record = JSON.parse(await readFile(file, 'utf8'));
      const ready = events.find(({ instance }) => instance?.state === 'ready')!.instance!;
      const startTime = await new ProcessTable('', process.platform).startTime(ready.pid!);
      assert.deepEqual(record, {
        instance: 'app-1',
        backend: 'app',
        pid: ready.pid,
        pgid: ready.pid,
        marker: place.marker,
        port: ready.address!.port,
        startTime,
        boot: await bootId(),
      });
      assert.equal((await stat(file)).mode & 0o777, 0o600);
      assert.equal((await stat(folder)).mode & 0o777, 0o700);
    } finally {
      await kill(supervisor);
      await end(place);
    }
  });
});

test('without a file descriptor left a start is a crash that says what to raise', linuxOnly, async () => {
  await inBench(async (place) => {
    const crashed = (events: Event[]): boolean => events.some(({ crash }) => crash != null);
    const { supervisor, events } = await supervise(
      [place.stateDir, '{}', '1', 'exhaust'],
      crashed,
      'ulimit -n 64; exec "$@"',
    );
    await kill(supervisor);
    assert.match(
      events.find(({ crash }) => crash != null)!.crash!.reason,
      /^no file descriptors left .*\(EMFILE\); raise the limit \(ulimit -n/,
    );
    await end(place);
  });
});
