import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { loadConfig } from '../config/index.ts';
import { loadConfigApart } from './load-config-apart.ts';
import { defaultRegistry } from './registry.ts';

const folder = mkdtempSync(join(tmpdir(), 'dormouse-config-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(text: string): string {
  const path = join(folder, 'dormouse.yaml');
  writeFileSync(path, text);
  return path;
}

describe('the configuration, read apart', () => {
  it('is what reading it here gives, the environment included', async () => {
    const path = file(`
backends:
  shop: { process: { command: [node, "\${APPLICATION}"] }, balance: { strategy: consistent-hash, hash: { header: x-user } } }
  legacy: { servers: ["http://127.0.0.1:9000"], health: { http: /health } }
routes:
  - hosts: ["*.example.org"]
    rules:
      - matches: [{ path: { regex: "/a(b+)" }, headers: { x-one: "1" } }]
        filters: [{ requestHeaders: { set: { x-two: "2" } } }, { rewrite: { host: inner.example.org } }]
        backends: [{ name: shop, weight: 3 }, { name: legacy }]
`);
    const env = { ...process.env, APPLICATION: 'server.js' };
    const { config } = await loadConfigApart(path, { env });
    assert.deepEqual(config, JSON.parse(JSON.stringify(await loadConfig(path, { env, registry: defaultRegistry() }))));
    assert.deepEqual(config.backends[0]!.source, JSON.parse(JSON.stringify(config.backends[0]!.source)));
  });

  it('tells what is wrong in the same words', async () => {
    for (const path of [
      file('backends: { shop: { proces: 1 } }\nroutes: [{ backend: shp }]\n'),
      join(folder, 'not-there.yaml'),
    ]) {
      const here = await loadConfig(path, { env: {}, registry: defaultRegistry() }).catch((error: Error) => error);
      await assert.rejects(loadConfigApart(path, { env: process.env }), {
        code: (here as { code?: string }).code,
        message: (here as Error).message,
        userFault: true,
      });
    }
  });

  it('is given up in time', async () => {
    await assert.rejects(loadConfigApart(file('workers: 1\n'), { env: process.env, withinMs: 1 }), {
      code: 'DORMOUSE_CONFIG_PROCESS',
      message: /it was ended by SIGKILL/,
    });
  });
});
