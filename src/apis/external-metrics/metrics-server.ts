/**
 * external.metrics.k8s.io/v1beta1, as the API server's aggregation layer passes it on: who asks is told by its headers, whether he may by the cluster. Values are asked of the leader
 * for each answer; one that can't be had is an error, and an HPA that gets one stands still.
 */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { DormouseError } from '../../model/errors.ts';
import type { Logger } from '../../model/ports.ts';
import type { PemCredentials } from '../../grpc/changing-credentials.ts';
import { figureOf, type FiguresSource } from '../scale/figures.ts';
import type { AccessReviews } from './access-reviews.ts';
import { callerOf, type RequestHeaderConfig } from './caller.ts';
import { documentAt, GROUP, VERSION } from './documents.ts';
import { BACKEND_LABEL, backendsOf } from './selector.ts';

const ANSWER_MS = 3000;
const CLOSE_MS = 2000;
const METRIC = new RegExp(`^/apis/${GROUP}/${VERSION}/namespaces/([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)/([^/]{1,300})$`);
/** Backends in one answer. */
const MOST_BACKENDS = 50;

export interface ServeMetricsOptions {
  /** Port 0: any that is free. */
  address: { host: string; port: number };
  /** Own certificate; `ca` is not used here. */
  credentials: PemCredentials;
  requestHeader: RequestHeaderConfig;
  access: AccessReviews;
  figures: Pick<FiguresSource, 'get'>;
  logger: Logger;
}

export interface MetricsServer {
  address: { host: string; port: number };
  /** New handshakes use these from now on. */
  setCredentials(credentials: PemCredentials, requestHeader: RequestHeaderConfig): void;
  close(): Promise<void>;
}

/** Rejects with DORMOUSE_EXTERNAL_METRICS_ADDRESS when the address can't be listened on. */
export async function serveMetrics(options: ServeMetricsOptions): Promise<MetricsServer> {
  const { host, port } = options.address;
  let { requestHeader } = options;
  const server = createServer(
    {
      ...tlsOf(options.credentials, requestHeader),
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.2',
    },
    (request, response) => void answer(request, response, options, requestHeader),
  );
  server.on('tlsClientError', (error: Error) => options.logger.debug('a handshake failed', { reason: error.message }));
  server.requestTimeout = 30_000;
  server.keepAliveTimeout = 90_000;
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new DormouseError(
      'DORMOUSE_EXTERNAL_METRICS_ADDRESS',
      `cannot listen on ${host}:${port} for the API server: ${(error as Error).message}; set --external-metrics to an address of this machine and a port that is free`,
      { cause: error, userFault: true },
    );
  }
  return {
    address: { host, port: (server.address() as AddressInfo).port },
    setCredentials: (credentials, next) => {
      server.setSecureContext(tlsOf(credentials, next));
      requestHeader = next;
    },
    close: () => close(server),
  };
}

function tlsOf(
  { cert, key }: PemCredentials,
  { clientCa }: RequestHeaderConfig,
): { ca: string; cert: string | Buffer; key: string | Buffer } {
  return { ca: clientCa, cert, key };
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const cut = setTimeout(() => server.closeAllConnections(), CLOSE_MS);
  await closed;
  clearTimeout(cut);
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: ServeMetricsOptions,
  requestHeader: RequestHeaderConfig,
): Promise<void> {
  request.resume();
  const url = URL.parse(`https://api${request.url ?? '/'}`);
  const path = url?.pathname ?? '';
  // Of nobody in particular: the API server looks whether anybody is here.
  if (path === '/livez' || path === '/readyz' || path === '/healthz') return send(response, 200, 'ok', 'text/plain');
  const caller = callerOf(request, requestHeader);
  if (caller === null) return fail(response, 401, 'Unauthorized', 'only the API server of the cluster may ask here');
  if (request.method !== 'GET') return fail(response, 405, 'MethodNotAllowed', 'metrics can only be read');
  const document = documentAt(path, request.headers.accept ?? '');
  if (document !== null) return send(response, 200, JSON.stringify(document.body), document.contentType);
  const match = METRIC.exec(path);
  if (match === null || url === null)
    return fail(response, 404, 'NotFound', `there is nothing at ${path.slice(0, 200)}`);
  const namespace = match[1]!;
  const metric = decoded(match[3]!);
  const signal = AbortSignal.timeout(ANSWER_MS);
  try {
    const access = { namespace, verb: 'list', resource: metric } as const;
    const { allowed, reason } = await options.access.check(caller, access, signal);
    if (!allowed) {
      const why = reason === '' ? '' : `: ${reason}`;
      const text = `${metric}.${GROUP} is forbidden: User ${JSON.stringify(caller.user)} cannot list resource ${JSON.stringify(metric)} in API group "${GROUP}" in the namespace ${JSON.stringify(namespace)}${why}`;
      return fail(response, 403, 'Forbidden', text);
    }
    const names = backendsOf(url.searchParams.get('labelSelector') ?? '');
    if (names.length === 0 || names.length > MOST_BACKENDS) {
      const text = `which Backend is meant has to be said by the selector ${BACKEND_LABEL}=NAME`;
      return fail(response, 400, 'BadRequest', text);
    }
    const items = await Promise.all(names.map((name) => valueOf(options.figures, namespace, name, metric, signal)));
    const body = { kind: 'ExternalMetricValueList', apiVersion: `${GROUP}/${VERSION}`, metadata: {}, items };
    send(response, 200, JSON.stringify(body), 'application/json');
  } catch (error) {
    failed(response, error, options.logger);
  }
}

async function valueOf(
  figures: Pick<FiguresSource, 'get'>,
  namespace: string,
  name: string,
  metric: string,
  signal: AbortSignal,
): Promise<object> {
  const backend = `${namespace}/${name}`;
  const { value, atMs } = figureOf(backend, await figures.get(backend, signal, true), metric);
  return {
    metricName: metric,
    metricLabels: { [BACKEND_LABEL]: name },
    timestamp: `${new Date(Math.floor(atMs / 1000) * 1000).toISOString().slice(0, 19)}Z`,
    value: quantity(value),
  };
}

/** In thousandths where it is not whole. */
function quantity(value: number): string {
  const thousandths = Math.ceil(value * 1000);
  return thousandths % 1000 === 0 ? String(thousandths / 1000) : `${thousandths}m`;
}

function failed(response: ServerResponse, error: unknown, logger: Logger): void {
  if (error instanceof DormouseError && error.code === 'DORMOUSE_FIGURES_UNKNOWN')
    return fail(response, 404, 'NotFound', error.message);
  if (error instanceof DormouseError && error.code === 'DORMOUSE_FIGURES_UNAVAILABLE')
    return fail(response, 503, 'ServiceUnavailable', error.message);
  logger.warn('a metric could not be answered', { reason: error instanceof Error ? error.message : String(error) });
  fail(response, 503, 'ServiceUnavailable', 'the metric could not be looked up; look at the logs of the operator');
}

/** metav1.Status. */
function fail(response: ServerResponse, code: number, reason: string, message: string): void {
  const body = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', message, reason, code };
  send(response, code, JSON.stringify(body), 'application/json');
}

function send(response: ServerResponse, code: number, body: string, contentType: string): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(code, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-cache, private',
  });
  response.end(body);
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
