import { DormouseError } from '../../model/errors.ts';
import { hasUnderscore, joinedValue, nextNamed } from '../request-view.ts';
import { Pattern } from '../routing/pattern.ts';
import { queryFields } from '../routing/query.ts';
import type { RequestEdit } from './edits.ts';
import type { Answer, BodyStep, Filter, FilterContext } from './filter.ts';
import { compileJsonSchema, type SchemaCheck } from './json-schema.ts';
import { scanJson } from './json-scan.ts';
import { compileMediaTypes, essence } from './media-type.ts';
import { problemAnswer } from './problem-answer.ts';
import { codedRefusal, hasBody, hasJsonBody, jsonRefusal, notJson } from './request-json.ts';
import { compilePathRules, type PathRules } from './validate-path.ts';

export interface ValidateOptions {
  /** Upper case; empty: all. HEAD goes where GET may. */
  methods: string[];
  /** Media types of request bodies, `text/*` and `application/*+json` too; empty: all. */
  contentTypes: string[];
  /** Bytes of a request body; 0: no bound. */
  maxBody: number;
  headers: RequiredValue[];
  query: RequiredValue[];
  /** null: paths are not looked at. */
  path: PathRules | null;
  /** Headers with `_` in their names. */
  underscores: 'drop' | 'refuse' | 'allow';
  json: JsonOptions | null;
}

export interface RequiredValue {
  /** Headers: lower case. */
  name: string;
  /** `present`: any value but an empty one. */
  kind: 'present' | 'exact' | 'regex';
  value: string;
}

export interface JsonOptions {
  /** One of the two: as it stands in the configuration, or what the named file says. */
  schema?: object | boolean;
  file?: object | boolean;
  maxDepth: number;
  /** POST, PUT and PATCH without a body are refused. */
  required: boolean;
  /** Of the answer when the document doesn't fit. */
  status: 400 | 422;
}

/** Bytes of a JSON body that is checked by a schema, when `maxBody` says nothing. */
const DEFAULT_JSON_BYTES = 1_048_576;

/** Refuses requests that break rules of form, each with problem+json, before a backend is chosen. */
export function validate(options: ValidateOptions, context: FilterContext): Filter {
  const checks: ((edit: RequestEdit) => Answer | null)[] = [];
  if (options.methods.length > 0) checks.push(methodCheck(options.methods));
  const place = `routes.${context.route}.rules[${context.ruleIndex}]: validate`;
  if (options.path !== null) checks.push(compilePathRules(options.path, place));
  if (options.underscores !== 'allow') checks.push(underscoreCheck(options.underscores));
  for (const required of options.headers) checks.push(headerCheck(required, `${place}.headers.${required.name}`));
  if (options.query.length > 0) checks.push(queryCheck(options.query, place));
  const { json, maxBody } = options;
  if (options.contentTypes.length > 0) checks.push(typeCheck(options.contentTypes));
  if (json !== null) checks.push(jsonHeadCheck(json));
  if (maxBody > 0) checks.push(sizeCheck(maxBody));
  const filter: Filter = {
    request(edit) {
      for (let i = 0; i < checks.length; i++) {
        const answer = checks[i]!(edit);
        if (answer !== null) return answer;
      }
      return null;
    },
  };
  if (json !== null) filter.body = jsonStep(json, maxBody === 0 ? DEFAULT_JSON_BYTES : maxBody, place);
  return filter;
}

function methodCheck(methods: readonly string[]): (edit: RequestEdit) => Answer | null {
  const allowed = new Set(methods);
  if (allowed.has('GET')) allowed.add('HEAD');
  const allow = `Allow: ${[...allowed].join(', ')}\r\n`;
  return ({ view }) =>
    allowed.has(view.method) ? null : problemAnswer(405, 'method-refused', 'This method is not allowed here.', allow);
}

/** Some servers read `x_user` and `x-user` as the same header (CGI makes HTTP_X_USER of both), so that one can pose as the other. */
function underscoreCheck(what: 'drop' | 'refuse'): (edit: RequestEdit) => Answer | null {
  if (what === 'drop') {
    return (edit) => {
      edit.dropUnderscored();
      return null;
    };
  }
  return ({ view }) => {
    for (let i = 0; i < view.count; i++) {
      if (hasUnderscore(view, i))
        return problemAnswer(400, 'header-refused', 'A header has an underscore in its name.');
    }
    return null;
  };
}

function headerCheck({ name, kind, value }: RequiredValue, place: string): (edit: RequestEdit) => Answer | null {
  const fits = valueCheck(kind, value, place);
  return ({ view }) => {
    const received = joinedValue(view, name);
    if (received === undefined || received === '')
      return problemAnswer(400, 'header-missing', `The header ${name} is missing.`);
    return fits(received)
      ? null
      : problemAnswer(400, 'header-refused', `The header ${name} has a value that is not allowed.`);
  };
}

function valueCheck(kind: RequiredValue['kind'], value: string, place: string): (received: string) => boolean {
  if (kind === 'present') return () => true;
  if (kind === 'regex') {
    const pattern = new Pattern(value, place);
    return (received) => pattern.matchesLatin1(received);
  }
  const latin1 = Buffer.from(value, 'utf8').toString('latin1');
  return (received) => received === latin1;
}

/** A parameter may stand several times, and servers differ in which one they take: each has to fit. */
function queryCheck(required: readonly RequiredValue[], place: string): (edit: RequestEdit) => Answer | null {
  const rules = required.map(({ name, kind, value }) => {
    const pattern = kind === 'regex' ? new Pattern(value, `${place}.query.${name}`) : null;
    const fits = (text: string): boolean =>
      kind === 'present' ? text !== '' : pattern === null ? text === value : pattern.matches(text);
    return { name, fits };
  });
  return ({ view }) => {
    const fields = queryFields(view.query);
    for (const { name, fits } of rules) {
      const values = fields.filter((field) => field.name === name);
      if (values.length === 0)
        return problemAnswer(400, 'parameter-missing', `The query parameter ${name} is missing.`);
      if (!values.every((field) => fits(field.value)))
        return problemAnswer(400, 'parameter-refused', `The query parameter ${name} has a value that is not allowed.`);
    }
    return null;
  };
}

function typeCheck(types: readonly string[]): (edit: RequestEdit) => Answer | null {
  const fits = compileMediaTypes(types);
  // RFC 9110 section 15.5.16: what would have been accepted.
  const accept = `Accept: ${types.join(', ')}\r\n`;
  return ({ view }) => {
    if (!hasBody(view)) return null;
    const first = view.indexOf('content-type');
    if (first >= 0 && nextNamed(view, 'content-type', first + 1) >= 0)
      return problemAnswer(400, 'header-refused', 'The header content-type stands there twice.');
    if (first >= 0 && fits(essence(view.valueAt(first)))) return null;
    return problemAnswer(415, 'content-type-refused', 'Bodies of this content type are not accepted here.', accept);
  };
}

/** Reads a declared length; a body without one is counted while it passes. */
function sizeCheck(maxBody: number): (edit: RequestEdit) => Answer | null {
  return (edit) => {
    const length = edit.view.value('content-length');
    if (length !== undefined && Number(length) > maxBody) return tooLarge(maxBody);
    edit.limitBody(maxBody);
    return null;
  };
}

function tooLarge(maxBody: number): Answer {
  return problemAnswer(413, 'too-large', `The request body is larger than ${maxBody} bytes.`);
}

function jsonHeadCheck({ required }: JsonOptions): (edit: RequestEdit) => Answer | null {
  return ({ view }) => {
    if (hasBody(view)) return hasJsonBody(view) ? codedRefusal(view) : null;
    const wanted = required && (view.method === 'POST' || view.method === 'PUT' || view.method === 'PATCH');
    return wanted ? problemAnswer(400, 'body-missing', 'A JSON body is missing.') : null;
  };
}

function jsonStep(json: JsonOptions, limitBytes: number, place: string): BodyStep {
  const check = schemaCheck(json.schema ?? json.file!, place);
  const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  return {
    limitBytes,
    wants: ({ view }) => hasJsonBody(view),
    run(_edit, body) {
      if (body.length === 0)
        return json.required ? problemAnswer(400, 'body-missing', 'A JSON body is missing.') : null;
      let text: string;
      try {
        text = utf8.decode(body);
      } catch {
        return jsonRefusal('is not UTF-8');
      }
      const scan = scanJson(text, json.maxDepth);
      if (scan === 'deep') return jsonRefusal(`is nested deeper than ${json.maxDepth} levels`);
      if (scan === 'duplicate') return jsonRefusal('has an object with a name that stands there twice');
      let document: unknown;
      try {
        document = JSON.parse(text);
      } catch (error) {
        return jsonRefusal(notJson(error));
      }
      const errors = check(document, body.length);
      if (errors === null) return null;
      return problemAnswer(json.status, 'schema', 'The request body does not fit the schema.', '', { errors });
    },
  };
}

// The last result of a pure function per schema: the filters of a rule's matches share what was compiled.
const compiled = new WeakMap<object, SchemaCheck>();

function schemaCheck(schema: object | boolean, place: string): SchemaCheck {
  const known = typeof schema === 'object' ? compiled.get(schema) : undefined;
  if (known !== undefined) return known;
  try {
    const check = compileJsonSchema(schema);
    if (typeof schema === 'object') compiled.set(schema, check);
    return check;
  } catch (cause) {
    throw new DormouseError('DORMOUSE_FILTER_SCHEMA', `${place}.json: ${(cause as Error).message}`, {
      cause,
      userFault: true,
    });
  }
}
