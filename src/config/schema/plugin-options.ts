/** Options of what plugins bring, checked by the plugin's own schema in the words of this program. */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { OptionsSchema, SchemaIssue } from '../../model/options-schema.ts';
import { isMapping } from '../plain-data.ts';

/** `schema` undefined: it takes no options. */
export function pluginOptions(schema: OptionsSchema | undefined): z.ZodType {
  return z.unknown().transform((given, context): unknown => {
    const refuse = (message: string, path: PropertyKey[] = []): never => {
      context.issues.push({ code: 'custom', message, path, input: given });
      return z.NEVER;
    };
    // Nothing written under the name: it has all defaults.
    const value = given ?? {};
    if (schema === undefined) {
      return isMapping(value) && Object.keys(value).length === 0 ? {} : refuse('takes no options');
    }
    let output: unknown;
    try {
      // A Standard Schema may be a function too.
      if (!('~standard' in schema)) output = schema(value);
      else {
        const result = schema['~standard'].validate(value);
        if (result instanceof Promise) {
          result.catch(() => {});
          return refuse("the plugin's schema answers by a promise; it has to answer at once");
        }
        if (result.issues !== undefined) {
          for (const issue of result.issues) refuse(issue.message, pathOf(issue));
          return z.NEVER;
        }
        output = result.value;
      }
    } catch (error) {
      return refuse(error instanceof Error ? error.message : String(error));
    }
    // They travel to workers.
    const plain = plainCopy(output);
    return plain === undefined ? refuse("what the plugin's schema made of it is not plain data") : plain;
  });
}

function pathOf(issue: SchemaIssue): PropertyKey[] {
  return (issue.path ?? []).map((step) => (typeof step === 'object' ? step.key : step));
}

/** Undefined when something of it would be lost on the way. */
function plainCopy(value: unknown): unknown {
  try {
    const text = JSON.stringify(value);
    if (text === undefined) return undefined;
    const copy: unknown = JSON.parse(text);
    return isDeepStrictEqual(copy, withoutUndefined(value)) ? copy : undefined;
  } catch {
    return undefined;
  }
}

/** A key that a schema gave the value undefined is as good as absent. */
function withoutUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (typeof value !== 'object' || value === null || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, entry]) => entry !== undefined)
      .map(([key, entry]) => [key, withoutUndefined(entry)]),
  );
}
