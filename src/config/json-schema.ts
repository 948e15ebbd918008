import { z } from 'zod';
import { fileSchema } from './schema/file.ts';
import type { ConfigRegistry } from './schema/file.ts';
import { DURATION_LIMITS } from './schema/scalars.ts';
import type { PartEntryMeta } from './schema/named-parts.ts';

/** JSON Schema (draft 2020-12) of dormouse.yaml for editors: keys, kinds and defaults; rules between keys are checked by `dormouse check`. */
export function jsonSchema(registry: ConfigRegistry): Record<string, unknown> {
  const schema = z.toJSONSchema(fileSchema(registry).whole, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema: json }) => {
      delete json[DURATION_LIMITS];
      const meta = (zodSchema as unknown as z.ZodType).meta() as PartEntryMeta | undefined;
      if (meta?.partSchemas === undefined) return;
      const { partSchemas, beside = {} } = meta;
      delete json['partSchemas'];
      delete json['beside'];
      const besideJson = Object.fromEntries(Object.entries(beside).map(([name, schema]) => [name, embedded(schema)]));
      const known = Object.entries(partSchemas).map(([name, options]) => ({
        type: 'object',
        properties: { ...besideJson, [name]: embedded(options) },
        required: [name],
        additionalProperties: false,
      }));
      // What plugins bring is not known here.
      const brought = {
        type: 'object',
        properties: besideJson,
        ...(known.length === 0 ? {} : { propertyNames: { not: { enum: Object.keys(partSchemas) } } }),
        minProperties: 1,
      };
      json.oneOf = [...known, brought] as typeof json.oneOf;
    },
  });
  return { ...schema, title: 'dormouse.yaml' };
}

function embedded(schema: z.ZodType): Record<string, unknown> {
  const { $schema: _draft, ...content } = z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ jsonSchema: json }) => void delete json[DURATION_LIMITS],
  });
  return content;
}
