import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { connect, isIP, type Socket } from 'node:net';
import { DormouseError } from '../../model/errors.ts';

export interface TimedRequestOptions {
  url: URL;
  method: string;
  headers: readonly (readonly [name: string, value: string])[];
  body: Buffer | null;
  /** Where to connect to instead of the URL's host; null: there. */
  connectTo: { host: string; port: number } | null;
  /** A certificate authority in PEM beside those of Node; null: none. */
  ca: string | null;
  /** The certificate is not verified. */
  insecure: boolean;
  signal: AbortSignal;
}

/** Times are ms after the start. */
export interface TimedResponse {
  status: number;
  httpVersion: string;
  headers: [name: string, value: string][];
  bodyBytes: number;
  /** The address that answered. */
  address: string;
  /** 0 when nothing had to be looked up. */
  lookedUpMs: number;
  connectedMs: number;
  /** = connectedMs without TLS. */
  securedMs: number;
  firstByteMs: number;
  totalMs: number;
}

/** Sends one request on a connection of its own and notes when what was there. The body is read and thrown away. */
export async function timedRequest(options: TimedRequestOptions): Promise<TimedResponse> {
  const { url, method, headers, body, connectTo, ca, insecure, signal } = options;
  const isTls = url.protocol === 'https:';
  const host = hostname(url);
  // What takes longer than many a request and is no part of it: loading modules, reading authorities.
  const [{ request }, tls] = await Promise.all([import('node:http'), import('node:tls')]);
  const secureContext = tls.createSecureContext(ca === null ? {} : { ca: [...tls.rootCertificates, ca] });
  const startMs = performance.now();
  const since = (): number => performance.now() - startMs;
  const times = { lookedUpMs: 0, connectedMs: 0, securedMs: 0 };
  let socket: Socket = connect({
    host: connectTo?.host ?? host,
    port: connectTo?.port ?? (url.port === '' ? (isTls ? 443 : 80) : Number(url.port)),
    noDelay: true,
  });
  const abort = (): void => void socket.destroy(signal.reason as Error);
  signal.addEventListener('abort', abort);
  try {
    signal.throwIfAborted();
    // Whoever waits hears of it as well.
    socket.on('error', () => {});
    socket.on('lookup', () => (times.lookedUpMs = since()));
    await once(socket, 'connect');
    times.connectedMs = since();
    times.securedMs = times.connectedMs;
    const address = `${socket.remoteAddress}:${socket.remotePort}`;
    if (isTls) {
      const servername = isIP(host) === 0 ? host : '';
      const secured = { servername, rejectUnauthorized: !insecure, secureContext, ALPNProtocols: ['http/1.1'] };
      socket = tls.connect({ socket, host, ...secured });
      socket.on('error', () => {});
      await once(socket, 'secureConnect');
      times.securedMs = since();
    }
    return await new Promise<TimedResponse>((resolve, reject) => {
      const outgoing = request({
        method,
        path: url.pathname + url.search,
        headers: headers.flatMap(([name, value]) => [name, value]),
        setDefaultHeaders: false,
        createConnection: () => socket,
      });
      outgoing.on('error', reject);
      outgoing.on('response', (response: IncomingMessage) => {
        const firstByteMs = since();
        let bodyBytes = 0;
        response.on('data', (part: Buffer) => (bodyBytes += part.length));
        response.on('error', reject);
        response.on('end', () => {
          const raw = response.rawHeaders;
          resolve({
            status: response.statusCode ?? 0,
            httpVersion: response.httpVersion,
            headers: Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i]!, raw[2 * i + 1]!]),
            bodyBytes,
            address,
            ...times,
            firstByteMs,
            totalMs: since(),
          });
        });
      });
      outgoing.end(body ?? undefined);
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const reason = signal.aborted ? 'it did not answer in time (--timeout)' : ((message || code) ?? 'unknown');
    throw new DormouseError('DORMOUSE_TRACE_REQUEST', `${url.origin} cannot be asked: ${reason}${nextStep(code)}`, {
      cause: error,
      userFault: true,
    });
  } finally {
    signal.removeEventListener('abort', abort);
    socket.destroy();
  }
}

/** Without the brackets of an IPv6 address. */
function hostname(url: URL): string {
  return url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
}

function nextStep(code: string | undefined): string {
  if (code === 'ECONNREFUSED') return '; nobody listens there: is the gateway running?';
  if (code === 'ENOTFOUND') return '; --connect-to HOST:PORT sends it to another address';
  if (code !== undefined && /CERT|SELF_SIGNED|UNABLE_TO/.test(code)) return '; name its authority with --cacert FILE';
  return '';
}
