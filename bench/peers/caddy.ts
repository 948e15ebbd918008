import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../packages.ts';
import { startProgram, untilListening } from '../processes.ts';
import type { Peer } from './peer.ts';

export const caddyPeer: Peer = {
  name: 'caddy',
  async start({ dir, port, metricsPort, backendPort, core, tls }) {
    writeFileSync(
      join(dir, 'Caddyfile'),
      `{
  admin 127.0.0.1:${metricsPort}
  auto_https off
  servers {
    metrics
    protocols h1 h2 h2c
  }
}
${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port} {
  bind 127.0.0.1${tls === undefined ? '' : `\n  tls ${tls.certFile} ${tls.keyFile}`}
  log {
    output file ${join(dir, 'access.log')}
    format json
  }
  reverse_proxy 127.0.0.1:${backendPort} {
    transport http {
      keepalive 1h
      keepalive_idle_conns 64
      keepalive_idle_conns_per_host 64
      compression off
    }
  }
}
`,
    );
    const program = startProgram(
      [findProgram('caddy') ?? 'caddy', 'run', '--adapter', 'caddyfile', '--config', join(dir, 'Caddyfile')],
      {
        core,
        env: { HOME: dir, XDG_CONFIG_HOME: dir, XDG_DATA_HOME: dir },
      },
    );
    await untilListening(program, port);
    return program;
  },
};
