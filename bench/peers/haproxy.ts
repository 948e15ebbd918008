import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../packages.ts';
import { startProgram, untilListening } from '../processes.ts';
import type { Peer } from './peer.ts';

/** HAProxy writes no files: its log goes to standard output, which is a file here. */
export const haproxyPeer: Peer = {
  name: 'haproxy',
  async start({ dir, port, metricsPort, backendPort, core }) {
    writeFileSync(
      join(dir, 'haproxy.cfg'),
      `global
  nbthread 1
  maxconn 8192
  log stdout format raw local0 info
defaults
  mode http
  log global
  option httplog
  option http-keep-alive
  option forwardfor
  http-reuse always
  timeout connect 1s
  timeout client 1h
  timeout server 1h
frontend metrics
  bind 127.0.0.1:${metricsPort}
  no log
  http-request use-service prometheus-exporter if { path /metrics }
frontend web
  bind 127.0.0.1:${port} backlog 4096
  default_backend backend
backend backend
  server one 127.0.0.1:${backendPort} pool-max-conn 64
`,
    );
    const program = startProgram([findProgram('haproxy') ?? 'haproxy', '-db', '-f', join(dir, 'haproxy.cfg')], {
      core,
      stdout: join(dir, 'access.log'),
    });
    await untilListening(program, port);
    return program;
  },
};
