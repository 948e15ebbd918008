import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
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
  const { request } = isTls ? await import('node:https') : await import('node:http');
  const { rootCertificates } = await import('node:tls');
  const host = hostname(url);
  const startMs = performance.now();
  const since = (): number => performance.now() - startMs;
  const times = { lookedUpMs: 0, connectedMs: 0, securedMs: 0 };
  let address = '';
  try {
    return await new Promise<TimedResponse>((resolve, reject) => {
      const outgoing = request({
        method,
        host: connectTo?.host ?? host,
        port: connectTo?.port ?? (url.port === '' ? (isTls ? 443 : 80) : Number(url.port)),
        path: url.pathname + url.search,
        headers: headers.flatMap(([name, value]) => [name, value]),
        setDefaultHeaders: false,
        agent: false,
        signal,
        ...(isTls
          ? {
              servername: host,
              rejectUnauthorized: !insecure,
              ...(ca === null ? {} : { ca: [...rootCertificates, ca] }),
              ALPNProtocols: ['http/1.1'],
            }
          : {}),
      });
      outgoing.on('socket', (socket: Socket | TLSSocket) => {
        socket.on('lookup', () => (times.lookedUpMs = since()));
        socket.on('connect', () => {
          times.connectedMs = since();
          times.securedMs = times.connectedMs;
          address = `${socket.remoteAddress}:${socket.remotePort}`;
        });
        socket.on('secureConnect', () => (times.securedMs = since()));
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
