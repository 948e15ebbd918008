/** Asks the operator that leads, for a replica that does not: who that is changes, and may be nobody for a while. */
import { Client, credentials, logVerbosity, setLogVerbosity, status, type ServiceError } from '@grpc/grpc-js';
import { addressText } from '../../model/address-text.ts';
import { DormouseError } from '../../model/errors.ts';
import type { Logger } from '../../model/ports.ts';
import type { PemCredentials } from '../../grpc/changing-credentials.ts';
import { unavailableFigures, type FiguresSource, type ScaleFigures } from '../scale/figures.ts';
import { FIGURES_SERVICE, type FiguresEvent, type FiguresRequest } from './figures-service.ts';
import { pause } from '../../model/pause.ts';

const ANSWER_MS = 2000;
/** Between two attempts to listen, ms. */
const AGAIN_MS = 500;
/** A stream that says nothing for so long is dead, ms: it says something every 2 s. */
const SILENT_MS = 6000;

export interface LeaderClientOptions {
  /** Where the leader listens; null: nobody leads, or it is this replica. Looked at anew for each attempt. */
  leader(): { host: string; port: number } | null;
  /** DNS name in the operators' certificates. */
  serverName: string;
  /** This operator's own, for clients. */
  credentials(): PemCredentials;
  logger: Logger;
}

export class LeaderClient implements FiguresSource {
  readonly #options: LeaderClientOptions;
  readonly #listeners = new Set<(backend: string) => void>();
  readonly #ended = new AbortController();
  #client: { where: string; client: Client } | null = null;

  constructor(options: LeaderClientOptions) {
    this.#options = options;
  }

  /** Listens for backends that become wanted, until `close`. */
  start(): void {
    setLogVerbosity(logVerbosity.NONE);
    void this.#listen();
  }

  get(backend: string, signal: AbortSignal, fresh = false): Promise<ScaleFigures> {
    const client = this.#dial();
    if (client === null) return Promise.reject(unavailableFigures('no operator leads'));
    const { path, requestSerialize, responseDeserialize } = FIGURES_SERVICE.Get;
    return new Promise((resolve, reject) => {
      const request: FiguresRequest = { backend, fresh };
      const options = { deadline: Date.now() + ANSWER_MS };
      const call = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        options,
        (error, figures) => {
          signal.removeEventListener('abort', aborted);
          if (error === null) resolve(figures as ScaleFigures);
          else reject(errorOf(error));
        },
      );
      const aborted = (): void => call.cancel();
      signal.addEventListener('abort', aborted, { once: true });
    });
  }

  onWanted(listener: (backend: string) => void): () => void {
    const own = (backend: string): void => listener(backend);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  close(): void {
    this.#ended.abort();
    this.#client?.client.close();
    this.#client = null;
  }

  #dial(): Client | null {
    const { leader, credentials: pem, serverName } = this.#options;
    const address = this.#ended.signal.aborted ? null : leader();
    const where = address === null ? '' : addressText(address);
    if (this.#client?.where === where) return this.#client.client;
    this.#client?.client.close();
    this.#client = null;
    if (where === '') return null;
    const { ca, cert, key } = pem();
    const client = new Client(where, credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert)), {
      'grpc.ssl_target_name_override': serverName,
      'grpc.default_authority': serverName,
      'grpc.initial_reconnect_backoff_ms': 200,
      'grpc.max_reconnect_backoff_ms': 1000,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.service_config_disable_resolution': 1,
      'grpc.enable_http_proxy': 0,
      'grpc.enable_channelz': 0,
    });
    this.#client = { where, client };
    return client;
  }

  async #listen(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      const client = this.#dial();
      if (client !== null) await this.#follow(client);
      if (!signal.aborted) await pause(AGAIN_MS, signal);
    }
  }

  /** Resolves when the stream is over, for whatever reason. */
  #follow(client: Client): Promise<void> {
    const { path, requestSerialize, responseDeserialize } = FIGURES_SERVICE.Watch;
    return new Promise((resolve) => {
      const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
      const silent = setTimeout(() => call.cancel(), SILENT_MS);
      call.on('data', (event: unknown) => {
        silent.refresh();
        const { backend } = event as FiguresEvent;
        if (typeof backend === 'string') for (const listener of this.#listeners) listener(backend);
      });
      const over = (): void => {
        clearTimeout(silent);
        resolve();
      };
      call.on('error', (error: Error) => {
        // A broken connection, or certificates that have changed: the next one is made anew.
        this.#options.logger.debug('the leading operator can not be listened to', { reason: error.message });
        if (this.#client?.client === client) {
          client.close();
          this.#client = null;
        }
        over();
      });
      call.on('end', over);
      this.#ended.signal.addEventListener('abort', () => call.cancel(), { once: true });
    });
  }
}

/** The leader's words are ours too. */
function errorOf({ code, details }: ServiceError): DormouseError {
  if (code === status.NOT_FOUND) return new DormouseError('DORMOUSE_FIGURES_UNKNOWN', details, { userFault: true });
  return unavailableFigures(details === '' ? 'the leading operator did not answer' : details);
}
