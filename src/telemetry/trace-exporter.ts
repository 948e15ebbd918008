/** Sends what gateways recorded of requests to an OTLP/HTTP receiver. */
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import type { TracesConfig } from '../model/config.ts';
import type { MetricFamily } from '../model/metrics.ts';
import type { Logger } from '../model/ports.ts';
import type { TraceRecord, TraceSink } from '../model/trace.ts';
import { OtlpSender } from './otlp-sender.ts';

/** Records that wait to be sent; beyond it the newest are dropped and counted. */
const MOST_WAITING = 4096;
/** Records in one export. */
const BATCH = 256;
/** How long an export may take, tries after failures included, ms. */
const EXPORT_WITHIN_MS = 10_000;
/** A receiver that fails is named in the log once in this time, ms. */
const LOG_EVERY_MS = 60_000;

export interface TraceExporterDeps {
  logger: Logger;
  version: string;
  nowMs(): number;
  random(): number;
  /** An export that takes longer has failed, ms; 10 s when left out. */
  withinMs?: number;
}

/**
 * The queue before the receiver. One export at a time; one that fails is dropped and counted: traces must never hold up what they are
 * about, nor the end of the program.
 */
export class TraceExporter implements TraceSink {
  readonly #deps: TraceExporterDeps;
  #config: TracesConfig | null = null;
  #waiting: TraceRecord[] = [];
  #sending: Promise<void> | null = null;
  #sender: OtlpSender | null = null;
  /** What a batch is with now: after a change of the configuration it may be the former one. */
  #busy: OtlpSender | null = null;
  #exported = 0;
  #dropped = 0;
  #failed = 0;
  #loggedMs = Number.NEGATIVE_INFINITY;

  constructor(deps: TraceExporterDeps) {
    this.#deps = deps;
  }

  /** null: nothing is exported. What waits goes to the new receiver. */
  configure(config: TracesConfig | null): void {
    if (JSON.stringify(config) === JSON.stringify(this.#config)) return;
    this.#config = config;
    const former = this.#sender;
    this.#sender = null;
    // One that is sending is closed after that.
    if (this.#sending === null) former?.close();
  }

  traces(_gateway: string, records: readonly TraceRecord[], dropped: number): void {
    this.#dropped += dropped;
    if (this.#config === null) return;
    const room = Math.max(0, MOST_WAITING - this.#waiting.length);
    this.#waiting.push(...records.slice(0, room));
    this.#dropped += Math.max(0, records.length - room);
    this.#sending ??= this.#send().finally(() => {
      this.#sending = null;
    });
  }

  families(): MetricFamily[] {
    const counter = (name: string, help: string, value: number): MetricFamily => ({
      name,
      help,
      type: 'counter',
      series: [{ labels: {}, value }],
    });
    return [
      counter('dormouse_traces_exported_total', 'Recorded requests that the OTLP receiver took.', this.#exported),
      counter('dormouse_traces_dropped_total', 'Recorded requests for which a queue had no room.', this.#dropped),
      counter('dormouse_traces_failed_total', 'Recorded requests that the OTLP receiver did not take.', this.#failed),
    ];
  }

  /** Sends what waits, within a bound. */
  async close(withinMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const bound = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, withinMs);
    });
    await Promise.race([this.#sending, bound]);
    clearTimeout(timer);
    this.#config = null;
    this.#busy?.close();
    this.#sender?.close();
    await this.#sending;
  }

  async #send(): Promise<void> {
    while (this.#waiting.length > 0 && this.#config !== null) {
      const batch = this.#waiting.splice(0, BATCH);
      const config = this.#config;
      const sender = (this.#sender ??= this.#createSender(config));
      this.#busy = sender;
      try {
        await sender.send(await serialized(await spansOf(batch, config, this.#deps.version)));
        this.#exported += batch.length;
      } catch (error) {
        this.#failed += batch.length;
        this.#tellOf(error as Error, config);
      }
      this.#busy = null;
      if (sender !== this.#sender) sender.close();
    }
  }

  #createSender({ otlp, headers }: TracesConfig): OtlpSender {
    const url = new URL(otlp);
    if (url.pathname === '/') url.pathname = '/v1/traces';
    const { random, withinMs = EXPORT_WITHIN_MS } = this.#deps;
    return new OtlpSender({ url, headers, withinMs, random });
  }

  #tellOf(error: Error, config: TracesConfig): void {
    const nowMs = this.#deps.nowMs();
    if (nowMs - this.#loggedMs < LOG_EVERY_MS) return;
    this.#loggedMs = nowMs;
    this.#deps.logger.warn('traces cannot be exported', {
      otlp: withoutCredentials(config.otlp),
      error: error.message,
      next: 'check telemetry.traces.otlp: an OTLP/HTTP receiver, usually on port 4318',
    });
  }
}

async function serialized(spans: ReadableSpan[]): Promise<Uint8Array> {
  const { JsonTraceSerializer } = await import('@opentelemetry/otlp-transformer');
  return JsonTraceSerializer.serializeRequest(spans)!;
}

function withoutCredentials(text: string): string {
  const url = new URL(text);
  url.username = '';
  url.password = '';
  return url.href;
}

/** Names of OpenTelemetry's semantic conventions for HTTP where there is one. */
async function spansOf(
  records: readonly TraceRecord[],
  config: TracesConfig,
  version: string,
): Promise<ReadableSpan[]> {
  const [{ SpanKind, SpanStatusCode, TraceFlags }, { resourceFromAttributes }] = await Promise.all([
    import('@opentelemetry/api'),
    import('@opentelemetry/resources'),
  ]);
  const resource = resourceFromAttributes({ 'service.name': config.serviceName, 'service.version': version });
  const spans: ReadableSpan[] = [];
  for (const record of records) {
    const span = (
      name: string,
      ids: { spanId: string; parentSpanId: string },
      fromMs: number,
      toMs: number,
      more: { kind: number; failed: boolean; attributes: Record<string, string | number | boolean> },
    ): ReadableSpan => ({
      name,
      kind: more.kind,
      spanContext: () => ({ traceId: record.traceId, spanId: ids.spanId, traceFlags: TraceFlags.SAMPLED }),
      ...(ids.parentSpanId === ''
        ? {}
        : {
            parentSpanContext: {
              traceId: record.traceId,
              spanId: ids.parentSpanId,
              traceFlags: TraceFlags.SAMPLED,
            },
          }),
      startTime: hrTime(record.startedAtMs + fromMs),
      endTime: hrTime(record.startedAtMs + Math.max(fromMs, toMs)),
      duration: hrTime(Math.max(0, toMs - fromMs)),
      status: { code: more.failed ? SpanStatusCode.ERROR : SpanStatusCode.UNSET },
      attributes: more.attributes,
      links: [],
      events: [],
      ended: true,
      resource,
      instrumentationScope: { name: 'dormouse', version },
      droppedAttributesCount: 0,
      droppedEventsCount: 0,
      droppedLinksCount: 0,
    });
    const { method, path, status, host, client, route, backend, endpoint, outcome, requestId, attempts } = record;
    spans.push(
      span(`${method} ${route === '' ? path : route}`, record, 0, record.durationMs, {
        kind: SpanKind.SERVER,
        failed: status >= 500 || status === 0,
        attributes: {
          'http.request.method': method,
          'url.path': path,
          'server.address': host,
          'client.address': client,
          'http.response.status_code': status,
          'http.route': route,
          'dormouse.backend': backend,
          'dormouse.endpoint': endpoint,
          'dormouse.outcome': outcome,
          'dormouse.request_id': requestId,
          'dormouse.attempts': attempts,
          'dormouse.cold_start': record.coldStart,
        },
      }),
    );
    record.spans.forEach((part, index) => {
      const towardsEndpoint = part.spanId !== '';
      // Ids of inner parts have to differ from each other only.
      const spanId = towardsEndpoint ? part.spanId : innerId(record.spanId, index);
      spans.push(
        span(
          part.name.endsWith('filter') ? `${part.name} ${part.detail}` : part.name,
          { spanId, parentSpanId: record.spanId },
          part.fromMs,
          part.toMs,
          {
            kind: towardsEndpoint ? SpanKind.CLIENT : SpanKind.INTERNAL,
            failed: part.detail === 'failed',
            attributes: part.detail === '' ? {} : { 'dormouse.detail': part.detail },
          },
        ),
      );
    });
  }
  return spans;
}

/** Another id for each part of a request, from the request's own. */
function innerId(spanId: string, index: number): string {
  const id = BigInt(`0x${spanId}`) ^ BigInt(index + 1);
  return (id === 0n ? 1n : id).toString(16).padStart(16, '0');
}

function hrTime(wallMs: number): [number, number] {
  const seconds = Math.floor(wallMs / 1000);
  return [seconds, Math.round((wallMs - seconds * 1000) * 1e6)];
}
