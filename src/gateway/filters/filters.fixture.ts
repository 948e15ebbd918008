import type { FilterConfig, MatchConfig } from '../../model/config.ts';
import { silentLogger, systemClock } from '../../model/ports.ts';
import { requestView, type ViewParts } from '../request-view.fixture.ts';
import type { HeaderLines } from '../request-view.ts';
import { compileFilters } from './compile-filters.ts';
import { RequestEdit, ResponseEdit } from './edits.ts';
import type { BodyTransform, BodyOutput } from './body-transform.ts';
import type { FilterPlace } from './compile-filters.ts';
import type { Answer, FilterServices, Verdict } from './filter.ts';
import { filterSchemas } from './filters.schema.ts';
import type { HeadEdit } from './head-edit.ts';
import { KeptParts } from './kept-parts.ts';
import { filters as registry } from './all-filters.fixture.ts';

export function filterContext(path: MatchConfig['path'] = { kind: 'prefix', value: '/' }): FilterPlace {
  return {
    route: 'shop',
    ruleIndex: 0,
    match: { path, methods: [], headers: [], query: [] },
    backends: [{ name: 'shop', weight: 1 }],
  };
}

/** What the gateway offers; whoever needs limits or side calls gives them. */
export function filterServices(more: Partial<FilterServices> = {}): FilterServices {
  const missing = (): never => {
    throw new Error('this test offers no such thing');
  };
  return {
    clock: systemClock,
    logger: silentLogger,
    random: Math.random,
    limits: { rate: missing, concurrency: missing },
    kept: new KeptParts(),
    call: missing,
    ...more,
  };
}

/** A filter as the file gives it: its options go through its schema. */
export function filter(type: string, options: unknown): FilterConfig {
  return { type, options: filterSchemas[type]!.parse(options) };
}

/** What the schema says about options, as "key.path: message"; empty when they are right. */
export function issues(type: string, options: unknown): string[] {
  return (
    filterSchemas[type]!.safeParse(options).error?.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`) ??
    []
  );
}

export interface Outcome {
  answer: Answer | null;
  /** Header lines as they would be sent, without Host. */
  lines: string[];
  target: string | null;
  host: string | null;
  /** Lines that the response will carry. */
  responseLines: string[];
  maxBodyBytes: number;
}

export function runRequest(
  configs: FilterConfig[],
  parts: ViewParts = {},
  context: FilterPlace = filterContext(),
): Outcome {
  const compiled = compileFilters(configs, registry, context, filterServices());
  const edit = new RequestEdit();
  edit.begin(requestView({ headers: [['X-Left-Over', '1']] }), '192.0.2.9', 'https');
  edit.setHeader('x-of-the-request-before', '1');
  edit.setTarget('/before');
  edit.setHost('before');
  const view = requestView(parts);
  edit.begin(view, '192.0.2.1', 'http');
  const answer = settled(compiled.request === null ? null : compiled.request(edit));
  return {
    answer,
    lines: sent(view, edit).filter((line) => !line.startsWith('Host:')),
    target: edit.target,
    host: edit.host,
    responseLines: edit.responseLines.split('\r\n').slice(0, -1),
    maxBodyBytes: edit.maxBodyBytes,
  };
}

function settled(verdict: Verdict): Answer | null {
  if (verdict instanceof Promise) throw new Error('this filter was expected not to wait');
  return verdict;
}

/** A request with its whole body through all steps: what is answered, or the body as it is sent on ('' when no filter wanted it). */
export async function runBody(
  configs: FilterConfig[],
  parts: ViewParts,
  body: string | Buffer,
): Promise<{ answer: Answer | null; body: string | null }> {
  const compiled = compileFilters(configs, registry, filterContext(), filterServices());
  let content = Buffer.from(body);
  const edit = new RequestEdit();
  const headers = [...(parts.headers ?? []), ['Content-Length', String(content.length)] as const];
  edit.begin(requestView({ method: 'POST', ...parts, headers }), '192.0.2.1', 'http');
  const answer = compiled.request === null ? null : await compiled.request(edit);
  if (answer !== null) return { answer, body: null };
  for (const step of compiled.bodySteps ?? []) {
    if (!step.wants(edit)) continue;
    if (content.length > step.limitBytes) throw new Error(`the gateway would answer 413 beyond ${step.limitBytes}`);
    const result = await step.run(edit, content);
    if (Buffer.isBuffer(result)) content = Buffer.from(result);
    else if (result !== null) return { answer: result, body: null };
  }
  return { answer: null, body: content.toString('utf8') };
}

/** Header lines of a response that has these headers. */
export function runResponse(configs: FilterConfig[], headers: ViewParts['headers']): string[] {
  return responseOf(configs, { headers }).lines;
}

export interface ResponseParts {
  status?: number;
  own?: boolean;
  headers?: ViewParts['headers'];
  /** -1: of a length that isn't known. */
  bodyBytes?: number;
  request?: ViewParts;
}

export interface FilteredResponse {
  status: number;
  lines: string[];
  replacement: { contentType: string; body: string } | null;
  /** In the order in which the body goes through them. */
  transforms: BodyTransform[];
}

/** A response through the filters, request steps first. */
export function responseOf(configs: FilterConfig[], parts: ResponseParts): FilteredResponse {
  const compiled = compileFilters(configs, registry, filterContext(), filterServices());
  const view = requestView(parts.request);
  const request = new RequestEdit();
  request.begin(view, '192.0.2.1', 'http');
  settled(compiled.request === null ? null : compiled.request(request));
  const edit = new ResponseEdit();
  const received = requestView({ host: '', headers: parts.headers ?? [] });
  edit.begin({ view }, parts.status ?? 200, received);
  edit.own = parts.own ?? false;
  edit.bodyBytes = parts.bodyBytes ?? -1;
  edit.bodiless = view.method === 'HEAD' || edit.status === 204 || edit.status === 304;
  compiled.response?.(edit);
  const transforms = edit.transforms ?? [];
  return {
    status: edit.status,
    lines: [...sent(received, edit), ...request.responseLines.split('\r\n').slice(0, -1)],
    replacement:
      edit.replacement === null ? null : { ...edit.replacement, body: edit.replacement.body.toString('utf8') },
    transforms: ['content', 'coding'].flatMap((stage) =>
      transforms.filter((entry) => entry.stage === stage).map((entry) => entry.transform),
    ),
  };
}

/** Sends parts through a transform; rejects when it fails. Takes everything, each part in a turn of its own. */
export function transformed(transform: BodyTransform, parts: readonly (string | Buffer)[]): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const out: Buffer[] = [];
    let next = 0;
    const feed = (): void => {
      if (next === parts.length) transform.end();
      else if (transform.write(Buffer.from(parts[next++]!))) setImmediate(feed);
    };
    const output: BodyOutput = {
      data: (part) => {
        out.push(part);
        return true;
      },
      end: () => resolve(Buffer.concat(out)),
      drained: feed,
      fail: reject,
    };
    transform.start(output);
    feed();
  });
}

/** Does what the writer of a head does. */
function sent(lines: HeaderLines, edit: HeadEdit): string[] {
  const out: string[] = [];
  for (let i = 0; i < lines.count; i++)
    if (!edit.removes(lines, i)) out.push(`${lines.nameAt(i)}: ${lines.valueAt(i)}`);
  return out.concat(edit.append.split('\r\n').slice(0, -1));
}
