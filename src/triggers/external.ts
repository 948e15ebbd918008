/**
 * Any KEDA external scaler, spoken to as KEDA does (proto/externalscaler.proto): its metrics' targets once, then their values again and again, and whether it
 * is active after each; and a stream on which it tells that it has become active, where it has one. Several metrics: the one that asks for most counts.
 */
import {
  Client,
  credentials as grpcCredentials,
  logVerbosity,
  setLogVerbosity,
  status,
  type ChannelCredentials,
  type ServiceError,
} from '@grpc/grpc-js';
import type { CredentialSources } from '../model/credentials.ts';
import {
  EXTERNAL_SCALER,
  decodeActive,
  decodeValues,
  decodeSpecs,
  encodeMetricsRequest,
  encodeRef,
  type MetricSpec,
  type ScaledObjectRef,
} from '../protobuf/external-scaler.ts';
import { readCredentials } from './credentials.ts';
import { NoLook, poll, type Source } from './polling.ts';
import type { TlsOptions } from './tls.ts';
import type { TriggerContext, TriggerDefinition, TriggerReport } from './trigger.ts';

export interface ExternalOptions {
  /** host:port */
  address: string;
  /** The scaler's own keys. */
  metadata: Readonly<Record<string, string>>;
  /** What it is told of who asks; `name` null: the backend's. */
  namespace: string;
  name: string | null;
  timeoutMs: number;
  /** null: without. */
  tls: TlsOptions | null;
  credentials: CredentialSources;
  pollingMs: number;
}

const MAX_METRICS = 100;
const MAX_NAME = 256;
const MAX_MESSAGE_BYTES = 1024 * 1024;
/** A stream that ended is opened again no sooner than after this. */
const STREAM_AGAIN_MS = 2000;

export const external: TriggerDefinition = {
  start(options: ExternalOptions, signal, report, context) {
    return poll({
      pollingMs: options.pollingMs,
      boundMs: options.timeoutMs,
      open: (bound) => ExternalScaler.open(options, context, bound),
      signal,
      report,
      context,
    });
  },
};

class ExternalScaler implements Source {
  readonly #options: ExternalOptions;
  readonly #client: Client;
  readonly #ref: ScaledObjectRef;
  #specs: MetricSpec[] | null = null;
  #call: { cancel(): void } | null = null;
  #streamed = -STREAM_AGAIN_MS;
  readonly #context: TriggerContext;

  private constructor(options: ExternalOptions, client: Client, context: TriggerContext) {
    this.#options = options;
    this.#client = client;
    this.#context = context;
    const name = options.name ?? context.backend.split('/').at(-1)!;
    const [owner] = context.backend.includes('/') ? context.backend.split('/') : [options.namespace];
    this.#ref = { name, namespace: owner!, scalerMetadata: { ...options.metadata } };
  }

  static async open(options: ExternalOptions, context: TriggerContext, signal: AbortSignal): Promise<ExternalScaler> {
    const { tls, address } = options;
    const read = await readCredentials(options.credentials, context, signal);
    const buffer = (pem: string | undefined): Buffer | null => (pem === undefined ? null : Buffer.from(pem));
    let channel: ChannelCredentials;
    try {
      channel =
        tls === null
          ? grpcCredentials.createInsecure()
          : grpcCredentials.createSsl(buffer(read.ca), buffer(read.key), buffer(read.cert), {
              rejectUnauthorized: !tls.insecure,
            });
    } catch (error) {
      throw new Error(
        `the certificates for the external scaler ${address} can't be used: ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
    setLogVerbosity(logVerbosity.NONE);
    const client = new Client(address, channel, {
      'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
      'grpc.use_local_subchannel_pool': 1,
      'grpc.service_config_disable_resolution': 1,
      'grpc.enable_retries': 0,
      'grpc.enable_http_proxy': 0,
      'grpc.enable_channelz': 0,
      ...(tls?.serverName == null
        ? {}
        : { 'grpc.ssl_target_name_override': tls.serverName, 'grpc.default_authority': tls.serverName }),
    });
    return new ExternalScaler(options, client, context);
  }

  async read(signal: AbortSignal): Promise<TriggerReport> {
    this.#specs ??= this.#checked(
      await this.#ask(EXTERNAL_SCALER.getMetricSpec, encodeRef(this.#ref), decodeSpecs, signal),
    );
    const values = await Promise.all(this.#specs.map((spec) => this.#valueOf(spec, signal)));
    const active = await this.#ask(EXTERNAL_SCALER.isActive, encodeRef(this.#ref), decodeActive, signal);
    const most = values.reduce((best, one) => (one.value / one.target > best.value / best.target ? one : best));
    return {
      active,
      desired: most.value / most.target,
      reason: `${most.name} is ${Number(most.value.toPrecision(6))}, ${active ? 'active' : 'not active'}`,
      metric: { value: most.value, target: most.target, activation: 0 },
    };
  }

  #checked(specs: MetricSpec[]): MetricSpec[] {
    if (specs.length === 0) throw this.#fault('has no metric for this metadata: see what keys it wants');
    if (specs.length > MAX_METRICS) throw this.#fault(`has ${specs.length} metrics: at most ${MAX_METRICS} are asked`);
    for (const { metricName, target } of specs) {
      if (metricName.length > MAX_NAME)
        throw this.#fault(`has a metric whose name is longer than ${MAX_NAME} characters: ${metricName.slice(0, 40)}…`);
      if (!Number.isFinite(target) || target <= 0)
        throw this.#fault(`wants ${target} of ${metricName} for each instance, which is no target: correct its keys`);
    }
    return specs;
  }

  async #valueOf(
    { metricName, target }: MetricSpec,
    signal: AbortSignal,
  ): Promise<{ name: string; value: number; target: number }> {
    const request = encodeMetricsRequest({ ref: this.#ref, metricName });
    const values = await this.#ask(EXTERNAL_SCALER.getMetrics, request, decodeValues, signal);
    // Some scalers answer with one value under another name.
    const found = values.find((one) => one.metricName === metricName) ?? (values.length === 1 ? values[0] : undefined);
    if (found === undefined) throw this.#fault(`gives no value of ${metricName}, which it told of`);
    if (!Number.isFinite(found.value)) throw this.#fault(`gives ${found.value} as ${metricName}, which is no number`);
    return { name: metricName, value: Math.max(0, found.value), target };
  }

  arrival(signal: AbortSignal): Promise<void> | null {
    const nowMs = this.#context.clock.nowMs();
    if (nowMs - this.#streamed < STREAM_AGAIN_MS) return null;
    this.#streamed = nowMs;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const call = this.#client.makeServerStreamRequest(
      EXTERNAL_SCALER.streamIsActive,
      (message: Buffer) => message,
      decodeActive,
      encodeRef(this.#ref),
    );
    this.#call = call;
    const end = (): void => {
      signal.removeEventListener('abort', end);
      call.cancel();
      if (this.#call === call) this.#call = null;
    };
    signal.addEventListener('abort', end, { once: true });
    call.on('data', (active: boolean) => {
      if (!active) return;
      end();
      resolve();
    });
    call.on('error', (error: ServiceError) => {
      end();
      if (error.code === status.UNIMPLEMENTED) reject(new NoLook('it has no StreamIsActive'));
      else reject(this.#sentence(error));
    });
    call.on('end', () => {
      end();
      reject(new Error('the stream ended'));
    });
    return promise;
  }

  close(): void {
    this.#call?.cancel();
    this.#client.close();
  }

  #ask<T>(path: string, message: Buffer, decode: (answer: Buffer) => T, signal: AbortSignal): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const deadline = Date.now() + this.#options.timeoutMs;
    const call = this.#client.makeUnaryRequest(
      path,
      (given: Buffer) => given,
      decode,
      message,
      { deadline },
      (error, answer) => {
        if (error !== null) reject(this.#sentence(error));
        else if (answer === undefined) reject(this.#fault('answers nothing'));
        else resolve(answer);
      },
    );
    const aborted = (): void => call.cancel();
    signal.addEventListener('abort', aborted, { once: true });
    if (signal.aborted) aborted();
    return promise.finally(() => signal.removeEventListener('abort', aborted));
  }

  #fault(what: string): Error {
    return new Error(`the external scaler ${this.#options.address} ${what}`);
  }

  #sentence(error: ServiceError): Error {
    const { timeoutMs, tls } = this.#options;
    const said = (error.details || error.message).replaceAll(/\s+/g, ' ').slice(0, 160);
    switch (error.code) {
      case status.DEADLINE_EXCEEDED:
        return this.#fault(`does not answer within ${timeoutMs / 1000} s: see that it runs and is not overloaded`);
      case status.UNIMPLEMENTED:
        return this.#fault('is no KEDA external scaler (it does not know the method): correct scalerAddress');
      case status.UNAVAILABLE:
        return this.#fault(
          `can't be reached (${said}): see that it runs, that scalerAddress is right${tls === null ? ', and whether it wants enableTLS' : ', and that its certificate is for this name'}`,
        );
      case status.UNAUTHENTICATED:
      case status.PERMISSION_DENIED:
        return this.#fault(`refuses this client (${said}): give certFile and keyFile, in a cluster authentication`);
      default:
        return this.#fault(`answers with an error (${said}): see the keys in metadata`);
    }
  }
}
