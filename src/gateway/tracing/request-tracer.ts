import { HeaderKind } from '../../http1/header-kind.ts';
import type { TracesConfig } from '../../model/config.ts';
import type { Clock, RandomSource } from '../../model/ports.ts';
import type { TraceRecord, TraceSpan } from '../../model/trace.ts';
import type { RequestHead } from '../../http1/request-head.ts';
import { joinedValue } from '../request-view.ts';
import { readTraceParent, randomHex, traceParentLine } from './traceparent.ts';
import type { RequestTrace, TracedExchange, TracePlace, Tracer } from './tracer.ts';

/** Spans that one request may have; filters beyond it are not told apart. */
const MOST_SPANS = 48;
/** Records that wait for the next report; beyond it they are dropped and counted. */
const MOST_RECORDS = 1000;
/** Characters of a tracestate that is passed on (W3C Trace Context, 3.3.1.5). */
const LONGEST_STATE = 512;
/** Tokens that are looked at: one for each gateway on the way. */
const MOST_TOKENS = 8;
const TRACE_CONTEXT: readonly string[] = ['traceparent', 'tracestate'];
const ASKED: readonly string[] = ['x-dormouse-trace'];

export interface TracerOptions {
  traces: TracesConfig | null;
  /** Every response carries Server-Timing. */
  serverTiming: boolean;
  /** Who knows it may ask for the Server-Timing of a request (`x-dormouse-trace`): readable with the rights of the state folder. '' : nobody. */
  token: string;
  clock: Clock;
  random: RandomSource;
}

/** Whether any request could be recorded at all. */
export function isTracing({ traces, serverTiming, token }: TracerOptions): boolean {
  return traces !== null || serverTiming || token !== '';
}

/** What is recorded of requests: those that are sampled, those that are asked for, or all where every response carries its times. */
export class RequestTracer implements Tracer {
  private options: TracerOptions;
  private token: Buffer;
  private records: TraceRecord[] = [];
  private dropped = 0;

  constructor(options: TracerOptions) {
    this.options = options;
    this.token = Buffer.from(options.token);
  }

  /** The configuration changed; what was recorded stays. */
  configure(options: TracerOptions): void {
    this.options = options;
    this.token = Buffer.from(options.token);
  }

  begin(head: RequestHead, startedMs: number, acceptedMs: number): RequestTrace | null {
    const { traces, serverTiming, random } = this.options;
    const others = this.token.length === 0 ? null : this.othersWhenAsked(head);
    const told = serverTiming || others !== null;
    if (traces === null && !told) return null;
    const received = traces === null ? undefined : head.value('traceparent');
    const parent = received === undefined ? null : readTraceParent(received);
    const sampled = traces !== null && ((parent !== null && parent.sampled) || random() * 100 < traces.samplePercent);
    if (!sampled) return told ? new RecordedRequest(this, startedMs, acceptedMs, told, others, null) : null;
    const state = parent === null ? undefined : joinedValue(head, 'tracestate');
    return new RecordedRequest(this, startedMs, acceptedMs, told, others, {
      traceId: parent === null ? randomHex(32, random) : parent.traceId,
      spanId: randomHex(16, random),
      upstreamSpanId: randomHex(16, random),
      parentSpanId: parent === null ? '' : parent.parentId,
      tracestate: state !== undefined && state.length <= LONGEST_STATE ? state : '',
    });
  }

  /** Of the tokens in x-dormouse-trace those that aren't ours, when ours is among them: for the next gateway. null: we are not asked. */
  private othersWhenAsked(head: RequestHead): string[] | null {
    const { kinds, count } = head;
    for (let i = 0; i < count; i++) {
      if (kinds[i] !== HeaderKind.X_DORMOUSE_TRACE) continue;
      const words = head.valueAt(i).split(',', MOST_TOKENS);
      const others = words.map((word) => word.trim()).filter((word) => !this.isOurs(word));
      if (others.length < words.length) return others;
    }
    return null;
  }

  private isOurs(word: string): boolean {
    const { token } = this;
    if (word.length !== token.length) return false;
    // In constant time; not by node:crypto, which costs every worker 3 MB.
    let differs = 0;
    for (let i = 0; i < token.length; i++) differs |= word.charCodeAt(i) ^ token[i]!;
    return differs === 0;
  }

  wallMs(): number {
    return this.options.clock.wallMs();
  }

  keep(record: TraceRecord): void {
    if (this.records.length < MOST_RECORDS) this.records.push(record);
    else this.dropped++;
  }

  /** What was recorded since the last call; null: nothing. */
  take(): { records: TraceRecord[]; dropped: number } | null {
    if (this.records.length === 0 && this.dropped === 0) return null;
    const taken = { records: this.records, dropped: this.dropped };
    this.records = [];
    this.dropped = 0;
    return taken;
  }
}

interface SpanIds {
  traceId: string;
  spanId: string;
  /** Of the part that waits for the endpoint: what the endpoint is told as its parent. */
  upstreamSpanId: string;
  parentSpanId: string;
  tracestate: string;
}

class RecordedRequest implements RequestTrace {
  readonly removes: readonly string[];
  readonly upstreamLines: string;
  private readonly tracer: RequestTracer;
  private readonly startedMs: number;
  private readonly told: boolean;
  private readonly ids: SpanIds | null;
  private readonly spans: TraceSpan[] = [];
  /** The last thing that is accounted for. */
  private markMs: number;
  private attemptMs = 0;
  private connectedMs = 0;
  private answeredMs = 0;
  private attempts = 0;
  private endpointName = '';
  private woke = false;

  constructor(
    tracer: RequestTracer,
    startedMs: number,
    acceptedMs: number,
    told: boolean,
    others: readonly string[] | null,
    ids: SpanIds | null,
  ) {
    this.tracer = tracer;
    this.startedMs = startedMs;
    this.markMs = startedMs;
    this.told = told;
    this.ids = ids;
    const asked = others === null ? [] : ASKED;
    this.removes = ids === null ? asked : [...TRACE_CONTEXT, ...asked];
    let lines = others === null || others.length === 0 ? '' : `x-dormouse-trace: ${others.join(', ')}\r\n`;
    if (ids !== null) {
      lines += traceParentLine(ids.traceId, ids.upstreamSpanId, true);
      if (ids.tracestate !== '') lines += `tracestate: ${ids.tracestate}\r\n`;
    }
    this.upstreamLines = lines;
    if (acceptedMs >= 0) this.span('accept', acceptedMs, startedMs);
  }

  private span(name: string, fromMs: number, toMs: number, detail = '', spanId = ''): void {
    if (this.spans.length >= MOST_SPANS) return;
    this.spans.push({ name, spanId, fromMs: fromMs - this.startedMs, toMs: toMs - this.startedMs, detail });
  }

  filter(name: string, fromMs: number, toMs: number): void {
    this.span('filter', fromMs, toMs, name);
    this.markMs = toMs;
  }

  collected(fromMs: number, toMs: number): void {
    this.span('request body', fromMs, toMs);
    this.markMs = toMs;
  }

  responseFilter(name: string, fromMs: number, toMs: number): void {
    this.span('response filter', fromMs, toMs, name);
  }

  held(fromMs: number, toMs: number, wake: boolean): void {
    this.span(wake && !this.woke ? 'wake' : 'hold', fromMs, toMs);
    this.woke ||= wake;
    this.markMs = toMs;
  }

  attempt(endpoint: string, atMs: number): void {
    // The one before came to nothing.
    if (this.attempts > 0 && this.connectedMs < this.attemptMs) this.span('connect', this.attemptMs, atMs, 'failed');
    else if (this.attempts > 0) this.span('first byte', this.connectedMs, atMs, 'failed');
    if (this.attempts === 0) this.span('balance', this.markMs, atMs, endpoint);
    this.attempts++;
    this.endpointName = endpoint;
    this.attemptMs = atMs;
  }

  connected(atMs: number): void {
    this.connectedMs = atMs;
    // A kept connection is there in the same moment.
    this.span('connect', this.attemptMs, atMs, atMs - this.attemptMs < 0.05 ? 'kept' : 'new');
  }

  answered(atMs: number): void {
    this.answeredMs = atMs;
    this.span(
      'first byte',
      this.connectedMs,
      atMs,
      this.endpointName,
      this.ids === null ? '' : this.ids.upstreamSpanId,
    );
  }

  /**
   * One `dormouse` entry and one for each span up to now, with `start` (ms after the request's first byte) beside `dur`; parameters that a reader doesn't
   * know are ignored (Server Timing, section 3).
   */
  responseLines(atMs: number, place: TracePlace): string {
    if (!this.told) return '';
    const total = atMs - this.startedMs;
    let line = `Server-Timing: dormouse;dur=${ms(total)}`;
    if (this.endpointName !== '') line += `;desc="${quoted(this.endpointName)}"`;
    const { listener, route, backend } = place;
    for (const [key, value] of Object.entries({ listener, route, backend }))
      if (value !== '') line += `;${key}="${quoted(value)}"`;
    for (const { name, fromMs, toMs, detail } of this.spans) {
      const label = name.replace(' ', '-');
      line += `, ${label};start=${ms(fromMs)};dur=${ms(toMs - fromMs)}`;
      if (detail !== '') line += `;desc="${quoted(detail)}"`;
    }
    return `${line}\r\n`;
  }

  end(atMs: number, exchange: TracedExchange, backend: string): void {
    if (this.ids === null) return;
    if (this.answeredMs > 0) this.span('body', this.answeredMs, atMs);
    const durationMs = atMs - this.startedMs;
    const { method, path, host, client, status, route, endpoint, outcome, requestId, attempts, coldStart } = exchange;
    const { traceId, spanId, parentSpanId, tracestate } = this.ids;
    this.tracer.keep({
      traceId,
      spanId,
      parentSpanId,
      tracestate,
      startedAtMs: this.tracer.wallMs() - durationMs,
      durationMs,
      method,
      path: path.slice(0, 1024),
      host,
      client,
      status,
      route,
      backend,
      endpoint,
      outcome,
      requestId,
      attempts,
      coldStart,
      spans: this.spans,
    });
  }
}

/** Milliseconds with three digits after the point, without the zeros at the end. */
function ms(value: number): string {
  return String(Math.round(value * 1000) / 1000);
}

/** For a quoted-string (RFC 9110 5.6.4). */
function quoted(text: string): string {
  return text.replace(/["\\]/g, '').replace(/[^\x20-\x7e]/g, '');
}
