import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { silentLogger, type Logger } from '../model/ports.ts';
import { linkContract } from './link.contract.ts';
import { supervisorIpcLink, type IpcChannel } from './ipc.ts';

const entry = fileURLToPath(new URL('./fixtures/ipc-gateway.ts', import.meta.url));

function start(): ChildProcess {
  return spawn(process.execPath, ['--no-warnings', entry], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
}

linkContract('ipc', () => {
  const child = start();
  const farClosed = once(child, 'exit');
  return { near: supervisorIpcLink(child, silentLogger), crash: () => child.kill('SIGKILL'), farClosed };
});

class FakeChannel extends EventEmitter implements IpcChannel {
  connected = true;
  sent: object[] = [];
  send(message: object): boolean {
    this.sent.push(message);
    return false;
  }
  disconnect(): void {
    this.connected = false;
    queueMicrotask(() => this.emit('disconnect'));
  }
}

it('ignores what it does not know, with a line in the log, and goes on', () => {
  const lines: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (_message, fields) => void lines.push(String(fields?.reason)) };
  const channel = new FakeChannel();
  const got: string[] = [];
  supervisorIpcLink(channel, logger).onMessage((message) => got.push(message.type));
  for (const link of [
    { type: 'dance' },
    { type: 'wake', backend: 3 },
    null,
    { type: 'configured', version: 1, more: true },
  ]) {
    channel.emit('message', { link });
  }
  channel.emit('message', { slot: { type: 'leaving' } });
  channel.emit('message', 'rubbish');
  assert.deepEqual(got, ['configured']);
  assert.deepEqual(lines, [
    'unknown message type "dance"',
    'message wake: backend must be string, is number',
    'a message must be an object, this is null',
  ]);
});

it('closes when the other end does not read: what waits is bounded', async () => {
  const channel = new FakeChannel();
  const link = supervisorIpcLink(channel, silentLogger);
  const closed = new Promise<void>((resolve) => link.onClose(resolve));
  for (let i = 0; i < 60_000; i++) link.send({ type: 'collect', id: i });
  await closed;
  assert.equal(channel.sent.length, 50_000);
});
