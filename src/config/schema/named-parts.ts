/** Lists whose entries name one of several parts of the program: `- name: { options }`, some with keys of their own beside it. */
import { z } from 'zod';
import { shown } from '../config-error.ts';
import { didYouMean } from '../nearest.ts';
import { isMapping } from '../plain-data.ts';

/** Schemas of the parts' options by the parts' names; each checks what stands under that name. */
export type PartSchemas = Readonly<Record<string, z.ZodType>>;

/** The schema whose children are the registry's: known-keys.ts and json-schema.ts look for it in the meta data. */
export interface PartEntryMeta {
  partSchemas?: PartSchemas;
  /** Keys that an entry may have beside the part's name. */
  beside?: Readonly<Record<string, z.ZodType>>;
}

export interface PartEntry {
  type: string;
  options: unknown;
}

/** `{ requestHeaders: { … } }`: a mapping of exactly one part's name, and of `beside`'s keys. `noun`: what a part is called. */
export function partEntry<Beside extends Record<string, z.ZodType>>(
  noun: string,
  parts: PartSchemas,
  beside: Beside,
): z.ZodType<PartEntry & { [key in keyof Beside]: z.output<Beside[key]> }> {
  const known = Object.keys(parts);
  return z
    .unknown()
    .meta({ partSchemas: parts, beside } satisfies PartEntryMeta)
    .transform((value, context) => {
      const refuse = (message: string, hint: string | undefined, path: string[] = []): never => {
        context.issues.push({ code: 'custom', message, path, input: value, params: { hint } });
        return z.NEVER;
      };
      if (typeof value === 'string') {
        const hint = known.includes(value) ? `write ${value}: { … }` : didYouMean(value, known);
        return refuse(`expected a mapping of one ${noun}, got ${shown(value)}`, hint);
      }
      if (!isMapping(value))
        return refuse(`expected a mapping of one ${noun}, got ${shown(value)}`, 'write - name: { … }');
      const names = Object.keys(value).filter((name) => !Object.hasOwn(beside, name));
      if (names.length !== 1) {
        return refuse(`expected one ${noun}, got ${names.length}`, `give each ${noun} a list item of its own`);
      }
      const type = names[0]!;
      const schema = Object.hasOwn(parts, type) ? parts[type] : undefined;
      if (schema === undefined) {
        const all = known.length > 0 ? `there are ${known.join(', ')}` : `none is built in: plugins bring them`;
        return refuse(`unknown ${noun}`, didYouMean(type, known) ?? all, [type]);
      }
      const result: Record<string, unknown> = { type };
      const parse = (key: string, part: z.ZodType, given: unknown): void => {
        const parsed = part.safeParse(given);
        if (parsed.success) {
          result[key === type ? 'options' : key] = parsed.data;
          return;
        }
        for (const issue of parsed.error.issues) {
          context.issues.push({
            ...issue,
            path: [key, ...issue.path],
            input: issue.input,
          } as (typeof context.issues)[number]);
        }
      };
      parse(type, schema, value[type]);
      for (const [key, part] of Object.entries(beside)) parse(key, part, value[key] ?? undefined);
      return result as unknown as PartEntry & { [key in keyof Beside]: z.output<Beside[key]> };
    });
}
