import { strict as assert } from 'node:assert';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { commandLine } from '../../bench/measure/process-tree.ts';
import { freePort } from '../../bench/processes.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '../..');
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };

const APPLICATION = `
const { createServer } = require('node:http');
createServer((request, response) => response.end('awake')).listen(Number(process.env.PORT), '127.0.0.1');
`;

describe('the packed package, installed elsewhere', () => {
  let dir = '';
  let command = '';
  const stateDir = (): string => join(dir, 'state');

  before(async () => {
    dir = mkdtempSync(join(tmpdir(), 'dormouse-pack-'));
    const install = join(dir, 'install');
    mkdirSync(install);
    await run('npm', ['pack', '--pack-destination', dir], { cwd: root, timeout: 60_000 });
    const tarball = readdirSync(dir).find((name) => name.endsWith('.tgz'));
    assert.ok(tarball);
    writeFileSync(join(install, 'package.json'), '{ "private": true }');
    const options = ['--prefer-offline', '--omit=dev', '--no-audit', '--no-fund', '--no-package-lock'];
    await run('npm', ['install', ...options, join(dir, tarball)], { cwd: install, timeout: 110_000 });
    command = join(install, 'node_modules/.bin/dormouse');
    writeFileSync(join(dir, 'app.cjs'), APPLICATION);
  });

  after(() => rmSync(dir, { recursive: true, force: true }));

  /** With the machine's own Node first, then with none but the pinned one: both ways in which the command hands over. */
  const machines: readonly { name: string; env: () => NodeJS.ProcessEnv }[] = [
    { name: "the machine's own Node", env: () => process.env },
    {
      name: 'a Node that can replace itself',
      env: () => ({ ...process.env, PATH: `${join(process.execPath, '..')}:${process.env['PATH']}` }),
    },
  ];

  for (const { name, env } of machines) {
    it(`tells its version and checks a file (${name})`, async () => {
      const file = await writeConfiguration(join(dir, 'check.yaml'));
      assert.match(
        (await run(command, ['--version'], { env: env() })).stdout,
        new RegExp(`\\b${version.replaceAll('.', '\\.')}\\b`),
      );
      await run(command, ['check', '-c', file], { env: env() });
      writeFileSync(file, 'listeners: [{ adress: 127.0.0.1:1 }]\n');
      await assert.rejects(run(command, ['check', '-c', file], { env: env() }), /address/);
    });

    it(`wakes an application, serves it, and ends with it on SIGTERM (${name})`, async () => {
      const file = join(dir, 'dormouse.yaml');
      const port = await writeConfiguration(file).then(() => portOf(file));
      const child = spawn(command, ['up', '-c', file], { env: env(), stdio: ['ignore', 'pipe', 'pipe'] });
      const ended = once(child, 'exit');
      try {
        const response = await answerOf(port);
        assert.equal(response.headers.get('x-cold-start'), 'true');
        assert.equal(await response.text(), 'awake');
      } finally {
        child.kill('SIGTERM');
      }
      assert.deepEqual(await ended, [0, null]);
      assert.deepEqual(processesNaming(dir), []);
    });
  }

  it('has the types that authors of plugins import, and runs their plugins', async () => {
    const install = join(dir, 'install');
    const plugin = `import type { Plugin } from 'dormouse/plugin';
export default { name: 'own', filters: { own: { answers: true, create: () => ({ request: (edit) => ({ status: 200, body: edit.client }) }) } } } satisfies Plugin;
`;
    writeFileSync(join(install, 'plugin.ts'), plugin);
    writeFileSync(join(install, 'wrong.ts'), plugin.replace('edit.client', 'edit.clint'));
    const types = join(root, 'node_modules/@types');
    const compile = (file: string): Promise<{ stdout: string }> =>
      run(
        process.execPath,
        [
          join(root, 'node_modules/typescript/bin/tsc'),
          ...['--ignoreConfig', '--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2024'],
          ...['--lib', 'es2024,esnext.disposable', '--typeRoots', types, '--types', 'node', file],
        ],
        { cwd: install },
      );
    await compile('plugin.ts');
    await assert.rejects(compile('wrong.ts'), ({ stdout }: { stdout: string }) => /clint/.test(stdout));
    const file = join(install, 'dormouse.yaml');
    const text = await writeConfiguration(file).then(() => readFileSync(file, 'utf8'));
    writeFileSync(
      file,
      `plugins: [./plugin.ts]\n${text.replace('[{ backend: app }]', '[{ rules: [{ filters: [{ own: }] }] }]')}`,
    );
    const child = spawn(command, ['up', '-c', file], { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'exit');
    try {
      assert.equal(await (await answerOf(portOf(file))).text(), '127.0.0.1');
    } finally {
      child.kill('SIGTERM');
    }
    assert.deepEqual(await ended, [0, null]);
  });

  async function writeConfiguration(file: string): Promise<string> {
    const [port, observe] = [await freePort(), await freePort()];
    const command = JSON.stringify([process.execPath, join(dir, 'app.cjs')]);
    writeFileSync(
      file,
      `workers: 1
stateDir: ${stateDir()}
listeners: [{ name: web, address: "127.0.0.1:${port}" }]
backends: { app: { process: { command: ${command} } } }
routes: [{ backend: app }]
observe: { address: "127.0.0.1:${observe}" }
`,
    );
    return file;
  }
});

function portOf(file: string): number {
  return Number(/127\.0\.0\.1:(\d+)/.exec(readFileSync(file, 'utf8'))?.[1]);
}

/** Until something listens; from then on the gateway itself holds the request. */
async function answerOf(port: number): Promise<Response> {
  const signal = AbortSignal.timeout(30_000);
  for (;;) {
    try {
      return await fetch(`http://127.0.0.1:${port}/`, { signal });
    } catch (error) {
      if (signal.aborted) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

/** Command lines of running processes that have this folder in them; from /proc, so on Linux only. */
function processesNaming(dir: string): string[] {
  return globSync('/proc/[0-9]*')
    .map((path) => commandLine(Number(basename(path))))
    .filter((line) => line.includes(dir));
}
