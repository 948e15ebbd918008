import { joinedValue } from '../request-view.ts';
import { compileCodingChoice, type Coding } from './accept-encoding.ts';
import { Compression, EncoderCount } from './compression.ts';
import type { ResponseEdit } from './edits.ts';
import type { Filter, FilterContext } from './filter.ts';
import { compileMediaTypes, essence } from './media-type.ts';
import { markChanged, markUnmodified } from './representation.ts';

export interface CompressOptions {
  /** The most wanted first, for clients that take several as gladly. */
  encodings: Coding[];
  /** Bytes: smaller bodies of known length go as they are. */
  minSize: number;
  /** Media types, `text/*` and `application/*+json` too. `text/event-stream` is encoded only when it stands here by its own name. */
  types: string[];
  levels: { gzip: number; br: number; zstd: number };
  /** How long bytes may wait in the encoder for more, ms. */
  flushAfter: number;
  /** Bodies that are encoded at the same time in one worker; beyond it they go as they are. */
  maxConcurrent: number;
}

/** Encodes responses for clients that take it (RFC 9110 section 8.4). */
export function compress(options: CompressOptions, { services }: FilterContext): Filter {
  const fits = compileMediaTypes(options.types);
  const eventStreams = options.types.includes('text/event-stream');
  const choose = compileCodingChoice(options.encodings);
  const lease = services.kept.take('compress: encoders', () => new EncoderCount());
  const count = lease.part;
  return {
    response(edit) {
      // Answers of the gateway are small, and what replaces a body is one of them.
      if (edit.own || edit.replacement !== null) return;
      const { status } = edit;
      if (status === 304) {
        addVary(edit);
        markUnmodified(edit);
        return;
      }
      // A part of a body (206) is a part of the bytes as they are.
      if (status < 200 || status === 204 || status === 205 || status === 206) return;
      const type = essence(edit.value('content-type'));
      const isEventStream = type === 'text/event-stream';
      if (isEventStream ? !eventStreams : !fits(type)) return;
      if (!isPlain(edit) || sizeOf(edit) < options.minSize || noTransform(edit.value('cache-control'))) return;
      addVary(edit);
      const { view } = edit;
      if (noTransform(view.value('cache-control'))) return;
      const coding = choose(joinedValue(view, 'accept-encoding'));
      if (coding === null || (count.used >= options.maxConcurrent && !edit.bodiless)) return;
      markChanged(edit);
      edit.setHeader('Content-Encoding', coding);
      const flushAfterMs = isEventStream ? 0 : options.flushAfter;
      edit.transformBody(new Compression({ coding, level: options.levels[coding], flushAfterMs }, count), 'coding');
    },
    close: () => lease.release(),
  };
}

/** What is encoded already, or will be by another filter, is left alone. */
function isPlain(edit: ResponseEdit): boolean {
  const coding = edit.value('content-encoding');
  if (coding !== undefined && coding.toLowerCase() !== 'identity') return false;
  return edit.transforms === null || !edit.transforms.some(({ stage }) => stage === 'coding');
}

/** Bytes of the body that GET would get; not known counts as large. */
function sizeOf(edit: ResponseEdit): number {
  if (!edit.bodiless) return edit.bodyBytes < 0 ? Number.POSITIVE_INFINITY : edit.bodyBytes;
  const length = edit.value('content-length');
  return length === undefined ? Number.POSITIVE_INFINITY : Number(length);
}

/** RFC 9111 sections 5.2.1.6 and 5.2.2.6. */
function noTransform(cacheControl: string | undefined): boolean {
  return cacheControl !== undefined && /(?:^|[,\s])no-transform(?:$|[,;\s])/i.test(cacheControl);
}

/** Caches have to keep both forms, also where this client gets the plain one. */
function addVary(edit: ResponseEdit): void {
  const vary = edit.value('vary');
  if (vary === undefined || !/(?:^|[,\s])(?:accept-encoding|\*)(?:$|[,\s])/i.test(vary))
    edit.addHeader('Vary', 'Accept-Encoding');
}
