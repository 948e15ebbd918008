import { z } from 'zod';
import { fileSchema } from './schema/file.ts';
import type { ConfigRegistry } from './schema/file.ts';
import type { FilterEntryMeta } from './schema/route.ts';

/** JSON Schema (draft 2020-12) of dormouse.yaml for editors: keys, kinds and defaults; rules between keys are checked by `dormouse check`. */
export function jsonSchema(registry: ConfigRegistry): Record<string, unknown> {
  const schema = z.toJSONSchema(fileSchema(registry).whole, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema: json }) => {
      const filters = ((zodSchema as unknown as z.ZodType).meta() as FilterEntryMeta | undefined)?.filterSchemas;
      if (filters === undefined) return;
      delete json['filterSchemas'];
      json.oneOf = Object.entries(filters).map(([name, options]) => {
        const { $schema: _draft, ...content } = z.toJSONSchema(options, { io: 'input', unrepresentable: 'any' });
        return { type: 'object', properties: { [name]: content }, required: [name], additionalProperties: false };
      }) as typeof json.oneOf;
    },
  });
  return { ...schema, title: 'dormouse.yaml' };
}
