/** The example package of examples/plugins, loaded from outside of the source tree: as TypeScript beside the file, and as a package of JavaScript. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { cpSync, globSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { stripTypeScriptTypes } from 'node:module';
import { basename, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { Folder, RunningUp, get, until } from './running-up.ts';

const example = join(import.meta.dirname, '../../examples/plugins');
const main = join(import.meta.dirname, '../../src/commands/main.ts');

/** Beside the file, as it is. */
function asTypeScript(folder: Folder): string {
  cpSync(example, join(folder.path, 'mine'), { recursive: true });
  return './mine/plugin.ts';
}

/** Installed: TypeScript is not run from node_modules. */
function asPackage(folder: Folder): string {
  const name = 'dormouse-plugin-example';
  const target = join(folder.path, 'node_modules', name);
  mkdirSync(target, { recursive: true });
  cpSync(join(example, 'package.json'), join(target, 'package.json'));
  for (const file of globSync('*.ts', { cwd: example })) {
    const javascript = stripTypeScriptTypes(readFileSync(join(example, file), 'utf8')).replaceAll(".ts'", ".js'");
    writeFileSync(join(target, basename(file, '.ts') + '.js'), javascript);
  }
  return name;
}

async function udp(t: TestContext): Promise<{ socket: Socket; port: number; text: () => string }> {
  const socket = createSocket('udp4');
  let text = '';
  socket.on('message', (message) => (text += `${message.toString()}\n`));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.after(() => socket.close());
  return { socket, port: socket.address().port, text: () => text };
}

function ask(
  port: number,
  headers: Record<string, string>,
): Promise<{ status: number; headers: http.IncomingHttpHeaders; body: string }> {
  return new Promise((resolve, reject) => {
    http
      .get({ host: '127.0.0.1', port, headers, agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8').on('data', (part: string) => (body += part));
        response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body }));
      })
      .on('error', reject);
  });
}

interface StatusOf {
  name: string;
  phase: string;
  awakeBecause: string[];
  lastWoken: { by: { kind: string; trigger?: string } } | null;
  desired: number;
}

async function status(folder: Folder, backend: string): Promise<StatusOf> {
  const text = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, [main, 'status', '--json', '-c', folder.file], (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
  return (JSON.parse(text) as { backends: StatusOf[] }).backends.find(({ name }) => name === backend)!;
}

for (const [how, install] of Object.entries({ TypeScript: asTypeScript, 'a package': asPackage })) {
  test(`strategy, filter, metrics sink and trigger of a plugin work (${how})`, { timeout: 60_000 }, async (t) => {
    const sink = await udp(t);
    const folder = new Folder('');
    t.after(() => folder.remove());
    const command = JSON.stringify([process.execPath, 'app.mjs']);
    folder.write(`
plugins: [${install(folder)}]
workers: 2
listeners: [{ address: 127.0.0.1:0 }]
observe: { address: 127.0.0.1:0 }
backends:
  shop: { process: { command: ${command} }, balance: { strategy: fill-first, options: { requests: 2 } } }
  worker:
    process: { command: ${command} }
    scale: { max: 3, idleAfter: 100ms }
    triggers: [{ name: messages, udp: { listen: "127.0.0.1:0", keepMs: 6000, perInstance: 2 } }]
routes: [{ rules: [{ filters: [{ tenant: { tenants: [blue] } }], backends: [{ name: shop }] }] }]
telemetry: { metricsSinks: [{ statsd: { address: "127.0.0.1:${sink.port}", prefix: x. }, interval: 100ms }] }
`);
    const up = new RunningUp(folder);
    t.after(() => up.stop());
    await up.up();
    const port = up.port('web');

    const refused = await ask(port, {});
    assert.deepEqual([refused.status, refused.headers['content-type']], [404, 'application/problem+json']);
    assert.equal((await status(folder, 'shop')).phase, 'asleep', 'who is refused wakes nobody');
    const answers = await Promise.all(Array.from({ length: 8 }, () => ask(port, { 'X-Tenant': 'blue' })));
    for (const answer of answers) assert.deepEqual([answer.status, answer.headers['x-served-for']], [200, 'blue']);

    // No route leads to it: only a message wakes it.
    assert.equal((await status(folder, 'worker')).phase, 'asleep');
    const { port: listening } = await up.line(({ msg }) => msg === 'listening for messages');
    for (let i = 0; i < 5; i++) sink.socket.send('hello', listening as number, '127.0.0.1');
    await up.line(({ msg }) => msg?.startsWith('worker is awake'));
    const awake = await status(folder, 'worker');
    assert.equal(awake.lastWoken?.by.kind, 'trigger');
    assert.match(
      awake.lastWoken.by.trigger ?? '',
      /^trigger messages: \d messages? in 6000 ms$|^trigger messages: \d messages in/,
    );
    assert.match(awake.awakeBecause.join(), /trigger messages: /);
    assert.ok(awake.desired >= 1 && awake.desired <= 3);
    await up.line(({ msg }) => msg?.startsWith('worker is asleep'));

    await until(
      () => /^x\.dormouse_wakes_total\.worker\.trigger:1\|c$/m.test(sink.text()),
      'the sink tells of the wake',
    );
    assert.match(sink.text(), /^x\.dormouse_backend_state\.shop\.awake:1\|g$/m);
    assert.equal(await up.stop(), 0);
  });
}

const FAULTY = `
export default {
  name: 'faulty',
  filters: {
    throws: { create: () => ({ request() { throw new Error('in request'); } }) },
    rejects: { create: () => ({ async request() { await null; throw new Error('in promise'); } }) },
    response: { create: () => ({ response() { throw new Error('in response'); } }) },
    strange: { create: () => ({ request: () => ({ status: 9 }) }) },
    later: { create: () => ({ request() { setTimeout(() => { throw new Error('in timer'); }, 1); Promise.reject(new Error('forgotten')); return null; } }) },
    whole: { create: () => ({ body: { limitBytes: 100, wants: () => true, run: async () => { throw new Error('in body'); } } }) },
    transform: { create: () => ({ response(edit) { edit.transformBody({ start() {}, write() { throw new Error('in write'); }, end() {}, onDrain() {}, destroy() {} }, 'content'); } }) },
    fine: { create: () => ({}) },
  },
  strategies: {
    broken: { create: () => ({ update() {}, pick() { throw new Error('in pick'); } }) },
  },
  triggers: { dead: { start() { throw new Error('in start'); } } },
  metricsSinks: { dead: { create: () => ({ async write() { throw new Error('in sink'); } }) } },
};
`;

test('a plugin that throws gives 500 on its route, and nothing else suffers', { timeout: 60_000 }, async (t) => {
  const folder = new Folder('');
  t.after(() => folder.remove());
  writeFileSync(join(folder.path, 'faulty.mjs'), FAULTY);
  const command = JSON.stringify([process.execPath, 'app.mjs']);
  const filters = ['throws', 'rejects', 'response', 'strange', 'later', 'whole', 'transform', 'fine'];
  const rules = filters
    .map(
      (name) =>
        `      - { matches: [{ path: { prefix: /${name} } }], filters: [{ ${name}: }], backends: [{ name: app }] }`,
    )
    .join('\n');
  folder.write(`
plugins: [./faulty.mjs]
workers: 1
listeners: [{ address: 127.0.0.1:0 }]
observe: { address: 127.0.0.1:0 }
backends: { app: { process: { command: ${command} }, balance: { strategy: broken }, triggers: [{ dead: {} }] } }
routes:
  - rules:
${rules}
telemetry: { metricsSinks: [{ dead: , interval: 100ms }] }
`);
  const up = new RunningUp(folder);
  t.after(() => up.stop());
  await up.up();
  const port = up.port('web');
  const [worker] = up.workers();
  const outcome = async (path: string): Promise<number> => (await get(port, path)).status;
  for (let round = 0; round < 20; round++) {
    assert.deepEqual(
      await Promise.all(['/throws', '/rejects', '/response', '/strange', '/later', '/whole', '/fine'].map(outcome)),
      [500, 500, 500, 500, 200, 500, 200],
    );
    assert.equal(await outcome('/transform'), 0, 'a transfer that breaks off does not look complete');
  }
  assert.deepEqual(up.workers(), [worker], 'the worker lives');
  const { body } = await get(up.port('observe'), '/metrics');
  const failures = (part: string): number =>
    Number(new RegExp(`^dormouse_plugin_failures_total\\{[^}]*part="${part}"[^}]*\\} (\\d+)$`, 'm').exec(body)?.[1]);
  for (const part of ['throws', 'rejects', 'response', 'strange', 'whole', 'transform'])
    assert.equal(failures(part), 20, part);
  assert.equal(failures(''), 40, 'timers and forgotten promises');
  assert.ok(failures('broken') >= 40 && failures('dead') >= 1);
  const told = up.lines.filter(({ msg }) => msg === 'a plugin failed').map(({ part }) => part);
  for (const part of ['throws', 'broken', 'dead']) assert.ok(told.includes(part), part);
  assert.ok(told.length < 40, 'the log is not flooded');
  assert.equal(await up.stop(), 0);
});

test('a changed plugin is loaded anew, and a broken one leaves the former in force', { timeout: 60_000 }, async (t) => {
  const folder = new Folder('');
  t.after(() => folder.remove());
  const plugin = join(folder.path, 'mine.ts');
  const write = (text: string): void => {
    writeFileSync(`${plugin}.new`, text);
    renameSync(`${plugin}.new`, plugin);
  };
  const saying = (word: string): string => `
const word: string = ${JSON.stringify(word)};
export const plugin = { name: 'mine', filters: { word: { answers: true, create: () => ({ request: () => ({ status: 200, body: word }) }) } } };
`;
  write(saying('one'));
  folder.write(`
plugins: [./mine.ts]
workers: 1
listeners: [{ address: 127.0.0.1:0 }]
observe: off
backends: {}
routes: [{ rules: [{ filters: [{ word: }] }] }]
`);
  const up = new RunningUp(folder);
  t.after(() => up.stop());
  await up.up();
  const port = up.port('web');
  assert.equal((await get(port)).body, 'one');
  write(saying('two'));
  await up.line(({ msg }) => msg === 'configuration applied');
  assert.equal((await get(port)).body, 'two');
  write('export default { nam: 1 };');
  const refusal = await up.line(({ msg }) => msg?.startsWith('the configuration was not applied'));
  assert.match(String(refusal['reason']), /dormouse\.yaml:2:\d+ plugins\[0\]: can't be loaded: its export has no name/);
  assert.equal((await get(port)).body, 'two');
  const from = up.lines.length;
  write(saying('three'));
  await up.line(({ msg }) => msg === 'configuration applied', from);
  assert.equal((await get(port)).body, 'three');
  assert.equal(await up.stop(), 0);
});

test('check says which plugin is wrong, and where; and where its options are', { timeout: 60_000 }, async (t) => {
  const folder = new Folder('');
  t.after(() => folder.remove());
  const file = (name: string, text: string): void => writeFileSync(join(folder.path, name), text);
  const check = (): Promise<string> =>
    new Promise((resolve) => {
      execFile(process.execPath, [main, 'check', '-c', folder.file], (_error, stdout, stderr) =>
        resolve(stdout + stderr),
      );
    });
  file('throws.mjs', 'throw new Error("at its top level");');
  file('syntax.mjs', 'export default {\n  name: "x",,\n};');
  file('taken.mjs', 'export default { name: "taken", filters: { redirect: { create: () => ({}) } } };');
  file('shape.mjs', 'export default { name: "shape", filters: { x: {} } };');
  file('hangs.mjs', 'setInterval(() => {}, 1000); export default { name: "hangs" };');
  folder.write('plugins: [./gone.ts, throws.mjs, ./throws.mjs, ./syntax.mjs, ./taken.mjs, ./shape.mjs, ./hangs.mjs]\n');
  const lines = (await check()).trim().split('\n');
  for (const [index, expected] of [
    /^\S+:1:11 plugins\[0\]: there is no file \S+gone\.ts; /,
    /plugins\[1\]: there is no package throws\.mjs; write \.\/throws\.mjs for a file$/,
    /plugins\[2\]: can't be loaded: at its top level$/,
    /plugins\[3\]: can't be loaded: Unexpected token ',' \(\S+syntax\.mjs:2\)$/,
    /plugins\[4\]: brings the filter redirect, which dormouse itself has too; give it another name$/,
    /plugins\[5\]: can't be loaded: filters\.x has no function create$/,
  ].entries())
    assert.match(lines[index]!, expected);
  assert.equal(lines.length, 6);

  cpSync(example, join(folder.path, 'mine'), { recursive: true });
  folder.write(`
plugins: [./mine/plugin.ts]
backends:
  app:
    process: { command: [node] }
    balance: { strategy: fill-first, options: { requests: 0 } }
    triggers: [{ udp: { listen: nowhere } }, { upd: {} }]
routes: [{ rules: [{ filters: [{ tenant: { tenant: [a] } }], backends: [{ name: app }] }] }]
telemetry: { metricsSinks: [{ statsd: { adress: x } }] }
`);
  const options = await check();
  assert.match(options, /:6:\d+ backends\.app\.balance\.options: requests: expected a whole number from 1 to 100000/);
  assert.match(options, /:7:\d+ backends\.app\.triggers\[0\]\.udp: listen: expected host:port/);
  assert.match(options, /:7:\d+ backends\.app\.triggers\[1\]\.upd: unknown trigger; did you mean "udp"\?/);
  assert.match(
    options,
    /:8:\d+ routes\[0\]\.rules\[0\]\.filters\[0\]\.tenant: unknown key tenant; there are header, tenants/,
  );
  assert.match(options, /:9:\d+ telemetry\.metricsSinks\[0\]\.statsd: unknown key adress/);
});
