/**
 * The admin API over TCP: whose token it is, what that may do, and what is refused before it is looked at (other Hosts and Origins, which a browser sends for a page of somebody
 * else; too many failed log-ins). Never without a token: on a loopback address every user of the machine reaches it, while only some may read the file that has one.
 */
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import { addressText } from '../../model/address-text.ts';
import type { AdminConfig, AdminToken } from '../../model/config.ts';
import { DormouseError } from '../../model/errors.ts';
import { isLoopback } from '../../model/loopback.ts';
import type { MetricFamily } from '../../model/metrics.ts';
import type { Clock, Logger } from '../../model/ports.ts';
import { refuse, type AdminApi } from './admin-api.ts';
import { AdminError } from './admin-error.ts';
import type { Caller } from './admin-target.ts';
import { LoginFailures } from './login-failures.ts';

const MOST_CONNECTIONS = 256;
const MOST_TOKEN_CHARS = 4096;
const REALM = 'Bearer realm="dormouse"';

export interface AdminServerOptions {
  config: AdminConfig;
  /** Stands for the tokens of the configuration when it has none. */
  ownToken: AdminToken | null;
  api: AdminApi;
  logger: Logger;
  clock: Clock;
}

export class AdminServer {
  readonly #api: AdminApi;
  readonly #logger: Logger;
  readonly #failures: LoginFailures;
  readonly #server: Server | SecureServer;
  #config: AdminConfig;
  #tokens: ReadonlyMap<string, AdminToken>;
  /** Answers by the first digit of their status. */
  readonly #answers = new Map<string, number>(['2', '3', '4', '5'].map((digit) => [digit, 0]));
  #failedLogins = 0;

  private constructor({ config, ownToken, api, logger, clock }: AdminServerOptions, server: Server | SecureServer) {
    this.#config = config;
    this.#tokens = tokensOf(config, ownToken);
    this.#api = api;
    this.#logger = logger;
    this.#failures = new LoginFailures(clock);
    this.#server = server;
    server.maxConnections = MOST_CONNECTIONS;
    server.maxRequestsPerSocket = 1000;
    server.on('request', (request: IncomingMessage, response: ServerResponse) => this.#serve(request, response));
    // Requests that are none, and headers beyond the bounds: node answers 400 and 431 and ends the connection.
    server.on('tlsClientError', (error: Error) => logger.debug('admin: a handshake failed', { reason: error.message }));
  }

  /** Listens. Throws DORMOUSE_ADMIN_ADDRESS, or DORMOUSE_ADMIN_TLS when the certificate can't be used. */
  static async start(options: AdminServerOptions): Promise<AdminServer> {
    const { host, port } = options.config.address;
    const limits = {
      headersTimeout: 5000,
      requestTimeout: 30_000,
      keepAliveTimeout: 10_000,
      maxHeaderSize: 16 * 1024,
      connectionsCheckingInterval: 5000,
    };
    const secure = secureOptions(options.config);
    // Not by import: the module's ESM face touches every part of node:http, which costs memory for good.
    const bare =
      secure === null
        ? process.getBuiltinModule('node:http').createServer(limits)
        : process.getBuiltinModule('node:https').createServer({ ...limits, ...secure, handshakeTimeout: 5000 });
    const server = new AdminServer(options, bare);
    await new Promise<void>((resolve, reject) => {
      bare.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)));
      bare.listen({ host, port }, resolve);
    });
    bare.removeAllListeners('error');
    bare.on('error', (error) => options.logger.warn('admin server', { error }));
    return server;
  }

  /** With the port that was taken when 0 was asked for. */
  get address(): { host: string; port: number } {
    const bound = this.#server.address();
    const { host, port } = this.#config.address;
    return { host, port: typeof bound === 'object' && bound !== null ? bound.port : port };
  }

  /** Other tokens, names or certificates at the same address. Throws DORMOUSE_ADMIN_TLS. */
  reconfigure(config: AdminConfig, ownToken: AdminToken | null): void {
    const secure = secureOptions(config);
    if (secure !== null) (this.#server as SecureServer).setSecureContext(secure);
    this.#config = config;
    this.#tokens = tokensOf(config, ownToken);
  }

  families(): MetricFamily[] {
    return [
      {
        name: 'dormouse_admin_requests_total',
        help: 'Requests that the admin API answered over TCP.',
        type: 'counter',
        series: [...this.#answers].map(([digit, value]) => ({ labels: { code_class: `${digit}xx` }, value })),
      },
      {
        name: 'dormouse_admin_login_failures_total',
        help: 'Requests to the admin API with a token that is not known.',
        type: 'counter',
        series: [{ labels: {}, value: this.#failedLogins }],
      },
    ];
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      const cut = setTimeout(() => this.#server.closeAllConnections(), 500);
      this.#server.close(() => {
        clearTimeout(cut);
        resolve();
      });
      this.#server.closeIdleConnections();
    });
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    request.on('error', () => {});
    response.on('error', () => {});
    response.once('finish', () => {
      const digit = String(response.statusCode)[0]!;
      this.#answers.set(digit, (this.#answers.get(digit) ?? 0) + 1);
    });
    try {
      this.#checkHost(request);
      const caller = this.#callerOf(request);
      void this.#api.serve(request, response, request.url ?? '/', caller);
    } catch (error) {
      refuse(request, response, error);
    }
  }

  /** A page of somebody else that a browser shows may send requests here, under a name that it has made lead here. */
  #checkHost(request: IncomingMessage): void {
    const { host = '', origin } = request.headers;
    const name = nameOf(host);
    const { address, hosts, tls } = this.#config;
    // Beyond loopback the certificate says whose this is, and a browser goes by it.
    const known =
      isLoopback(name) || hosts.includes(name) || name === address.host || (tls !== null && !isLoopback(address.host));
    if (name === '' || !known) {
      throw new AdminError(
        421,
        'DORMOUSE_ADMIN_HOST',
        'this address is not reached under that Host; use 127.0.0.1, or name the host in admin.hosts',
      );
    }
    const site = request.headers['sec-fetch-site'];
    const isOwn = origin === undefined || (origin !== 'null' && hostOf(origin) === host.toLowerCase());
    if (!isOwn || (site !== undefined && site !== 'same-origin' && site !== 'none')) {
      throw new AdminError(403, 'DORMOUSE_ADMIN_ORIGIN', 'pages of other origins may not use the admin API');
    }
  }

  #callerOf(request: IncomingMessage): Caller {
    const from = request.socket.remoteAddress ?? '';
    const given = request.headers.authorization;
    const token = given === undefined ? null : /^Bearer +([\x21-\x7e]+) *$/i.exec(given)?.[1];
    const known =
      token == null || token.length > MOST_TOKEN_CHARS
        ? undefined
        : this.#tokens.get(`sha256:${hash('sha256', token, 'hex')}`);
    if (known !== undefined) {
      const { commands, address } = this.#config;
      const isLocal = isLoopback(address.host) && isLoopback(from);
      return { name: known.name, scope: known.scope, from, mayRun: commands === 'loopback' && isLocal };
    }
    // Nobody has guessed anything without a token.
    const waitSeconds = given === undefined ? 0 : this.#failures.count(from);
    if (given !== undefined) {
      this.#failedLogins++;
      this.#logger.warn('admin: a log-in failed', { audit: true, from, limited: waitSeconds > 0 });
    }
    if (waitSeconds > 0) {
      throw new AdminError(429, 'DORMOUSE_ADMIN_LOGINS', `too many failed log-ins; wait ${waitSeconds} s`, {
        headers: { 'retry-after': String(waitSeconds) },
      });
    }
    throw new AdminError(
      401,
      'DORMOUSE_ADMIN_TOKEN',
      given === undefined
        ? 'a token is needed; send Authorization: Bearer TOKEN'
        : 'this token is not known; send one of admin.tokens, or the one in the state folder',
      { headers: { 'www-authenticate': given === undefined ? REALM : `${REALM}, error="invalid_token"` } },
    );
  }
}

function tokensOf({ tokens }: AdminConfig, ownToken: AdminToken | null): ReadonlyMap<string, AdminToken> {
  return new Map((tokens ?? (ownToken === null ? [] : [ownToken])).map((token) => [token.hash, token]));
}

function secureOptions({ tls }: AdminConfig): object | null {
  if (tls === null) return null;
  try {
    return {
      cert: readFileSync(tls.certFile),
      key: readFileSync(tls.keyFile),
      minVersion: 'TLSv1.2',
      ...(tls.clientCaFile === null
        ? {}
        : { ca: readFileSync(tls.clientCaFile), requestCert: true, rejectUnauthorized: true }),
    };
  } catch (error) {
    throw new DormouseError(
      'DORMOUSE_ADMIN_TLS',
      `admin.tls can't be used: ${error instanceof Error ? error.message : String(error)}; check the files`,
      { cause: error, userFault: true },
    );
  }
}

/** Lower case, without port and brackets. */
function nameOf(host: string): string {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@\s]+))(?::\d{1,5})?$/i.exec(host);
  return (match?.[1] ?? match?.[2] ?? '').toLowerCase();
}

function hostOf(origin: string): string {
  return /^https?:\/\/([^/?#]+)$/i.exec(origin)?.[1]?.toLowerCase() ?? '';
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): DormouseError {
  const where = addressText({ host, port });
  const next =
    error.code === 'EADDRINUSE'
      ? 'another program listens there; end it, or set admin.address to another port'
      : error.code === 'EACCES'
        ? 'set admin.address to a port from 1024 up'
        : 'set admin.address to an address of this machine';
  return new DormouseError(
    'DORMOUSE_ADMIN_ADDRESS',
    `cannot listen on ${where} for the admin API: ${error.code ?? error.message}; ${next}`,
    { cause: error, userFault: true },
  );
}
