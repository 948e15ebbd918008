import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { FakeServer, json, status } from '../kubernetes/api-server.fixture.ts';
import { COMMANDS } from './command-list.ts';
import type { CommandContext } from './command.ts';
import { runCli } from './cli.ts';

const LIST = '/apis/dormouse.dev/v1alpha1/backends';

/** An API server with Backends whose finalizer a test takes away when it likes. */
class Cluster {
  readonly server = new FakeServer((asking, response) => {
    const { method, path, query } = asking;
    if (path !== LIST && method === 'DELETE') return this.#delete(path.split('/').at(-1)!, response);
    if (query.get('watch') !== null) {
      response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders();
      this.watches.push(response);
      return this.watching?.();
    }
    if (this.missing)
      return json(response, 404, status(404, 'NotFound', 'the server could not find the requested resource'));
    return json(response, 200, { metadata: { resourceVersion: '1' }, items: [...this.objects.values()] });
  });
  readonly objects = new Map<string, { metadata: Record<string, unknown> }>();
  readonly watches: ServerResponse[] = [];
  missing = false;
  /** Whether finalizers are taken away at once. */
  operator = true;
  watching: (() => void) | null = null;

  add(name: string, more: Record<string, unknown> = {}): void {
    this.objects.set(name, {
      apiVersion: 'dormouse.dev/v1alpha1',
      kind: 'Backend',
      metadata: { name, namespace: 'shop', uid: `uid-${name}`, resourceVersion: '1', ...more },
      status: { handover: { step: 'asleep' } },
    } as { metadata: Record<string, unknown> });
  }

  tell(type: string, name: string): void {
    const object = this.objects.get(name)!;
    for (const watch of this.watches) watch.write(`${JSON.stringify({ type, object })}\n`);
  }

  #delete(name: string, response: ServerResponse): void {
    json(response, 200, { metadata: {} });
    if (!this.operator) return;
    const end = (): void => {
      this.tell('DELETED', name);
      this.objects.delete(name);
    };
    if (this.watches.length > 0) end();
    else this.watching = chain(this.watching, end);
  }
}

function chain(first: (() => void) | null, second: () => void): () => void {
  return () => {
    first?.();
    second();
  };
}

describe('dormouse uninstall', () => {
  let cluster: Cluster;
  let folder = '';

  beforeEach(async () => {
    cluster = new Cluster();
    await cluster.server.listen();
    folder = mkdtempSync(join(tmpdir(), 'dormouse-uninstall-'));
    writeFileSync(
      join(folder, 'kubeconfig'),
      JSON.stringify({
        clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${cluster.server.port}` } }],
        users: [{ name: 'u', user: { token: 'abc' } }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
        'current-context': 'x',
      }),
    );
  });

  afterEach(async () => {
    await cluster.server.close();
    rmSync(folder, { recursive: true });
  });

  async function uninstall(...args: string[]): Promise<{ code: number; out: string; err: string }> {
    let out = '';
    let err = '';
    const context: CommandContext = {
      env: {},
      cwd: folder,
      out: (text) => (out += text),
      err: (text) => (err += text),
      input: () => null,
      terminal: {
        isTTY: false,
        attached: false,
        colours: false,
        size: () => ({ columns: 0, rows: 0 }),
        onKey: () => () => {},
      },
      interrupted: () => new AbortController().signal,
    };
    const code = await runCli(['uninstall', '--kubeconfig', join(folder, 'kubeconfig'), ...args], COMMANDS, context);
    return { code, out, err };
  }

  const deleted = (): string[] =>
    cluster.server.asked.filter(({ method }) => method === 'DELETE').map(({ path }) => path.split('/').at(-1)!);

  it('deletes every Backend and waits until they are gone', async () => {
    for (let index = 0; index < 30; index++) cluster.add(`b${index}`);
    const { code, out, err } = await uninstall('--yes', '--json');
    assert.deepEqual([code, err], [0, '']);
    assert.equal(JSON.parse(out).deleted, 30);
    assert.deepEqual(new Set(deleted()), new Set(Array.from({ length: 30 }, (_, index) => `b${index}`)));
    assert.equal(deleted().length, 30);
  });

  it('does nothing without --yes, and says what it would do', async () => {
    for (let index = 0; index < 7; index++) cluster.add(`b${index}`);
    const { code, out, err } = await uninstall();
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, /would delete 7 Backends .*shop\/b0, .* and 2 more.*nothing was done.*--yes/);
    assert.deepEqual(deleted(), []);
  });

  it('has nothing to do where there are no Backends, or no such kind', async () => {
    assert.deepEqual(await uninstall('--yes'), {
      code: 0,
      out: 'there are no Backends: nothing to put back\n',
      err: '',
    });
    cluster.missing = true;
    assert.deepEqual(await uninstall(), { code: 0, out: 'there are no Backends: nothing to put back\n', err: '' });
  });

  it('does not delete twice what is being deleted, but waits for it', async () => {
    cluster.add('old', { deletionTimestamp: '2026-01-01T00:00:00Z' });
    cluster.watching = () => cluster.tell('DELETED', 'old');
    const { code, out } = await uninstall('--yes');
    assert.equal(code, 0);
    assert.match(out, /^1 Backend deleted/);
    assert.deepEqual(deleted(), []);
  });

  it('deletes also one that is made meanwhile', async () => {
    cluster.add('first');
    cluster.operator = false;
    cluster.watching = () => {
      cluster.operator = true;
      cluster.add('late');
      cluster.tell('ADDED', 'late');
      cluster.tell('DELETED', 'first');
    };
    const { code, out } = await uninstall('--yes');
    assert.equal(code, 0);
    assert.match(out, /^2 Backends deleted/);
    assert.deepEqual(new Set(deleted()), new Set(['first', 'late']));
  });

  it('gives up after its time and says what is left', async () => {
    cluster.add('stuck');
    cluster.operator = false;
    const { code, out, err } = await uninstall('--yes', '--timeout', '1s');
    assert.deepEqual([code, out], [1, '']);
    assert.match(err, /1 Backend still there \(shop\/stuck at step asleep\).*operator has to run/);
  });

  it('says so when it may not delete', async () => {
    cluster.add('b');
    cluster.server.answer = (asking, response) =>
      asking.method === 'DELETE'
        ? json(response, 403, status(403, 'Forbidden', 'backends.dormouse.dev "b" is forbidden'))
        : json(response, 200, { metadata: { resourceVersion: '1' }, items: [...cluster.objects.values()] });
    const { code, err } = await uninstall('--yes', '--timeout', '20s');
    assert.equal(code, 1);
    assert.match(err, /delete.*backends/);
    assert.doesNotMatch(err, / {4}at /);
  });

  it('refuses a timeout that is none', async () => {
    for (const timeout of ['soon', '0', '2d']) {
      const { code, err } = await uninstall('--yes', '--timeout', timeout);
      assert.equal(code, 2);
      assert.match(err, /--timeout takes a duration/);
    }
  });
});
