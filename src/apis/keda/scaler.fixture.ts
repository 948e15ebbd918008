/** A scaler's port with certificates, what it can be asked for in a test's hands, and KEDA's side of it. Test fixture. */
import { Client, credentials, type ClientReadableStream, type ServiceError } from '@grpc/grpc-js';
import type { ScaleMetric } from '../../model/demand.ts';
import type { PemCredentials } from '../../grpc/changing-credentials.ts';
import { silentLogger } from '../../model/ports.ts';
import {
  decodeActive,
  decodeSpecs,
  decodeValues,
  encodeMetricsRequest,
  encodeRef,
  EXTERNAL_SCALER,
  type MetricSpec,
  type MetricValue,
  type ScaledObjectRef,
} from '../../protobuf/external-scaler.ts';
import { issueClient, issueOperator, renewedAuthority, trustBundle } from '../../tls/authority.ts';
import { unknownFigures, type FiguresSource, type ScaleFigures } from '../scale/figures.ts';
import { ReplicaFigures } from '../scale/replica-figures.ts';
import { serveScaler, type ScalerServer } from './scaler-server.ts';

export const SERVER_NAME = 'dormouse-operator.dormouse-system.svc';

export interface Certificates {
  server: PemCredentials;
  operator: PemCredentials;
  keda: PemCredentials;
  gateway: PemCredentials;
}

let made: Promise<Certificates> | null = null;

/** One authority for all tests of a file. */
export function certificates(): Promise<Certificates> {
  made ??= (async () => {
    const wallMs = Date.now();
    const authority = await renewedAuthority([], wallMs);
    const ca = trustBundle(authority);
    return {
      server: { ca, ...(await issueOperator(authority, [SERVER_NAME], wallMs)) },
      operator: { ca, ...(await issueClient(authority, 'operator', wallMs)) },
      keda: { ca, ...(await issueClient(authority, 'scaler-client', wallMs)) },
      gateway: { ca, ...(await issueClient(authority, 'gateway', wallMs)) },
    };
  })();
  return made;
}

export const metric = (name: string, value: number, target = 1): ScaleMetric => ({
  name,
  value,
  target,
  active: value > 0,
  atMs: Date.now(),
});

export class FakeFigures implements FiguresSource {
  readonly known = new Map<string, ScaleFigures>();
  asked = 0;
  fails: Error | null = null;
  readonly #listeners = new Set<(backend: string) => void>();

  set(backend: string, wanted: boolean, ...metrics: ScaleMetric[]): void {
    const before = this.known.get(backend)?.wanted === true;
    this.known.set(backend, { wanted, metrics: metrics.map((one) => ({ ...one, isStale: false })) });
    if (wanted && !before) for (const listener of this.#listeners) listener(backend);
  }

  async get(backend: string): Promise<ScaleFigures> {
    this.asked++;
    if (this.fails !== null) throw this.fails;
    const found = this.known.get(backend);
    if (found === undefined) throw unknownFigures(backend);
    return found;
  }

  onWanted(listener: (backend: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** A replica of the operator: `lead` it with FakeFigures. */
export async function replica(others: FiguresSource = new FakeFigures()): Promise<{
  server: ScalerServer;
  figures: ReplicaFigures;
}> {
  const figures = new ReplicaFigures(others);
  const server = await serveScaler({
    address: { host: '127.0.0.1', port: 0 },
    credentials: (await certificates()).server,
    figures,
    logger: silentLogger,
  });
  return { server, figures };
}

/** As KEDA does it, for one ScaledObject. */
export class Keda {
  readonly #client: Client;
  readonly ref: ScaledObjectRef;

  constructor(
    { host, port }: { host: string; port: number },
    { ca, cert, key }: PemCredentials,
    ref: Partial<ScaledObjectRef> = {},
  ) {
    this.#client = new Client(
      `${host}:${port}`,
      credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert)),
      { 'grpc.ssl_target_name_override': SERVER_NAME, 'grpc.use_local_subchannel_pool': 1, 'grpc.enable_channelz': 0 },
    );
    this.ref = { name: 'users', namespace: 'shop', scalerMetadata: {}, ...ref };
  }

  async isActive(): Promise<boolean> {
    return decodeActive(await this.#ask(EXTERNAL_SCALER.isActive, encodeRef(this.ref)));
  }

  async specs(): Promise<MetricSpec[]> {
    return decodeSpecs(await this.#ask(EXTERNAL_SCALER.getMetricSpec, encodeRef(this.ref)));
  }

  async metrics(metricName: string): Promise<MetricValue[]> {
    return decodeValues(
      await this.#ask(EXTERNAL_SCALER.getMetrics, encodeMetricsRequest({ ref: this.ref, metricName })),
    );
  }

  /** Every word as it comes. */
  stream(): Pushed {
    return new Pushed(
      this.#client.makeServerStreamRequest(EXTERNAL_SCALER.streamIsActive, asIs, asIs, encodeRef(this.ref)),
    );
  }

  close(): void {
    this.#client.close();
  }

  #ask(path: string, message: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, asIs, asIs, message, { deadline: Date.now() + 10_000 }, (error, answer) =>
        error === null ? resolve(answer!) : reject(error),
      );
    });
  }
}

export class Pushed {
  readonly said: { wanted: boolean; atMs: number }[] = [];
  /** null: it ended well. */
  readonly ended: Promise<ServiceError | null>;
  readonly #call: ClientReadableStream<Buffer>;
  readonly #waiting = new Set<() => void>();

  constructor(call: ClientReadableStream<Buffer>) {
    this.#call = call;
    call.on('data', (message: Buffer) => {
      this.said.push({ wanted: decodeActive(message), atMs: performance.now() });
      for (const look of [...this.#waiting]) look();
    });
    this.ended = new Promise((resolve) => {
      call.on('error', (error) => resolve(error as ServiceError));
      call.on('end', () => resolve(null));
    });
  }

  /** The words once there are so many of them. */
  async words(count: number, withinMs = 30_000): Promise<boolean[]> {
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => {
        this.#waiting.delete(look);
        reject(new Error(`${this.said.length} words of ${count} came within ${withinMs} ms`));
      }, withinMs);
      const look = (): void => {
        if (this.said.length < count) return;
        clearTimeout(late);
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
      look();
    });
    return this.said.map(({ wanted }) => wanted);
  }

  cancel(): void {
    this.#call.cancel();
  }
}

const asIs = (message: Buffer): Buffer => message;
