import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConfigError } from '../config/index.ts';
import { readSettings } from './operator-settings.ts';

async function settings(text: string, env: Record<string, string> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'dormouse-settings-'));
  try {
    await writeFile(join(folder, 'settings.yaml'), text);
    return await readSettings('settings.yaml', { cwd: folder, env });
  } finally {
    await rm(folder, { recursive: true });
  }
}

test('without a file, and with an empty one, every key has its default', async () => {
  const none = await readSettings(null, { cwd: '/', env: {} });
  assert.equal(none.telemetry.traces, null);
  assert.equal(none.listeners.length, 1);
  assert.deepEqual((await settings('{}\n')).telemetry.accessLog, none.telemetry.accessLog);
  assert.deepEqual((await settings('')).security, none.security);
});

test('what all gateways share is read as in the configuration file, with values of the environment', async () => {
  const config = await settings(
    'security:\n  trustedProxies: [10.0.0.0/8]\ntelemetry:\n  serverTiming: on\n  accessLog: { format: off }\n  traces:\n    otlp: "http://collector:4318"\n    headers: { authorization: "Bearer ${TOKEN}" }\n',
    { TOKEN: 'abc' },
  );
  assert.equal(config.telemetry.serverTiming, true);
  assert.equal(config.telemetry.accessLog.format, 'off');
  assert.equal(config.telemetry.traces?.headers['authorization'], 'Bearer abc');
});

test('where traffic events go is told gateways, with its password from the environment', async () => {
  const { events } = await settings('events: { bus: "${BUS}", each: on }\n', { BUS: 'redis://:secret@10.0.0.7:6379' });
  assert.deepEqual(
    [events.bus, events.each],
    [
      { kind: 'redis', url: 'redis://:secret@10.0.0.7:6379', passwordFile: null, credentialsFile: null, tls: null },
      true,
    ],
  );
  assert.deepEqual((await readSettings(null, { cwd: '/', env: {} })).events.bus, { kind: 'memory' });
});

test('what is set elsewhere is refused with its place and what can be set', async () => {
  for (const [text, place] of [
    ['workers: 3\n', 'workers'],
    ['security: {}\ntelemetry:\n  log: { level: debug }\n', 'log'],
    ['telemetry: { traces: { otlp: ftp://x } }\n', 'otlp'],
  ] as const) {
    await assert.rejects(settings(text), (error: unknown) => {
      assert.ok(error instanceof ConfigError);
      assert.match(JSON.stringify(error.issues), new RegExp(place));
      return true;
    });
  }
  await assert.rejects(readSettings('/nowhere/settings.yaml', { cwd: '/', env: {} }), /--settings: .*nowhere/);
  await assert.rejects(settings(`#${'x'.repeat(1024 * 1024)}`), /larger than 1 MiB/);
});
