/**
 * JSON Schema as zod writes it -> the structural schema of a custom resource (OpenAPI v3 as the API server takes it): one type per value, no references,
 * no additionalProperties beside properties, a bound on everything that CEL rules may look at. Where the file has a short and a long form, objects have
 * the long one. What can't be said in it is left open and checked when the object is compiled.
 */
import { RE2JS } from 're2js';
import { DURATION_LIMITS } from '../schema/scalars.ts';

/** A JSON Schema or a structural schema. */
export type Schema = Record<string, unknown>;

/** x-kubernetes-validations. */
export interface CelRule {
  rule: string;
  message: string;
  /** Where the message points to, relative to the place of the rule: `.max`. */
  fieldPath?: string;
}

/** What the converter is told of a place. Places are written as in docs/configuration.md: `backends.NAME.servers[].url`. */
export interface Places {
  /** Keys that objects don't have. */
  leftOut: ReadonlySet<string>;
  /** Keys without which an object is refused, besides those of the schema. */
  required: ReadonlyMap<string, readonly string[]>;
  rules: ReadonlyMap<string, readonly CelRule[]>;
  /** Undefined: nothing is said of it. */
  describe: (place: string) => string | undefined;
  /** Told of each place. */
  see?: (place: string) => void;
}

/** Where the file's schema has no bound. */
const MAX_TEXT = 4096;
const MAX_ITEMS = 100;
const MAX_PROPERTIES = 100;

const DURATION_PATTERN = '^(0|([0-9]+(\\.[0-9]+)?(d|h|ms|m|s))+)$';
const SIZE_PATTERN = '^[0-9]+(\\.[0-9]+)?([kKMGT]i?)?B?$';

/** Converts `json`, which stands at `at`. Throws when it has a form that nothing is known of, and when `places` names one that is not there. */
export function structural(json: Schema, at: string, places: Places): Schema {
  const seen = new Set<string>();
  const noting: Places = { ...places, see: (place) => seen.add(place) };
  const result = placed(json, at, noting);
  const stale = [...places.leftOut, ...places.required.keys(), ...places.rules.keys()].filter((one) => !seen.has(one));
  if (stale.length > 0) throw new Error(`there is no ${stale.join(' and no ')} in the schema`);
  return result;
}

function placed(json: Schema, at: string, places: Places): Schema {
  places.see?.(at);
  const result = convert(withoutNull(json), at, places);
  if (allows(json, 'null')) result['nullable'] = true;
  const rules = [
    ...((result['x-kubernetes-validations'] as CelRule[] | undefined) ?? []),
    ...(places.rules.get(at) ?? []),
  ];
  if (rules.length > 0) result['x-kubernetes-validations'] = rules;
  const description = [places.describe(at), defaultText(json)].filter((text) => text !== undefined).join('. ');
  return description === '' ? result : { description, ...result };
}

function convert(json: Schema, at: string, places: Places): Schema {
  if (typeof json['$ref'] === 'string' || Object.keys(json).filter((key) => key !== 'default').length === 0)
    return ANYTHING();
  if (json['const'] !== undefined) return enumOf([json['const']]);
  if (Array.isArray(json['enum'])) return enumOf(json['enum'] as unknown[]);
  if (Array.isArray(json['anyOf'])) return oneForm(json['anyOf'] as Schema[], at, places);
  const type = json['type'];
  if (Array.isArray(type)) return severalTypes(json, type as string[], at);
  switch (type) {
    case 'object':
      return objectOf(json, at, places);
    case 'array':
      return {
        type: 'array',
        ...pick(json, 'minItems'),
        maxItems: json['maxItems'] ?? MAX_ITEMS,
        items: placed(json['items'] as Schema, `${at}[]`, places),
      };
    case 'string':
      return textOf(json);
    case 'number':
    case 'integer':
      return numberOf(json, type);
    case 'boolean':
      return { type };
    default:
      throw new Error(`${at}: ${JSON.stringify(json)} can't be written as a structural schema`);
  }
}

/** A value that the API server takes as it is. */
function ANYTHING(): Schema {
  return { 'x-kubernetes-preserve-unknown-fields': true };
}

function objectOf(json: Schema, at: string, places: Places): Schema {
  if (typeof json['additionalProperties'] === 'object') {
    return {
      type: 'object',
      maxProperties: json['maxProperties'] ?? MAX_PROPERTIES,
      additionalProperties: placed(json['additionalProperties'] as Schema, `${at}.NAME`, places),
    };
  }
  const properties: Schema = {};
  for (const [key, child] of Object.entries((json['properties'] ?? {}) as Record<string, Schema>)) {
    const place = at === '' ? key : `${at}.${key}`;
    if (places.leftOut.has(place)) places.see?.(place);
    else properties[key] = placed(child, place, places);
  }
  const required = [...((json['required'] ?? []) as string[]), ...(places.required.get(at) ?? [])].filter((key) =>
    Object.hasOwn(properties, key),
  );
  return { type: 'object', ...(required.length > 0 ? { required: [...new Set(required)] } : {}), properties };
}

function textOf(json: Schema): Schema {
  const patterns = [json['pattern'], ...((json['allOf'] ?? []) as Schema[]).map((one) => one['pattern'])].flatMap(
    (pattern) => {
      const written = typeof pattern === 'string' ? pattern.replaceAll('\\/', '/') : undefined;
      return written !== undefined && isRe2(written) ? [written] : [];
    },
  );
  return {
    type: 'string',
    ...pick(json, 'minLength'),
    maxLength: json['maxLength'] ?? MAX_TEXT,
    ...(patterns.length === 0 ? {} : { pattern: patterns[0] }),
    ...(patterns.length <= 1 ? {} : { allOf: patterns.slice(1).map((pattern) => ({ pattern })) }),
  };
}

/** The API server knows RE2's syntax only. */
function isRe2(pattern: string): boolean {
  try {
    return RE2JS.compile(pattern).pattern() === pattern;
  } catch {
    return false;
  }
}

function numberOf(json: Schema, type: string): Schema {
  const { minimum, maximum, exclusiveMinimum } = json;
  // What zod says of whole numbers without bounds.
  const bounded = (value: unknown): boolean => typeof value === 'number' && Math.abs(value) < Number.MAX_SAFE_INTEGER;
  return {
    type,
    ...(typeof exclusiveMinimum === 'number' ? { minimum: exclusiveMinimum, exclusiveMinimum: true } : {}),
    ...(bounded(minimum) ? { minimum } : {}),
    ...(bounded(maximum) ? { maximum } : {}),
  };
}

function enumOf(values: readonly unknown[]): Schema {
  // on and off are what YAML 1.1, which kubectl reads, takes for true and false.
  if (values.includes('on') && values.includes(true)) return { type: 'boolean' };
  const texts = values.filter((value) => typeof value === 'string');
  if (texts.length > 0) return { type: 'string', enum: texts };
  if (values.every((value) => typeof value === 'boolean')) return { type: 'boolean', enum: values };
  if (values.every((value) => Number.isInteger(value))) return { type: 'integer', enum: values };
  throw new Error(`${JSON.stringify(values)} can't be written as a structural schema`);
}

/** Of several forms the long one; where there is none that says everything, any. */
function oneForm(forms: readonly Schema[], at: string, places: Places): Schema {
  const only = forms[0];
  if (forms.length === 1 && only !== undefined) return convert(only, at, places);
  if (forms.every((form) => form['const'] !== undefined)) return enumOf(forms.map((form) => form['const']));
  const listed = forms.find((form) => Array.isArray(form['enum']));
  const rest = forms.filter((form) => form !== listed);
  if (listed !== undefined && rest.every((form) => form['type'] === 'string'))
    return enumOf(listed['enum'] as unknown[]);
  const list = forms.find((form) => form['type'] === 'array');
  if (list !== undefined) return convert(list, at, places);
  const objects = forms.filter((form) => form['type'] === 'object');
  const [object] = objects;
  const others = forms.filter((form) => form !== object);
  // Off is said by zeros in an object, plain text by `exact`.
  const saidByObject = others.every((form) => isOff(form) || isShortOf(object, form));
  return objects.length === 1 && saidByObject ? convert(object!, at, places) : ANYTHING();
}

function isOff(form: Schema): boolean {
  return Array.isArray(form['enum']) && form['enum'].every((value) => value === 'off' || value === false);
}

/** `URL` is short for `{ url: URL }`, `VALUE` for `{ exact: VALUE }`. */
function isShortOf(object: Schema | undefined, form: Schema): boolean {
  const properties = (object?.['properties'] ?? {}) as Record<string, Schema>;
  return (
    form['type'] === 'string' &&
    form['enum'] === undefined &&
    ('url' in properties || 'exact' in properties || 'expression' in properties)
  );
}

function severalTypes(json: Schema, types: readonly string[], at: string): Schema {
  const limits = json[DURATION_LIMITS] as { min: string; max: string } | undefined;
  if (limits !== undefined) return durationOf(limits);
  const has = (...wanted: string[]): boolean =>
    types.length === wanted.length && wanted.every((one) => types.includes(one));
  if (has('string', 'integer')) {
    const isSize = typeof json['pattern'] === 'string' && json['pattern'].includes('[kKMGT]');
    const pattern = isSize ? SIZE_PATTERN : json['pattern'];
    return {
      'x-kubernetes-int-or-string': true,
      ...(typeof pattern === 'string' ? { pattern } : {}),
      ...pick(json, 'minimum'),
      ...pick(json, 'maximum'),
    };
  }
  // Headers: numbers and booleans are text in the end.
  if (has('string', 'number', 'boolean')) return { type: 'string', maxLength: 8192 };
  // A JSON Schema.
  if (has('object', 'boolean')) return { type: 'object', ...ANYTHING() };
  throw new Error(`${at}: ${types.join(' or ')} can't be written as a structural schema`);
}

/** CEL reads durations without days; what has days is longer than any lower bound and rarely above an upper one. */
function durationOf({ min, max }: { min: string; max: string }): Schema {
  const rules: CelRule[] = [];
  const readable = "self.contains('d')";
  if (min !== '0h')
    rules.push({ rule: `${readable} || duration(self) >= duration('${min}')`, message: `expected at least ${min}` });
  // A year is the longest of all.
  if (max !== '8760h')
    rules.push({ rule: `${readable} || duration(self) <= duration('${max}')`, message: `expected at most ${max}` });
  return {
    type: 'string',
    minLength: 1,
    maxLength: 32,
    pattern: DURATION_PATTERN,
    ...(rules.length === 0 ? {} : { 'x-kubernetes-validations': rules }),
  };
}

function withoutNull(json: Schema): Schema {
  if (!Array.isArray(json['anyOf'])) return json;
  return { ...json, anyOf: (json['anyOf'] as Schema[]).filter((form) => form['type'] !== 'null') };
}

function allows(json: Schema, type: string): boolean {
  return Array.isArray(json['anyOf']) && (json['anyOf'] as Schema[]).some((form) => form['type'] === type);
}

/** Not in the schema: an object says only what its author wrote, so that a later default counts for it too. */
function defaultText(json: Schema): string | undefined {
  const value = json['default'];
  if (value === undefined || value === null || json['type'] === 'object') return undefined;
  if (Array.isArray(json['anyOf']) && typeof value === 'object') return undefined;
  return `Default: ${typeof value === 'object' ? JSON.stringify(value) : String(value)}`;
}

function pick(json: Schema, key: string): Schema {
  return json[key] === undefined ? {} : { [key]: json[key] };
}
