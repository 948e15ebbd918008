/** What other replicas of the operator ask the leader for: `dormouse.scale.v1.Figures` with JSON in its messages, beside KEDA's service on the same port. */
import { status, type sendUnaryData, type ServerUnaryCall, type ServerWritableStream } from '@grpc/grpc-js';
import type { FiguresSource } from '../scale/figures.ts';
import { statusOf } from './scaler-service.ts';

const ANSWER_MS = 2000;
/** Streams at once: there are few operators. */
const MAX_STREAMS = 100;
/** So that the other end sees a stream that is dead, ms. */
const BEAT_MS = 2000;

export const FIGURES_SERVICE = {
  Get: jsonMethod('/dormouse.scale.v1.Figures/Get', false),
  /** Each backend that becomes wanted; null now and then. */
  Watch: jsonMethod('/dormouse.scale.v1.Figures/Watch', true),
} as const;

export interface FiguresRequest {
  backend: string;
  /** See FiguresSource; a replica of an older version doesn't say it. */
  fresh?: boolean;
}

export interface FiguresEvent {
  backend: string | null;
}

export class FiguresService {
  /** null: this replica does not lead. */
  readonly #own: () => FiguresSource | null;
  readonly #streams = new Set<ServerWritableStream<unknown, FiguresEvent>>();

  constructor(own: () => FiguresSource | null) {
    this.#own = own;
  }

  readonly handlers = {
    Get: (call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>): void => {
      const own = this.#own();
      if (own === null) return answer(NOT_LEADING);
      const { backend, fresh } = (call.request ?? {}) as Partial<FiguresRequest>;
      own.get(String(backend), AbortSignal.timeout(ANSWER_MS), fresh === true).then(
        (figures) => answer(null, figures),
        (error: unknown) => answer(statusOf(error)),
      );
    },
    Watch: (call: ServerWritableStream<unknown, FiguresEvent>): void => {
      const own = this.#own();
      call.on('error', () => {});
      if (own === null || this.#streams.size >= MAX_STREAMS) {
        call.emit(
          'error',
          own === null ? NOT_LEADING : { code: status.RESOURCE_EXHAUSTED, details: 'too many streams' },
        );
        return;
      }
      this.#streams.add(call);
      const stop = own.onWanted((backend) => call.write({ backend }));
      const beat = setInterval(() => {
        // It leads no more: whoever listens has to look for the next one.
        if (this.#own() === own) call.write({ backend: null });
        else call.end();
      }, BEAT_MS);
      const ended = (): void => {
        clearInterval(beat);
        stop();
        this.#streams.delete(call);
      };
      call.on('cancelled', ended);
      call.on('close', ended);
      call.on('finish', ended);
    },
  };

  close(): void {
    for (const call of this.#streams) call.end();
  }
}

const NOT_LEADING = { code: status.UNAVAILABLE, details: 'this operator does not lead' };

function jsonMethod(path: string, responseStream: boolean) {
  const serialize = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const deserialize = (bytes: Buffer): unknown => JSON.parse(bytes.toString('utf8')) as unknown;
  return {
    path,
    requestStream: false,
    responseStream,
    requestSerialize: serialize,
    requestDeserialize: deserialize,
    responseSerialize: serialize,
    responseDeserialize: deserialize,
  };
}
