/**
 * Options by hand: what throws is an error of the configuration, at the key's place. A schema of zod, valibot or arktype can stand in the same place; a worker
 * then loads that library too.
 */
export function mapping(given: unknown, known: readonly string[]): Record<string, unknown> {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw new Error('expected a mapping');
  for (const key of Object.keys(given)) {
    if (!known.includes(key)) throw new Error(`unknown key ${key}; there are ${known.join(', ')}`);
  }
  return given as Record<string, unknown>;
}

export function whole(value: unknown, name: string, least: number, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
    throw new Error(`${name}: expected a whole number from ${least} to ${most}`);
  return value;
}

/** `host:port`. */
export function address(value: unknown, name: string): { host: string; port: number } {
  const [, host, port] = /^([^:\s]+):(\d{1,5})$/.exec(String(value)) ?? [];
  if (host === undefined) throw new Error(`${name}: expected host:port`);
  return { host, port: whole(Number(port), `${name}: port`, 0, 65_535) };
}
