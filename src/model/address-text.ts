import type { HostPort } from './config.ts';

/** As addresses are written in messages and URLs: `127.0.0.1:8080`, `[::1]:8080`. */
export function addressText({ host, port }: HostPort): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
