/** JSON Schema by ajv, with what a hostile document could make slow replaced by something linear. */
import { createRequire } from 'node:module';
import type { Ajv, ErrorObject, Options } from 'ajv';
import { RE2JS } from 're2js';

export interface SchemaFault {
  /** Where in the document, as a URI fragment (RFC 6901 section 6), at most 256 characters; the form of RFC 9457's own example. */
  pointer: string;
  detail: string;
}

/** null: the document fits. `sizeBytes`: of its text; only for small ones is more than the first fault looked for. */
export type SchemaCheck = (document: unknown, sizeBytes: number) => SchemaFault[] | null;

/** Faults that are told of one document. */
const MAX_FAULTS = 20;
/** Looking for all faults makes an object for each: of a large document that could be hundreds of thousands. */
const ALL_FAULTS_BYTES = 16_384;

// `$schema` without a trailing `#`, and ajv's file for it.
const DRAFTS: Readonly<Record<string, string>> = Object.freeze({
  'https://json-schema.org/draft/2020-12/schema': 'ajv/dist/2020.js',
  'https://json-schema.org/draft/2019-09/schema': 'ajv/dist/2019.js',
  'http://json-schema.org/draft-07/schema': 'ajv/dist/ajv.js',
});

/**
 * Draft 2020-12 unless `$schema` says another. Loads ajv, which takes some 50 ms the first time. Throws an Error whose message says what is wrong with
 * the schema.
 */
export function compileJsonSchema(schema: object | boolean): SchemaCheck {
  const load = createRequire(import.meta.url);
  const draft = draftOf(schema);
  const { default: Draft } = load(draft) as { default: new (options: Options) => Ajv };
  const compile = (options: Options) => {
    const ajv = new Draft({ ...OPTIONS, ...options });
    // What schemas taken from an OpenAPI document have besides.
    ajv.addVocabulary(['example', 'xml', 'externalDocs']);
    const addFormats = load('ajv-formats') as { default(ajv: Ajv): void };
    addFormats.default(ajv);
    linearFormats(ajv);
    linearUniqueItems(ajv);
    const validate = ajv.compile(schema);
    if ('$async' in validate) throw new Error('$async is not supported');
    return validate;
  };
  const fits = compile({});
  let all: typeof fits | null = null;
  return (document, sizeBytes) => {
    if (fits(document)) return null;
    let errors = fits.errors ?? [];
    if (sizeBytes <= ALL_FAULTS_BYTES) {
      all ??= compile({ allErrors: true, validateSchema: false });
      all(document);
      errors = all.errors ?? errors;
      all.errors = null;
    }
    fits.errors = null;
    return errors.slice(0, MAX_FAULTS).map(fault);
  };
}

const OPTIONS: Options = {
  strict: true,
  // Types and required names may come together from several places of a schema.
  strictTypes: false,
  strictTuples: false,
  strictRequired: false,
  allowUnionTypes: true,
  discriminator: true,
  logger: false,
  ownProperties: true,
  code: { regExp: Object.assign(linearExpression, { code: 'linearExpression' }) },
};

function draftOf(schema: object | boolean): string {
  const named = typeof schema === 'object' && '$schema' in schema ? schema.$schema : undefined;
  if (named === undefined) return 'ajv/dist/2020.js';
  const draft = typeof named === 'string' ? DRAFTS[named.replace(/#$/, '')] : undefined;
  if (draft === undefined) throw new Error(`$schema is none of ${Object.keys(DRAFTS).join(', ')}`);
  return draft;
}

/** Patterns of a schema are ECMAScript's; re2js runs what it can translate in linear time and refuses the rest. */
function linearExpression(pattern: string): { test(text: string): boolean } {
  let expression: RE2JS;
  try {
    expression = RE2JS.compile(RE2JS.translateRegExp(pattern));
  } catch (error) {
    const reason = (error as Error).message.replace(/^error parsing regexp: /, '');
    throw new Error(
      `the pattern "${pattern}" can't be matched in linear time (${reason}); write it without look-around`,
      {
        cause: error,
      },
    );
  }
  return { test: (text) => expression.test(text) };
}

/** Expressions of ajv-formats with look-around, which re2js can't run: short texts only. The longest host name has 253 characters. */
const MAX_FORMAT_TEXT = 2048;

function linearFormats(ajv: Ajv): void {
  for (const [name, format] of Object.entries(ajv.formats)) {
    const expression = format instanceof RegExp ? format : undefined;
    if (expression === undefined) continue;
    let test: (text: string) => boolean;
    try {
      const flags = expression.ignoreCase ? RE2JS.CASE_INSENSITIVE : 0;
      const linear = RE2JS.compile(RE2JS.translateRegExp(expression.source), flags);
      test = (text) => linear.test(text);
    } catch {
      test = (text) => text.length <= MAX_FORMAT_TEXT && expression.test(text);
    }
    ajv.formats[name] = test;
  }
}

/** ajv compares each item with each other one; a set of their texts grows with the size of the document only. */
function linearUniqueItems(ajv: Ajv): void {
  ajv.removeKeyword('uniqueItems');
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    error: { message: 'must NOT have duplicate items' },
    validate: (wanted: boolean, items: unknown[]) => !wanted || new Set(items.map(canonical)).size === items.length,
  });
}

/** The same text for equal values: names in order, numbers as JSON.stringify writes them. As deep as the document, which is bounded. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([name, entry]) => `${JSON.stringify(name)}:${canonical(entry)}`).join(',')}}`;
}

function fault({ instancePath, message, params, keyword }: ErrorObject): SchemaFault {
  // The document's own names are told by the pointer only: with a bound, and encoded.
  const name: unknown = keyword === 'additionalProperties' ? params['additionalProperty'] : undefined;
  const path =
    typeof name === 'string' ? `${instancePath}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}` : instancePath;
  const detail = typeof name === 'string' ? 'is not a known property' : (message ?? 'does not fit');
  return {
    pointer: `#${encodeURI(path.toWellFormed()).replaceAll('#', '%23').replaceAll('?', '%3F')}`.slice(0, 256),
    detail,
  };
}
