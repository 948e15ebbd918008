/** Which keys a place of the file has, read out of the schema: for "did you mean" and for the test that holds docs/configuration.md to it. */
import { z } from 'zod';
import type { Path } from './config-error.ts';
import { nearestName } from '../model/nearest-name.ts';
import type { PartEntryMeta } from './schema/named-parts.ts';

/** The hint for an unknown key: the nearest one here, or the place where this very key belongs. */
export function hintForUnknownKey(whole: z.ZodType, path: Path, key: string): string | undefined {
  const here = keysAt(whole, path);
  const slip = nearestName(key, here, 1);
  const belongs = slip === null ? placesOf(whole, path, key) : undefined;
  if (belongs !== undefined) return belongs;
  const near = slip ?? nearestName(key, here);
  if (near !== null) return `did you mean ${JSON.stringify(near)}?`;
  // activationThreshold, where it is called activationListLength.
  const alike = here.filter((one) => firstWord(one) === firstWord(key));
  if (alike.length === 1 && firstWord(key).length >= 6) return `here it is ${JSON.stringify(alike[0])}`;
  return here.length > 0 && here.length <= 16 ? `there are ${here.join(', ')}` : undefined;
}

function firstWord(key: string): string {
  return /^[a-z]+(?=[A-Z])/.exec(key)?.[0] ?? '';
}

/** Every key of the file as a dotted pattern, `backends.*.scale.max`, `routes[].rules[].retry`; sections and leaves. */
export function allKeys(whole: z.ZodType): string[] {
  const keys: string[] = [];
  const visit = (schema: z.ZodType, at: string): void => {
    for (const [step, child] of childrenOf(schema)) {
      const next = step === '[]' ? `${at}[]` : at === '' ? step : `${at}.${step}`;
      if (step !== '[]' && step !== '*' && !keys.includes(next)) keys.push(next);
      visit(child, next);
    }
  };
  visit(whole, '');
  return keys;
}

/** The keys that this place has, none where any name may stand. */
export function keysAt(whole: z.ZodType, path: Path): string[] {
  const keys = schemasAt(whole, path).flatMap((schema) => childrenOf(schema).map(([step]) => step));
  return [...new Set(keys)].filter((step) => step !== '[]' && step !== '*');
}

function schemasAt(whole: z.ZodType, path: Path): z.ZodType[] {
  let schemas: z.ZodType[] = [whole];
  for (const part of path) {
    schemas = schemas.flatMap((schema) =>
      childrenOf(schema)
        .filter(([step]) => step === (typeof part === 'number' ? '[]' : part) || step === '*')
        .map(([, child]) => child),
    );
  }
  return schemas;
}

function isPartEntry(whole: z.ZodType, path: Path): boolean {
  return schemasAt(whole, path).some((schema) => {
    // What is transformed afterwards is a pipe; what went in has the names.
    const entry = schema instanceof z.ZodPipe ? (schema.in as z.ZodType) : schema;
    return (entry.meta() as PartEntryMeta | undefined)?.partSchemas !== undefined;
  });
}

/** `"max" belongs under scale` when the key is known below this place, or above it. */
function placesOf(whole: z.ZodType, path: Path, key: string): string | undefined {
  const pattern = path.map((part) => (typeof part === 'number' ? '[]' : part));
  const all: string[][] = [];
  const visit = (schema: z.ZodType, at: string[]): void => {
    for (const [step, child] of childrenOf(schema)) {
      if (step === key) all.push(at);
      visit(child, [...at, step]);
    }
  };
  visit(whole, []);
  const fits = (place: string[], length: number): boolean =>
    pattern.slice(0, length).every((part, index) => place[index] === part || place[index] === '*');
  const below = all.filter((place) => place.length > path.length && fits(place, path.length));
  const shortest = below.sort((a, b) => a.length - b.length)[0];
  if (shortest !== undefined) {
    return `${JSON.stringify(key)} belongs under ${spell(shortest.slice(path.length))}`;
  }
  // In another branch of the same entry: scale.timeout is wake.timeout's.
  for (let up = path.length - 1; up >= 0; up--) {
    // What another filter or trigger has under this name says nothing about this one.
    if (isPartEntry(whole, path.slice(0, up))) continue;
    const elsewhere = all.find(
      (place) => place.length >= up && fits(place, up) && !(place.length === path.length && fits(place, path.length)),
    );
    if (elsewhere === undefined) continue;
    const rest = elsewhere.slice(up);
    return rest.length === 0
      ? `${JSON.stringify(key)} belongs ${up === 0 ? 'at the top level' : `${path.length - up} level${path.length - up === 1 ? '' : 's'} further out`}`
      : rest[0] === '*' || rest[0] === '[]'
        ? undefined
        : `${JSON.stringify(key)} belongs under ${spell(rest)}`;
  }
  return undefined;
}

function spell(steps: readonly string[]): string {
  return steps.join('.').replaceAll('.[]', '[]').replaceAll('*', 'NAME');
}

/** One step down: a key's name, `*` for any name, `[]` for a list's items. */
function childrenOf(schema: z.ZodType): [string, z.ZodType][] {
  const parts = schema.meta() as PartEntryMeta | undefined;
  if (parts?.partSchemas !== undefined) return Object.entries({ ...parts.beside, ...parts.partSchemas });
  if (schema instanceof z.ZodObject) return Object.entries(schema.shape) as [string, z.ZodType][];
  if (schema instanceof z.ZodRecord) return [['*', schema.valueType as z.ZodType]];
  if (schema instanceof z.ZodArray) return [['[]', schema.element as z.ZodType]];
  if (schema instanceof z.ZodUnion) return schema.options.flatMap((option) => childrenOf(option as z.ZodType));
  if (schema instanceof z.ZodPipe) return childrenOf(schema.in as z.ZodType);
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodReadonly
  ) {
    return childrenOf(schema.unwrap() as z.ZodType);
  }
  return [];
}
