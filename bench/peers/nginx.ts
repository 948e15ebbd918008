import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '../packages.ts';
import { startProgram, untilListening, type Program } from '../processes.ts';
import type { Peer } from './peer.ts';

/** nginx's own access log writes each line at once; with `bufferedLog` it gathers 64 kB first, as Dormouse's does. */
export function nginxPeer(options: { bufferedLog: boolean }): Peer {
  return {
    name: options.bufferedLog ? 'nginx, log buffered' : 'nginx',
    start: ({ dir, port, metricsPort, backendPort, core, tls }) =>
      startNginx(
        dir,
        port,
        core,
        `
  upstream backend { server 127.0.0.1:${backendPort}; keepalive 64; keepalive_requests 1000000000; }
  access_log ${join(dir, 'access.log')} combined${options.bufferedLog ? ' buffer=64k flush=1s' : ''};
  server { listen 127.0.0.1:${metricsPort}; location / { stub_status; } }
  server {
    listen 127.0.0.1:${port} ${tls === undefined ? '' : 'ssl http2 '}backlog=4096;${tls === undefined ? '' : tlsLines(tls)}
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }`,
      ),
  };
}

function tlsLines({ certFile, keyFile }: { certFile: string; keyFile: string }): string {
  return `
    ssl_certificate ${certFile};
    ssl_certificate_key ${keyFile};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:bench:1m;`;
}

/** For streams: upgrades are passed on, and every part of a response at once. */
export const nginxStreamPeer: Peer = {
  name: 'nginx',
  start: ({ dir, port, backendPort, core }) =>
    startNginx(
      dir,
      port,
      core,
      `
  upstream backend { server 127.0.0.1:${backendPort}; keepalive 64; keepalive_requests 1000000000; }
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  access_log ${join(dir, 'access.log')} combined;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://backend;
      proxy_http_version 1.1;
      proxy_buffering off;
      proxy_read_timeout 1h;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
    }
  }`,
    ),
};

/** A user as the service of examples/users gives it. */
const USER = '{"id":123,"name":"User 123","email":"user123@example.com","notes":"not for clients"}';

/** The backend of all proxies: answers GET / with 12 bytes, /large with 1 MB of a file, /users/123 with JSON, and takes any POST. No log. */
export async function startStaticBackend(dir: string, port: number, core: number | null): Promise<Program> {
  writeFileSync(join(dir, 'large'), Buffer.alloc(1_000_000, 'x'));
  return await startNginx(
    dir,
    port,
    core,
    `
  access_log off;
  server {
    listen 127.0.0.1:${port} backlog=4096;
    default_type text/plain;
    location / { client_max_body_size 0; return 200 "hello world\\n"; }
    location = /large { root ${dir}; }
    location ~ ^(/api)?/users/123$ { default_type application/json; return 200 '${USER}'; }
  }`,
  );
}

async function startNginx(dir: string, port: number, core: number | null, http: string): Promise<Program> {
  mkdirSync(dir, { recursive: true });
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${join(dir, kind)};`)
    .join('\n');
  writeFileSync(
    join(dir, 'nginx.conf'),
    `${process.getuid?.() === 0 ? 'user root;\n' : ''}daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid ${join(dir, 'nginx.pid')};
error_log ${join(dir, 'error.log')} warn;
events { worker_connections 8192; }
http {
${temporary}
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;${http}
}
`,
  );
  const program = startProgram([findProgram('nginx') ?? 'nginx', '-p', dir, '-c', join(dir, 'nginx.conf')], { core });
  await untilListening(program, port);
  return program;
}
