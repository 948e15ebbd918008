/** RFC 7396: what is null is taken away, mappings are merged, everything else is replaced. Neither argument is changed. */
export function mergePatch(target: Record<string, unknown>, patch: Record<string, unknown>): Record<string, unknown> {
  const result: Record<string, unknown> = { ...target };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else if (isObject(value)) {
      const before = Object.hasOwn(result, key) ? result[key] : undefined;
      define(result, key, mergePatch(isObject(before) ? before : {}, value));
    } else define(result, key, value);
  }
  return result;
}

/** `__proto__` is a name like any other. */
function define(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
