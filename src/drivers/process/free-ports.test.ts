import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { FreePorts } from './free-ports.ts';

test('no port is handed out twice within a minute, and again afterwards', async () => {
  let nowMs = 0;
  let draw = 0;
  // Draws every number twice.
  const ports = new FreePorts({ nowMs: () => nowMs, wallMs: () => 0 }, () => Math.floor(draw++ / 2) / 12_000);
  const taken = await Promise.all(Array.from({ length: 20 }, () => ports.take()));
  assert.equal(new Set(taken).size, 20);
  nowMs = 61_000;
  draw = 0;
  assert.equal(await ports.take(), Math.min(...taken));
});

test('a port that is bound on any address of either family is left out', async () => {
  for (const host of ['127.0.0.1', '0.0.0.0']) {
    let number = 0.5;
    const random = (): number => (number += 0.001);
    const clock = { nowMs: () => 0, wallMs: () => 0 };
    const port = await new FreePorts(clock, random).take();
    number = 0.5;
    const server = net.createServer();
    await new Promise<void>((resolve) => void server.listen(port, host, resolve));
    const next = await new FreePorts(clock, random).take();
    assert.notEqual(next, port);
    await new Promise((resolve) => server.close(resolve));
  }
});

test('the ports lie outside the range of outgoing connections', async () => {
  const port = await new FreePorts({ nowMs: () => 0, wallMs: () => 0 }, Math.random).take();
  assert.ok(port >= 20_000 && port < 32_768);
});
