/** `dormouse schema`: for editors that check and complete YAML by a JSON Schema. */
import { jsonSchema } from '../config/index.ts';
import type { CommandContext } from './command.ts';
import { defaultRegistry } from './registry.ts';

export async function run(context: CommandContext): Promise<number> {
  context.out(`${JSON.stringify(jsonSchema(defaultRegistry()), null, 2)}\n`);
  return 0;
}
