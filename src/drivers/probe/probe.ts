/**
 * One look at an address: does it accept a connection, or does it answer a GET with an expected status. Both use a fresh connection and close it at
 * once with FIN (never RST: many servers log a reset as an error). A server that only accepts sees a connection that ends without a request.
 */
import net from 'node:net';
import type { HostPort, StatusRange } from '../../model/config.ts';

/** `answered`: somebody accepts connections there, but what it said was not what was expected. */
export type ProbeResult = { ok: true } | { ok: false; answered: boolean; code: string; reason: string };

export interface ProbeTarget extends HostPort {
  /** null: accepting a connection is enough. */
  http: { path: string; status: StatusRange } | null;
}

/** A response whose status line is longer than this is not HTTP. */
const MAX_STATUS_LINE_BYTES = 1024;

/**
 * Looks once; `done` is called exactly once, never synchronously, at most `timeoutMs` later. The returned function gives up without calling `done`.
 * A callback and not a promise: while an application starts this runs 500 times a second.
 */
export function probe(target: ProbeTarget, timeoutMs: number, done: (result: ProbeResult) => void): () => void {
  let settled = false;
  let connected = false;
  const socket = net.connect({ host: target.host, port: target.port, noDelay: true });
  const finish = (result: ProbeResult | null): void => {
    if (settled) return;
    settled = true;
    clearTimeout(timer);
    socket.destroy();
    if (result !== null) done(result);
  };
  const timer = setTimeout(() => {
    const reason = connected
      ? `did not answer within ${timeoutMs} ms`
      : `did not accept a connection within ${timeoutMs} ms`;
    finish({ ok: false, answered: connected, code: 'TIMEOUT', reason });
  }, timeoutMs);
  socket.on('error', (error: NodeJS.ErrnoException) => {
    const code = error.code ?? 'ERROR';
    finish({ ok: false, answered: connected, code, reason: describe(code, connected) });
  });
  socket.on('connect', () => {
    connected = true;
    if (target.http === null) return finish({ ok: true });
    socket.write(request(target, target.http.path));
  });
  if (target.http !== null) {
    const expected = target.http.status;
    let head = '';
    socket.on('data', (chunk: Buffer) => {
      head += chunk.toString('latin1', 0, MAX_STATUS_LINE_BYTES);
      const end = head.indexOf('\n');
      if (end < 0 && head.length < MAX_STATUS_LINE_BYTES) return;
      finish(judge(head.slice(0, end < 0 ? 40 : end), expected));
    });
    socket.on('end', () => {
      finish({ ok: false, answered: true, code: 'CLOSED', reason: 'closed the connection without an answer' });
    });
  }
  return () => finish(null);
}

function request(target: ProbeTarget, path: string): string {
  const host = target.host.includes(':') ? `[${target.host}]` : target.host;
  return `GET ${path} HTTP/1.1\r\nHost: ${host}:${target.port}\r\nUser-Agent: dormouse-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n`;
}

function judge(line: string, expected: StatusRange): ProbeResult {
  const match = /^HTTP\/1\.[01] ([1-5]\d\d)(?: |\r?$)/.exec(line);
  if (match === null) return { ok: false, answered: true, code: 'NOT_HTTP', reason: 'did not answer with HTTP/1.1' };
  const status = Number(match[1]);
  if (status >= expected.from && status <= expected.to) return { ok: true };
  return {
    ok: false,
    answered: true,
    code: 'STATUS',
    reason: `answered ${status}, expected ${expected.from}-${expected.to}`,
  };
}

function describe(code: string, connected: boolean): string {
  if (code === 'ECONNREFUSED') return 'refuses connections';
  if (connected) return `broke the connection (${code})`;
  return `can't be reached (${code})`;
}
