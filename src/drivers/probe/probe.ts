/**
 * One look at an address: does it accept a connection, or does it answer a GET with an expected status. Both use a fresh connection and close it at
 * once with FIN (never RST: many servers log a reset as an error). A server that only accepts sees a connection that ends without a request.
 */
import net from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { addressText } from '../../model/address-text.ts';
import type { HostPort, StatusRange } from '../../model/config.ts';
import type { Speech } from './speech.ts';

/** `answered`: somebody accepts connections there, but what it said was not what was expected. */
export type ProbeResult = { ok: true } | { ok: false; answered: boolean; code: string; reason: string };

export interface ProbeTarget extends HostPort {
  /** null: accepting a connection is enough (over TLS: and the handshake). */
  http: { path: string; status: StatusRange } | null;
  speech: Speech;
}

/** A response whose status line is longer than this is not HTTP. */
const MAX_STATUS_LINE_BYTES = 1024;
/** The timeout passes in so many steps. One that comes late, since this process was held up, counts as one: the answer may have been here for long, unread. */
const STEPS = 10;

/**
 * Looks once; `done` is called exactly once, never synchronously, at most `timeoutMs` later, not counting time in which this process could do nothing. The returned
 * function gives up without calling `done`. A callback and not a promise: while an application starts this runs 500 times a second.
 */
export function probe(target: ProbeTarget, timeoutMs: number, done: (result: ProbeResult) => void): () => void {
  const { speech } = target;
  let settled = false;
  let connected = false;
  let socket: net.Socket | null = null;
  const finish = (result: ProbeResult | null): void => {
    if (settled) return;
    settled = true;
    clearInterval(timer);
    socket?.destroy();
    if (result !== null) done(result);
  };
  let steps = STEPS;
  const timer = setInterval(() => {
    if (--steps > 0) return;
    const reason = connected
      ? `did not answer within ${timeoutMs} ms`
      : `did not accept a connection within ${timeoutMs} ms`;
    finish({ ok: false, answered: connected, code: 'TIMEOUT', reason });
  }, timeoutMs / STEPS);
  const failed = (error: NodeJS.ErrnoException): void => {
    const code = error.code ?? 'ERROR';
    finish({ ok: false, answered: connected, code, reason: describe(code, connected) });
  };
  let options: ConnectionOptions | null;
  try {
    options = speech.tls === null ? null : speech.tls(target.host);
  } catch (error) {
    const reason = `can't be asked: ${(error as Error).message}`;
    queueMicrotask(() => finish({ ok: false, answered: false, code: 'TLS_FILES', reason }));
    return () => finish(null);
  }
  const bare = net.connect({ host: target.host, port: target.port, noDelay: true });
  socket = bare;
  bare.on('error', failed);
  bare.on('connect', () => {
    connected = true;
    if (speech.preamble !== null) bare.write(speech.preamble);
    if (options === null) {
      ask(bare, target, finish);
      return;
    }
    // Loaded where it is needed only: it costs 7 MB.
    const secured = process.getBuiltinModule('node:tls').connect({ ...options, socket: bare });
    socket = secured;
    secured.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? 'ERROR';
      finish({ ok: false, answered: true, code, reason: `can't be spoken to over TLS (${code})` });
    });
    secured.on('secureConnect', () => ask(secured, target, finish));
  });
  return () => finish(null);
}

/** On an open connection. */
function ask(socket: net.Socket, target: ProbeTarget, finish: (result: ProbeResult) => void): void {
  const { http, speech } = target;
  if (http === null) return finish({ ok: true });
  if (speech.http2) return void askOverHttp2(socket, target, http, finish);
  socket.write(request(target, http.path));
  let head = '';
  socket.on('data', (chunk: Buffer) => {
    head += chunk.toString('latin1', 0, MAX_STATUS_LINE_BYTES);
    const end = head.indexOf('\n');
    if (end < 0 && head.length < MAX_STATUS_LINE_BYTES) return;
    finish(judge(head.slice(0, end < 0 ? 40 : end), http.status));
  });
  socket.on('end', () => {
    finish({ ok: false, answered: true, code: 'CLOSED', reason: 'closed the connection without an answer' });
  });
}

async function askOverHttp2(
  socket: net.Socket,
  target: ProbeTarget,
  http: NonNullable<ProbeTarget['http']>,
  finish: (result: ProbeResult) => void,
): Promise<void> {
  const { askHttp2 } = await import('./http2-question.ts');
  if (socket.destroyed) return;
  const scheme = target.speech.tls === null ? 'http' : 'https';
  askHttp2(socket, { scheme, authority: addressText(target), path: http.path }, (status, problem) =>
    finish(
      problem === ''
        ? statusResult(status, http.status)
        : { ok: false, answered: true, code: 'NOT_HTTP', reason: problem },
    ),
  );
}

function request(target: HostPort, path: string): string {
  return `GET ${path} HTTP/1.1\r\nHost: ${addressText(target)}\r\nUser-Agent: dormouse-probe\r\nAccept: */*\r\nConnection: close\r\n\r\n`;
}

function judge(line: string, expected: StatusRange): ProbeResult {
  const match = /^HTTP\/1\.[01] ([1-5]\d\d)(?: |\r?$)/.exec(line);
  if (match === null) return { ok: false, answered: true, code: 'NOT_HTTP', reason: 'did not answer with HTTP/1.1' };
  return statusResult(Number(match[1]), expected);
}

function statusResult(status: number, expected: StatusRange): ProbeResult {
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
