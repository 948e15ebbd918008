/** Starts the static backend and every peer in front of it, and ends them all. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { BenchContext } from '../case.ts';
import { caddyPeer } from '../peers/caddy.ts';
import { dormousePeer } from '../peers/dormouse.ts';
import { haproxyPeer } from '../peers/haproxy.ts';
import { nginxPeer, startStaticBackend } from '../peers/nginx.ts';
import type { Peer } from '../peers/peer.ts';
import { pipePeer } from '../peers/pipe.ts';
import { freePort, type Program } from '../processes.ts';

export const PEERS: readonly Peer[] = [
  nginxPeer({ bufferedLog: false }),
  nginxPeer({ bufferedLog: true }),
  haproxyPeer,
  caddyPeer,
  pipePeer,
  dormousePeer,
];

export interface RunningPeer {
  name: string;
  url: string;
  program: Program;
}

export async function withPeers<T>(
  context: BenchContext,
  peers: readonly Peer[],
  work: (running: readonly RunningPeer[]) => Promise<T>,
  tls?: { certFile: string; keyFile: string },
): Promise<T> {
  const programs: Program[] = [];
  const running: RunningPeer[] = [];
  try {
    const backendPort = await freePort();
    const backendDir = join(context.dir, 'backend');
    mkdirSync(backendDir);
    programs.push(await startStaticBackend(backendDir, backendPort, context.loadCore));
    for (const [index, peer] of peers.entries()) {
      const dir = join(context.dir, `peer-${index}`);
      mkdirSync(dir);
      const [port, metricsPort] = [await freePort(), await freePort()];
      const program = await peer.start({ dir, port, metricsPort, backendPort, core: context.proxyCore, tls });
      programs.push(program);
      running.push({ name: peer.name, url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`, program });
    }
    return await work(running);
  } finally {
    for (const program of programs.toReversed()) await program.stop();
  }
}
