import type { CelRule } from './structural.ts';

/** The rule that of these keys one is there and no other. `say`: what the message calls them. */
export function exactlyOne(keys: readonly string[], say = listed(keys)): CelRule {
  const [first, second] = keys;
  const rule =
    keys.length === 2
      ? `has(self.${first}) != has(self.${second})`
      : `[${keys.map((key) => `has(self.${key})`).join(', ')}].exists_one(given, given)`;
  return { rule, message: `needs exactly one of ${say}` };
}

function listed(keys: readonly string[]): string {
  return `${keys.slice(0, -1).join(', ')} and ${keys.at(-1)!}`;
}
