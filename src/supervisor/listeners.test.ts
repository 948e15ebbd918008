import assert from 'node:assert/strict';
import { once } from 'node:events';
import net from 'node:net';
import { after, describe, it } from 'node:test';
import { Listeners } from './listeners.ts';

const servers: net.Server[] = [];
const opened: Listeners[] = [];
after(() => {
  for (const server of servers) server.close();
  for (const listeners of opened) listeners.close();
});

async function takenPort(options: net.ListenOptions = {}): Promise<number> {
  const server = net.createServer();
  servers.push(server);
  server.listen({ port: 0, host: '127.0.0.1', ...options });
  await once(server, 'listening');
  return (server.address() as net.AddressInfo).port;
}

function make(): Listeners {
  const listeners = new Listeners({ platform: process.platform });
  opened.push(listeners);
  return listeners;
}

const at = (host: string, port: number, name = 'web') => ({ name, address: { host, port } });

describe('listeners', () => {
  it('refuse a port on which another process listens, one that shares it too, and name that process', async () => {
    for (const reusePort of process.platform === 'linux' ? [false, true] : [false]) {
      for (const slots of [1, 2]) {
        const port = await takenPort({ reusePort });
        await assert.rejects(make().prepare([at('127.0.0.1', port)], slots), (error: Error & { code: string }) => {
          assert.equal(error.code, 'DORMOUSE_PORT_TAKEN');
          assert.match(error.message, new RegExp(`^Listener "web" cannot listen on 127\\.0\\.0\\.1:${port}: `));
          if (process.platform === 'linux')
            assert.match(error.message, new RegExp(`\\(pid ${process.pid}\\) listens there`));
          assert.match(error.message, /choose another address under listeners/);
          return true;
        });
      }
    }
  });

  it('say what to do about an address that is not there, a name that is unknown, and a listener that is there twice', async () => {
    await assert.rejects(make().prepare([at('192.0.2.1', 8080)], 2), {
      code: 'DORMOUSE_ADDRESS_UNAVAILABLE',
      message: /"web" cannot listen on 192\.0\.2\.1:8080: this machine has no such address/,
    });
    await assert.rejects(make().prepare([at('no-such-name.invalid', 8080)], 1), {
      code: 'DORMOUSE_ADDRESS_UNAVAILABLE',
      message: /the name is not known here/,
    });
    const port = await takenPort();
    servers.pop()!.close();
    await assert.rejects(make().prepare([at('127.0.0.1', port), at('127.0.0.1', port, 'other')], 1), {
      code: 'DORMOUSE_PORT_TAKEN',
      message: /Listener "other" cannot listen on .*: listener "web" does already/,
    });
  });

  it('take back all that a failed configuration bound, and keep what was in force', async () => {
    const listeners = make();
    await listeners.prepare([at('127.0.0.1', 0, 'kept')], 2);
    listeners.commit(2);
    const [kept] = listeners.addresses();
    const taken = await takenPort();
    const free = await takenPort();
    await new Promise((resolve) => servers.pop()!.close(resolve));
    await assert.rejects(
      listeners.prepare([at('127.0.0.1', 0, 'kept'), at('127.0.0.1', free, 'new'), at('127.0.0.1', taken)], 4),
      { code: 'DORMOUSE_PORT_TAKEN' },
    );
    assert.deepEqual(listeners.addresses(), [kept]);
    assert.equal(listeners.socketsOf(at('127.0.0.1', 0, 'kept'), 1).length, 1);
    const again = net.createServer().listen(free, '127.0.0.1');
    servers.push(again);
    await once(again, 'listening');
  });

  it('give nobody a connection while no worker listens', async () => {
    const listeners = make();
    await listeners.prepare([at('127.0.0.1', 0)], 2);
    const port = Number(listeners.addresses()[0]!.address.split(':')[1]);
    const [error] = await once(net.connect(port, '127.0.0.1'), 'error');
    assert.equal(error.code, 'ECONNREFUSED');
  });
});
