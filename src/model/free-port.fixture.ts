import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';

/** Bound to port 0 and let go: free now, and unlikely to be taken before it is used a moment later. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
