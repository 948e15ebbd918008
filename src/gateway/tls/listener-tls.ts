import { constants, createHash } from 'node:crypto';
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import type { CertificateFiles, InlineCertificate, ListenerTlsConfig } from '../../model/config.ts';
import { DormouseError } from '../../model/errors.ts';
import type { Clock, Logger } from '../../model/ports.ts';
import { checkPair, readCertificates, validityWarning, type CertificatePair } from '../../tls/certificate-pair.ts';
import { CertificateTable, serverContext } from './certificate-table.ts';
import { ServerTlsSocket } from './server-tls-socket.ts';
import { FileProblem, WatchedFiles } from './watched-files.ts';

/** RFC 7301 section 3.1: each name behind its length. */
const ALPN_HTTP1 = Buffer.from('\x08http/1.1', 'latin1');
const ALPN_HTTP2_AND_1 = Buffer.from('\x02h2\x08http/1.1', 'latin1');

/** A worker that starts while files are being replaced tries again this often, after this pause, ms, before it refuses the configuration. */
const START_TRIES = 5;
const START_PAUSE_MS = 300;

export interface ListenerTlsDeps {
  logger: Logger;
  clock: Clock;
  /** 48 bytes, of the sessions; the same for all workers, once the supervisor has told them. */
  ticketKeys(): Buffer;
}

/** TLS of one listener: its certificates, read anew when their files change, and what is agreed on with clients. */
export class ListenerTls {
  readonly config: ListenerTlsConfig;
  /** The whole Strict-Transport-Security line, or ''. */
  readonly hstsLine: string;
  private readonly listener: string;
  private readonly deps: ListenerTlsDeps;
  private readonly files: WatchedFiles;
  private ticketKeys: Buffer;
  private pairs: CertificatePair[] = [];
  private clientCa: Buffer | null = null;
  private current: CertificateTable | null = null;

  private constructor(listener: string, config: ListenerTlsConfig, deps: ListenerTlsDeps) {
    this.listener = listener;
    this.config = config;
    this.deps = deps;
    this.ticketKeys = deps.ticketKeys();
    this.hstsLine = hstsLine(config);
    const { caFile } = config.clientAuth;
    this.files = new WatchedFiles({
      files: [
        ...config.certificates.flatMap((one) => (isInline(one) ? [] : [one.certFile, one.keyFile])),
        ...(this.asksForCertificates && caFile !== null ? [caFile] : []),
      ],
      use: (contents) => this.use(contents),
      logger: deps.logger,
      fields: { listener },
    });
  }

  /** Reads the files. Rejects with DORMOUSE_TLS_FILE, naming the file and what is wrong with it. */
  static async open(listener: string, config: ListenerTlsConfig, deps: ListenerTlsDeps): Promise<ListenerTls> {
    const opened = new ListenerTls(listener, config, deps);
    for (let tries = 1; ; tries++) {
      try {
        await opened.files.load();
        opened.files.watch();
        return opened;
      } catch (error) {
        if (!(error instanceof FileProblem) || tries === START_TRIES) {
          opened.close();
          throw fileError(listener, error);
        }
        await new Promise((resolve) => setTimeout(resolve, START_PAUSE_MS));
      }
    }
  }

  get asksForCertificates(): boolean {
    return this.config.clientAuth.mode !== 'none';
  }

  get certificates(): readonly CertificatePair[] {
    return this.pairs;
  }

  get table(): CertificateTable {
    return this.current!;
  }

  /** Clients' sessions are sealed with these keys from now on; those sealed with the former ones begin anew. */
  setTicketKeys(keys: Buffer): void {
    if (keys.equals(this.ticketKeys)) return;
    this.ticketKeys = keys;
    this.current = this.tableOf(this.pairs, this.clientCa);
  }

  /** Looks whether the files have changed, without waiting for the system to tell. */
  check(): Promise<void> {
    return this.files.check();
  }

  close(): void {
    this.files.close();
  }

  /**
   * Begins the handshake on a paused socket. `context`: of `table`, for the name that the client asks for. (Node can choose a context during the handshake, too, but then takes only one of its certificates, and
   * leaves those of the first context that have another kind of key.)
   */
  wrap(raw: Socket, context: SecureContext, offersHttp2: boolean): ServerTlsSocket {
    return new ServerTlsSocket(raw, {
      secureContext: context,
      alpn: offersHttp2 ? ALPN_HTTP2_AND_1 : ALPN_HTTP1,
      requestCert: this.asksForCertificates,
      rejectUnauthorized: this.config.clientAuth.mode === 'require',
    });
  }

  private use(contents: readonly Buffer[]): void {
    const { certificates } = this.config;
    let read = 0;
    const pairs = certificates.map((one): CertificatePair => {
      const [cert, key] = isInline(one)
        ? [Buffer.from(one.cert), Buffer.from(one.key)]
        : [contents[read++]!, contents[read++]!];
      const checked = checkPair(cert, key);
      if (!checked.ok) throw new FileProblem(placeOf(one, checked.which), checked.reason);
      if (!isInline(one) || one.hosts.length === 0) return checked.pair;
      return { ...checked.pair, names: one.hosts.map((host) => (host.startsWith('*.') ? `*${host}` : host)) };
    });
    const clientCa = contents[read] ?? null;
    if (clientCa !== null) {
      const authorities = readCertificates(clientCa);
      if (typeof authorities === 'string') throw new FileProblem(this.config.clientAuth.caFile!, authorities);
    }
    this.current = this.tableOf(pairs, clientCa);
    this.pairs = pairs;
    this.clientCa = clientCa;
    pairs.forEach((pair, index) => {
      const warning = validityWarning(pair, this.deps.clock.wallMs());
      if (warning !== null)
        this.deps.logger.warn(warning, { listener: this.listener, file: placeOf(certificates[index]!, 'cert') });
    });
  }

  private tableOf(pairs: readonly CertificatePair[], clientCa: Buffer | null): CertificateTable {
    const options = {
      minVersion: this.config.minVersion,
      clientCa,
      sessionIdContext: sessionIdContext(this.config, clientCa),
      ticketKeys: this.ticketKeys,
      // Nobody needs it, and it is work that a client can ask for again and again; TLS 1.3 has none.
      secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
    };
    return new CertificateTable(pairs, (together): SecureContext => {
      try {
        return serverContext(together, options);
      } catch (error) {
        const index = pairs.indexOf(together[0]!);
        throw new FileProblem(
          placeOf(this.config.certificates[index]!, 'cert'),
          `OpenSSL refuses it (${(error as { code?: string }).code ?? 'unknown reason'})`,
          { cause: error },
        );
      }
    });
  }
}

function isInline(certificate: CertificateFiles | InlineCertificate): certificate is InlineCertificate {
  return 'cert' in certificate;
}

/** What a message names: a file, or where the certificate comes from. */
function placeOf(certificate: CertificateFiles | InlineCertificate, which: 'cert' | 'key'): string {
  if (isInline(certificate)) return certificate.name;
  return which === 'cert' ? certificate.certFile : certificate.keyFile;
}

/** A session is a client's certificate as well: it must not be taken up where others are trusted, or another mode is asked for. */
function sessionIdContext({ clientAuth }: ListenerTlsConfig, clientCa: Buffer | null): string {
  const hash = createHash('sha256').update(`${clientAuth.mode}\n`);
  if (clientCa !== null) hash.update(clientCa);
  return hash.digest('hex').slice(0, 32);
}

function fileError(listener: string, error: unknown): unknown {
  if (!(error instanceof FileProblem)) return error;
  return new DormouseError(
    'DORMOUSE_TLS_FILE',
    `listeners.${listener}.tls: ${error.file}: ${error.message}. Correct it; dormouse check looks at files too.`,
    { cause: error, userFault: true },
  );
}

function hstsLine({ hsts }: ListenerTlsConfig): string {
  if (hsts === null) return '';
  const subdomains = hsts.includeSubdomains ? '; includeSubDomains' : '';
  const preload = hsts.preload ? '; preload' : '';
  return `Strict-Transport-Security: max-age=${hsts.maxAgeSeconds}${subdomains}${preload}\r\n`;
}
