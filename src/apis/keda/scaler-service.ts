/** KEDA's external scaler: four methods. Streams push true at once and go on doing so while the backend is wanted, since KEDA drops what comes too early; they end well with the server. */
import { status, type sendUnaryData, type ServerUnaryCall, type ServerWritableStream } from '@grpc/grpc-js';
import type { Logger } from '../../model/ports.ts';
import { DormouseError } from '../../model/errors.ts';
import {
  decodeMetricsRequest,
  decodeRef,
  encodeActive,
  encodeSpecs,
  encodeValues,
  EXTERNAL_SCALER,
} from '../../protobuf/external-scaler.ts';
import { figureOf, type FiguresSource, type ScaleFigures } from '../scale/figures.ts';
import { backendOf } from './scaled-object.ts';

/** For one answer, ms. */
const ANSWER_MS = 3000;
/** True is said again after these, ms, and then each time after the last of them. */
const AGAIN_MS = [1000, 1000, 1000, 2000, 5000, 10_000] as const;
/** Streams at once; one more is refused. */
const MAX_STREAMS = 10_000;

type Unary = ServerUnaryCall<Buffer, Buffer>;
type Answer = sendUnaryData<Buffer>;
type Push = ServerWritableStream<Buffer, Buffer>;

export interface ScalerServiceOptions {
  figures: FiguresSource;
  logger: Logger;
}

/** Definition and handlers, for a server of gRPC. */
export class ScalerService {
  readonly #options: ScalerServiceOptions;
  readonly #streams = new Map<string, Set<ActiveStream>>();
  readonly #stop: () => void;
  #count = 0;
  #closed = false;

  constructor(options: ScalerServiceOptions) {
    this.#options = options;
    this.#stop = options.figures.onWanted((backend) => {
      for (const stream of this.#streams.get(backend) ?? []) stream.push();
    });
  }

  /** Open streams. */
  get streams(): number {
    return this.#count;
  }

  readonly definition = {
    IsActive: method(EXTERNAL_SCALER.isActive, false),
    StreamIsActive: method(EXTERNAL_SCALER.streamIsActive, true),
    GetMetricSpec: method(EXTERNAL_SCALER.getMetricSpec, false),
    GetMetrics: method(EXTERNAL_SCALER.getMetrics, false),
  };

  readonly handlers = {
    IsActive: (call: Unary, answer: Answer): void => {
      this.#answer(call, answer, async (signal) => {
        const { wanted } = await this.#figures(backendOf(decodeRef(call.request)), signal);
        return encodeActive(wanted);
      });
    },
    GetMetricSpec: (call: Unary, answer: Answer): void => {
      this.#answer(call, answer, async (signal) => {
        const { metrics } = await this.#figures(backendOf(decodeRef(call.request)), signal);
        return encodeSpecs(metrics.map(({ name, target }) => ({ metricName: name, target })));
      });
    },
    GetMetrics: (call: Unary, answer: Answer): void => {
      this.#answer(call, answer, async (signal) => {
        const { ref, metricName } = decodeMetricsRequest(call.request);
        const backend = backendOf(ref);
        const { value } = figureOf(backend, await this.#figures(backend, signal, true), metricName);
        return encodeValues([{ metricName, value }]);
      });
    },
    StreamIsActive: (call: Push): void => this.#open(call),
  };

  /** Ends all streams with OK: KEDA comes back at once then, instead of after its back-off. */
  close(): void {
    this.#closed = true;
    this.#stop();
    for (const streams of this.#streams.values()) for (const stream of streams) stream.end();
  }

  #figures(backend: string, signal: AbortSignal, fresh = false): Promise<ScaleFigures> {
    return this.#options.figures.get(backend, signal, fresh);
  }

  #answer(call: Unary, answer: Answer, work: (signal: AbortSignal) => Promise<Buffer>): void {
    const ended = new AbortController();
    call.on('cancelled', () => ended.abort());
    work(AbortSignal.any([ended.signal, AbortSignal.timeout(ANSWER_MS)])).then(
      (message) => answer(null, message),
      (error: unknown) => answer(statusOf(error)),
    );
  }

  #open(call: Push): void {
    call.on('error', () => {});
    let backend: string;
    try {
      backend = backendOf(decodeRef(call.request));
      if (this.#count >= MAX_STREAMS)
        throw new DormouseError('DORMOUSE_SCALER_STREAMS', `${MAX_STREAMS} streams are open already`);
    } catch (error) {
      call.emit('error', statusOf(error));
      return;
    }
    if (this.#closed) {
      call.end();
      return;
    }
    const streams = this.#streams.get(backend) ?? new Set();
    this.#streams.set(backend, streams);
    const stream = new ActiveStream(call, (signal) => this.#figures(backend, signal));
    streams.add(stream);
    this.#count++;
    const ended = (): void => {
      if (!streams.delete(stream)) return;
      this.#count--;
      stream.stop();
      if (streams.size === 0 && this.#streams.get(backend) === streams) this.#streams.delete(backend);
    };
    call.on('cancelled', ended);
    call.on('close', ended);
    call.on('finish', ended);
    this.#options.logger.debug('KEDA listens for a backend', { backend, peer: call.getPeer() });
    stream.begin();
  }
}

/** One that KEDA listens to. */
class ActiveStream {
  readonly #call: Push;
  readonly #ask: (signal: AbortSignal) => Promise<ScaleFigures>;
  readonly #ended = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #said = 0;
  #asking = false;

  constructor(call: Push, ask: (signal: AbortSignal) => Promise<ScaleFigures>) {
    this.#call = call;
    this.#ask = ask;
  }

  begin(): void {
    void this.#look(true);
  }

  /** It is wanted now. */
  push(): void {
    this.#said = 0;
    this.#say(true);
    this.#schedule();
  }

  end(): void {
    this.stop();
    this.#call.end();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#ended.abort();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    if (this.#ended.signal.aborted) return;
    const waitMs = AGAIN_MS[Math.min(this.#said, AGAIN_MS.length - 1)]!;
    this.#timer = setTimeout(() => void this.#look(false), waitMs);
  }

  async #look(isFirst: boolean): Promise<void> {
    if (this.#asking) return this.#schedule();
    this.#asking = true;
    try {
      const { wanted } = await this.#ask(AbortSignal.any([this.#ended.signal, AbortSignal.timeout(ANSWER_MS)]));
      // KEDA leaves false out: once is for whoever else listens.
      if (wanted || isFirst) this.#say(wanted);
      this.#said++;
    } catch (error) {
      const { code, details } = statusOf(error);
      // A moment without a leader is no reason to send KEDA into its back-off.
      if (code !== status.UNAVAILABLE && !this.#ended.signal.aborted) {
        this.stop();
        this.#call.emit('error', { code, details });
        return;
      }
    } finally {
      this.#asking = false;
    }
    this.#schedule();
  }

  #say(wanted: boolean): void {
    // One that isn't read has enough of them.
    if (!this.#ended.signal.aborted && this.#call.writableLength === 0) this.#call.write(encodeActive(wanted));
  }
}

/** How an error is told. Never what is ours alone. */
export function statusOf(error: unknown): { code: status; details: string } {
  if (error instanceof RangeError) return { code: status.INVALID_ARGUMENT, details: error.message };
  if (!(error instanceof DormouseError)) {
    const isLate = error instanceof Error && (error.name === 'TimeoutError' || error.name === 'AbortError');
    return isLate
      ? { code: status.UNAVAILABLE, details: 'the leading operator did not answer in time' }
      : { code: status.INTERNAL, details: 'the scaler failed; look at the logs of the operator' };
  }
  const code = CODES[error.code] ?? status.INTERNAL;
  return { code, details: error.message };
}

const CODES: Readonly<Record<string, status>> = {
  DORMOUSE_FIGURES_UNKNOWN: status.NOT_FOUND,
  DORMOUSE_FIGURES_UNAVAILABLE: status.UNAVAILABLE,
  DORMOUSE_SCALER_METADATA: status.INVALID_ARGUMENT,
  DORMOUSE_SCALER_FORBIDDEN: status.PERMISSION_DENIED,
  DORMOUSE_SCALER_STREAMS: status.RESOURCE_EXHAUSTED,
};

const asIs = (message: Buffer): Buffer => message;

function method(path: string, responseStream: boolean) {
  return {
    path,
    requestStream: false,
    responseStream,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
}
