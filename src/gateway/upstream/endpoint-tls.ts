import { connect, createSecureContext, type ConnectionOptions, type SecureContext } from 'node:tls';
import type { EndpointTlsConfig } from '../../model/config.ts';
import { DormouseError } from '../../model/errors.ts';
import type { Logger } from '../../model/ports.ts';
import { checkPair, readCertificates } from '../../tls/certificate-pair.ts';
import { endpointName, type EndpointName } from '../../tls/endpoint-name.ts';
import { FileProblem, WatchedFiles } from '../tls/watched-files.ts';

/** Sessions that are kept to take them up again, one for each endpoint; the oldest make room. */
const MAX_SESSIONS = 1000;

/** TLS towards the endpoints of one backend. Its files are read again when they change; connections that are open go on. */
export class EndpointTls {
  readonly config: EndpointTlsConfig;
  readonly connectTls = connect;
  private readonly backend: string;
  private readonly files: WatchedFiles;
  private context: SecureContext | null = null;
  private readonly names = new Map<string, EndpointName>();
  private readonly sessions = new Map<string, Buffer>();

  private constructor(backend: string, config: EndpointTlsConfig, logger: Logger) {
    this.backend = backend;
    this.config = config;
    const { caFile, certFile, keyFile } = config;
    this.files = new WatchedFiles({
      files: [caFile, certFile, keyFile].filter((file) => file !== null),
      use: (contents) => this.use(contents),
      logger,
      fields: { backend },
    });
  }

  /** Reads the files. Rejects with DORMOUSE_TLS_FILE, naming the file and what is wrong with it. */
  static async open(backend: string, config: EndpointTlsConfig, logger: Logger): Promise<EndpointTls> {
    const opened = new EndpointTls(backend, config, logger);
    try {
      await opened.files.load();
      opened.files.watch();
      return opened;
    } catch (error) {
      opened.close();
      if (!(error instanceof FileProblem)) throw error;
      throw new DormouseError(
        'DORMOUSE_TLS_FILE',
        `backends.${backend}.tls: ${error.file}: ${error.message}. Correct the file; dormouse check looks at it too.`,
        { cause: error, userFault: true },
      );
    }
  }

  /** What `tls.connect` is given for a connection to this endpoint. */
  readonly tlsOptions = (host: string, port: number): ConnectionOptions => {
    let name = this.names.get(host);
    if (name === undefined) {
      // Addresses of endpoints come and go.
      if (this.names.size >= MAX_SESSIONS) this.names.clear();
      name = endpointName(this.config.serverName, host, this.backend);
      this.names.set(host, name);
    }
    const session = this.sessions.get(`${host} ${port}`);
    return {
      secureContext: this.context!,
      servername: name.servername,
      checkServerIdentity: name.checkServerIdentity,
      rejectUnauthorized: !this.config.insecure,
      ALPNProtocols: ['http/1.1'],
      ...(session === undefined ? {} : { session }),
    };
  };

  /** The endpoint has sent a ticket: the next connection takes the session up. */
  readonly keepSession = (host: string, port: number, session: Buffer): void => {
    const key = `${host} ${port}`;
    // To the end of the map's order.
    this.sessions.delete(key);
    if (this.sessions.size >= MAX_SESSIONS) this.sessions.delete(this.sessions.keys().next().value!);
    this.sessions.set(key, session);
  };

  /** Looks whether the files have changed, without waiting for the system to tell. */
  check(): Promise<void> {
    return this.files.check();
  }

  close(): void {
    this.files.close();
  }

  private use(contents: readonly Buffer[]): void {
    const { caFile, certFile, keyFile, insecure } = this.config;
    const rest = [...contents];
    const ca = caFile === null ? null : rest.shift()!;
    const cert = certFile === null ? null : rest.shift()!;
    const key = keyFile === null ? null : rest.shift()!;
    if (ca !== null) {
      const authorities = readCertificates(ca);
      if (typeof authorities === 'string') throw new FileProblem(caFile!, authorities);
    }
    if (cert !== null && key !== null) {
      const checked = checkPair(cert, key);
      if (!checked.ok) throw new FileProblem(checked.which === 'cert' ? certFile! : keyFile!, checked.reason);
    }
    try {
      this.context = createSecureContext({
        // Left out: Node's own. Where nothing is verified they need not be loaded.
        ...(ca !== null ? { ca } : insecure ? { ca: [] } : {}),
        ...(cert !== null && key !== null ? { cert, key } : {}),
        minVersion: 'TLSv1.2',
      });
    } catch (error) {
      const reason = `OpenSSL refuses it (${(error as { code?: string }).code ?? 'unknown reason'})`;
      throw new FileProblem(certFile ?? caFile ?? '', reason, { cause: error });
    }
    // Agreed on with other certificates.
    this.sessions.clear();
  }
}
