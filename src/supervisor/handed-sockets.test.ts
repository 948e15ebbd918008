import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import net from 'node:net';
import { describe, it } from 'node:test';
import { silentLogger } from '../model/ports.ts';
import { HandedSockets, type SlotChannel } from './handed-sockets.ts';
import type { SlotOrder } from './slot-messages.ts';
import { bindSocket, type RawSocket } from './sockets.ts';

class FakeChannel extends EventEmitter implements SlotChannel {
  connected = true;
  asked: Record<string, unknown>[] = [];
  send(message: object): boolean {
    this.asked.push((message as { slot: Record<string, unknown> }).slot);
    return true;
  }
  order(slot: SlotOrder, handle?: RawSocket): void {
    this.emit('message', { slot }, handle);
  }
}

const listener = { name: 'web', address: { host: '127.0.0.1', port: 8080 } };

function connect(port: number): Promise<string> {
  return new Promise((resolve) => {
    let text = '';
    const socket = net.connect(port, '127.0.0.1');
    socket.setEncoding('utf8').on('data', (part) => (text += part));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)));
    socket.on('close', () => resolve(text));
  });
}

describe('sockets that a worker was handed', () => {
  it("serve a former worker's connections only when there is a server for them", async () => {
    const own = bindSocket('127.0.0.1', 0, { reusePort: true });
    const extra = bindSocket('127.0.0.1', 0, { reusePort: true });
    const channel = new FakeChannel();
    const sockets = new HandedSockets(channel, silentLogger);
    const opening = sockets.open(listener);
    assert.equal(channel.asked[0]!.type, 'socket-ask');
    channel.order({ type: 'socket', ask: 1, socket: 'a#0', number: 0, of: 2 }, own.socket);
    channel.order({ type: 'socket', ask: 1, socket: 'a#1', number: 1, of: 2 }, extra.socket);
    const { handle } = await opening;
    assert.equal(await connect(extra.port), 'ECONNREFUSED');
    const server = net.createServer((client) => client.end('served'));
    await new Promise<void>((resolve) => server.listen(handle, resolve));
    assert.deepEqual(await Promise.all([connect(own.port), connect(extra.port)]), ['served', 'served']);
    channel.order({ type: 'socket-release', socket: 'a#1' });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await connect(extra.port), 'ECONNREFUSED');
    assert.equal(await connect(own.port), 'served');
    server.close();
    await once(server, 'close');
  });

  it('lets go of extra sockets when the worker is told to end, or its supervisor is gone', async () => {
    for (const end of ['shutdown', 'disconnect']) {
      const own = bindSocket('127.0.0.1', 0, { reusePort: false });
      const extra = bindSocket('127.0.0.1', 0, { reusePort: false });
      const channel = new FakeChannel();
      const opening = new HandedSockets(channel, silentLogger).open(listener);
      channel.order({ type: 'socket', ask: 1, socket: 'a#0', number: 0, of: 1 }, own.socket);
      const { handle } = await opening;
      const server = net.createServer((client) => client.end('served'));
      await new Promise<void>((resolve) => server.listen(handle, resolve));
      channel.order({ type: 'socket-join', socket: 'a#1', listener: '127.0.0.1:8080' }, extra.socket);
      assert.equal(await connect(extra.port), 'served');
      if (end === 'shutdown') channel.emit('message', { link: { type: 'shutdown', drainMs: 1 } });
      else channel.emit('disconnect');
      await new Promise((resolve) => setImmediate(resolve));
      assert.equal(await connect(extra.port), 'ECONNREFUSED');
      server.close();
      await once(server, 'close');
    }
  });

  it('are refused with the reason', async () => {
    const channel = new FakeChannel();
    const opening = new HandedSockets(channel, silentLogger).open(listener);
    channel.order({ type: 'socket-refused', ask: 1, reason: 'the supervisor has not bound it' });
    await assert.rejects(opening, {
      code: 'DORMOUSE_SOCKET_REFUSED',
      message: 'No socket for listener 127.0.0.1:8080: the supervisor has not bound it.',
    });
  });
});
