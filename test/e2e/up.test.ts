/** `dormouse up` from outside: what a user starts, asks, changes and ends. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { alive, Folder, get, RunningUp, until } from './running-up.ts';

const CALM = { timeout: 60_000 };
const opened: { folder: Folder; running: RunningUp[] }[] = [];

after(async () => {
  for (const { folder, running } of opened) {
    for (const each of running) {
      if (each.child.exitCode === null && each.child.signalCode === null) {
        each.child.kill('SIGINT');
        each.child.kill('SIGINT');
        await each.ended;
      }
    }
    folder.remove();
  }
});

function config(
  options: { workers?: number; listeners?: string; idleAfter?: string; drain?: string; backend?: string } = {},
): string {
  return `
workers: ${options.workers ?? 2}
shutdown: { drain: ${options.drain ?? '10s'} }
listeners: [${options.listeners ?? '{ name: web, address: "127.0.0.1:0" }'}]
observe: { address: "127.0.0.1:0" }
telemetry: { accessLog: { format: off } }
backends:
  shop:
    process: { command: [${JSON.stringify(process.execPath)}, app.mjs], stopGrace: 2s }
    scale: { idleAfter: ${options.idleAfter ?? '60s'} }
${options.backend ?? ''}
routes: [{ name: all, backend: shop }]
`;
}

function folder(text = config()): { folder: Folder; start: (env?: Record<string, string>) => RunningUp } {
  const entry = { folder: new Folder(text), running: [] as RunningUp[] };
  opened.push(entry);
  const start = (env?: Record<string, string>): RunningUp => {
    const running = new RunningUp(entry.folder, env);
    entry.running.push(running);
    return running;
  };
  return { folder: entry.folder, start };
}

describe('dormouse up', { concurrency: 2 }, () => {
  it('wakes on the first request, sleeps when nothing comes, and ends leaving nothing behind', CALM, async () => {
    const place = folder(config({ idleAfter: '300ms' }));
    const up = await place.start().up();
    const first = await get(up.port('web'));
    assert.equal(first.status, 200);
    assert.equal(first.headers['x-cold-start'], 'true');
    assert.equal(alive(Number(first.body)), true);
    assert.equal((await get(up.port('observe'), '/readyz')).body, 'ok\n');
    assert.match((await get(up.port('observe'), '/metrics')).body, /^dormouse_workers\{state="running"\} 2$/m);
    await up.line((line) => line.event === 'asleep');
    assert.equal(alive(Number(first.body)), false);
    const again = await get(up.port('web'));
    assert.equal(again.headers['x-cold-start'], 'true');
    const pids = [...up.workers(), Number(again.body)];
    const web = up.port('web');
    assert.equal(await up.stop(), 0);
    assert.deepEqual(pids.filter(alive), []);
    assert.equal((await get(web)).status, 0);
    const left = readdirSync(join(place.folder.path, '.dormouse'));
    assert.deepEqual(
      left.filter((name) => !['marker', 'instances', 'compile-cache'].includes(name)),
      [],
    );
    assert.deepEqual(readdirSync(join(place.folder.path, '.dormouse', 'instances')), []);
  });

  it('answers what it has accepted before it ends, and takes nothing new', CALM, async () => {
    const place = folder();
    const up = await place.start().up();
    await get(up.port('web'));
    const waiting = get(up.port('web'), '/wait');
    await until(
      async () =>
        /^dormouse_requests_in_flight\S* 1$|in_flight\S*shop\S* 1$/m.test(
          (await get(up.port('observe'), '/metrics')).body,
        ),
      'the request is in flight',
    );
    const web = up.port('web');
    const observe = up.port('observe');
    up.child.kill('SIGTERM');
    await up.line((line) => line.msg.startsWith('ending'));
    await until(async () => (await get(web)).status === 0, 'the port is closed');
    assert.equal((await get(observe, '/readyz')).status, 503);
    writeFileSync(join(place.folder.path, 'go'), '');
    assert.equal((await waiting).status, 200);
    assert.deepEqual(await up.ended, { code: 0, signal: null });
  });

  it('ends at once on the second signal', CALM, async () => {
    const place = folder(config({ drain: '60s' }));
    const up = await place.start().up();
    const { body: instance } = await get(up.port('web'));
    const waiting = get(up.port('web'), '/wait');
    up.child.kill('SIGINT');
    await up.line((line) => line.msg.startsWith('ending'));
    const began = performance.now();
    up.child.kill('SIGINT');
    assert.deepEqual(await up.ended, { code: 0, signal: null });
    assert.ok(performance.now() - began < 5000);
    assert.equal((await waiting).status, 0);
    assert.equal(alive(Number(instance)), false);
  });

  it('applies a changed file without restarting what did not change', CALM, async () => {
    const place = folder();
    const up = await place.start().up();
    const { body: pid } = await get(up.port('web'));
    const before = up.workers();
    const text = config({ listeners: '{ name: web, address: "127.0.0.1:0" }, { name: more, address: "127.0.0.1:0" }' });
    place.folder.write(text);
    await up.line((line) => line.msg === 'configuration applied' && line.version === 2);
    assert.equal((await get(up.port('more'))).body, pid);
    assert.equal((await get(up.port('web'))).body, pid);
    assert.deepEqual(up.workers(), before);
    const seen = up.lines.length;
    place.folder.write(`# Another comment changes nothing.\n${text}`);
    up.child.kill('SIGHUP');
    place.folder.write(text.replace('workers: 2', 'workers: 1'));
    await up.line((line) => line.msg === 'configuration applied', seen);
    assert.deepEqual(
      up.lines
        .slice(seen)
        .filter((line) => line.msg === 'configuration applied')
        .map((line) => line.version),
      [3],
    );
    await until(() => up.workers().length === 1, 'one worker is left');
    assert.equal((await get(up.port('web'))).body, pid);
  });

  it('keeps what is in force when the file becomes wrong, and says where it is wrong', CALM, async () => {
    const place = folder();
    const up = await place.start().up();
    place.folder.write(config().replace('idleAfter:', 'idelAfter:'));
    const line = await up.line(({ msg }) => msg.startsWith('the configuration was not applied'));
    assert.match(String(line.reason), /dormouse\.yaml:10:\d+ backends\.shop\.scale\.idelAfter: .*idleAfter/);
    assert.equal((await get(up.port('web'))).status, 200);
    assert.match((await get(up.port('observe'), '/metrics')).body, /^dormouse_config_last_reload_successful 0$/m);
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as { port: number };
    const seen = up.lines.length;
    place.folder.write(
      config({ listeners: `{ name: web, address: "127.0.0.1:0" }, { name: more, address: "127.0.0.1:${port}" }` }),
    );
    const refused = await up.line(({ msg }) => msg.startsWith('the configuration was not applied'), seen);
    taken.close();
    assert.match(String(refused.reason), /Listener "more" cannot listen on 127\.0\.0\.1:\d+: .* listens there/);
    assert.equal((await get(up.port('web'))).status, 200);
  });

  it('is told once, in a sentence, what keeps it from starting', CALM, async () => {
    const place = folder();
    const up = await place.start().up();
    const second = place.start();
    assert.equal((await second.ended).code, 1);
    assert.match(
      second.text,
      /^Another dormouse runs on the state folder .*\(pid \d+, since .*\)\. End it first \("kill \d+"\)/,
    );
    const taken = folder(config({ listeners: `{ name: web, address: "127.0.0.1:${up.port('web')}" }` }));
    const third = taken.start();
    assert.equal((await third.ended).code, 1);
    assert.match(third.text, /^Listener "web" cannot listen on 127\.0\.0\.1:\d+: .*\(pid \d+\) listens there\. End it/);
    const wrong = folder('workers: none\n').start();
    assert.equal((await wrong.ended).code, 1);
    assert.match(wrong.text, /dormouse\.yaml:1:10 workers: /);
    for (const each of [second, third, wrong]) assert.doesNotMatch(each.text, /\n\s+at /);
    assert.equal(existsSync(join(taken.folder.path, '.dormouse', 'lock')), false);
  });

  it('replaces a worker that is killed while requests go on', CALM, async () => {
    const place = folder();
    const up = await place.start().up();
    await get(up.port('web'));
    const [victim] = up.workers();
    process.kill(victim!, 'SIGSTOP');
    const answers = Promise.all(Array.from({ length: 40 }, () => get(up.port('web'))));
    process.kill(victim!, 'SIGKILL');
    assert.deepEqual(
      (await answers).filter(({ status }) => status !== 200),
      [],
    );
    assert.ok(up.workers().length === 2 && !up.workers().includes(victim!));
    await up.line((line) => line.msg === 'a worker died, replacing it');
  });

  it(
    'finds what a killed supervisor left: workers finish, instances are ended, nothing is in the way',
    CALM,
    async () => {
      const place = folder(config({ listeners: '{ name: web, address: "127.0.0.1:0" }' }));
      const up = await place.start().up();
      const { body: pid } = await get(up.port('web'));
      const workers = up.workers();
      const slow = get(up.port('web'), '/wait');
      await until(
        async () => /in_flight\S*shop\S* 1$/m.test((await get(up.port('observe'), '/metrics')).body),
        'the request is in flight',
      );
      up.child.kill('SIGKILL');
      await once(up.child, 'exit');
      const next = place.start();
      await next.line((line) => line.msg.startsWith('waiting for workers'));
      writeFileSync(join(place.folder.path, 'go'), '');
      assert.equal((await slow).body, pid);
      await next.up();
      assert.deepEqual(workers.filter(alive), []);
      assert.equal(alive(Number(pid)), false);
      const fresh = await get(next.port('web'));
      assert.equal(fresh.status, 200);
      assert.notEqual(fresh.body, pid);
      assert.equal(await next.stop(), 0);
    },
  );
});
