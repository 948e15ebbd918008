import type { FilterConfig, MatchConfig } from '../../model/config.ts';
import { requestView, type ViewParts } from '../request-view.fixture.ts';
import type { HeaderLines } from '../request-view.ts';
import { compileFilters } from './compile-filters.ts';
import { RequestEdit, ResponseEdit } from './edits.ts';
import type { Answer, FilterContext } from './filter.ts';
import { filterSchemas } from './filters.schema.ts';
import type { HeadEdit } from './head-edit.ts';
import { filters as registry } from './registry.ts';

export function filterContext(path: MatchConfig['path'] = { kind: 'prefix', value: '/' }): FilterContext {
  return { route: 'shop', ruleIndex: 0, match: { path, methods: [], headers: [], query: [] } };
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
}

export function runRequest(
  configs: FilterConfig[],
  parts: ViewParts = {},
  context: FilterContext = filterContext(),
): Outcome {
  const compiled = compileFilters(configs, registry, context);
  const edit = new RequestEdit();
  edit.begin(requestView({ headers: [['X-Left-Over', '1']] }), '192.0.2.9', 'https');
  edit.setHeader('x-of-the-request-before', '1');
  edit.setTarget('/before');
  edit.setHost('before');
  const view = requestView(parts);
  edit.begin(view, '192.0.2.1', 'http');
  const answer = compiled.request === null ? null : compiled.request(edit);
  return {
    answer,
    lines: sent(view, edit).filter((line) => !line.startsWith('Host:')),
    target: edit.target,
    host: edit.host,
  };
}

/** Header lines of a response that has these headers. */
export function runResponse(configs: FilterConfig[], headers: ViewParts['headers']): string[] {
  const compiled = compileFilters(configs, registry, filterContext());
  const edit = new ResponseEdit();
  edit.begin({ view: requestView() }, 200);
  compiled.response?.(edit);
  return sent(requestView({ host: '', headers: headers ?? [] }), edit);
}

/** Does what the writer of a head does. */
function sent(lines: HeaderLines, edit: HeadEdit): string[] {
  const out: string[] = [];
  for (let i = 0; i < lines.count; i++)
    if (!edit.removes(lines, i)) out.push(`${lines.nameAt(i)}: ${lines.valueAt(i)}`);
  return out.concat(edit.append.split('\r\n').slice(0, -1));
}
