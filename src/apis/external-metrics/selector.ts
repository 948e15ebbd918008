/** Which Backend an HPA means: the label `dormouse.dev/backend` in the selector of its metric. */

export const BACKEND_LABEL = 'dormouse.dev/backend';

/** The names that it may have; empty: the selector does not say, and that would be all of them. `selector`: as in the query, `a=b,c in (d,e)`. */
export function backendsOf(selector: string): string[] {
  const equal = new RegExp(`(?:^|,)\\s*${BACKEND_LABEL}\\s*==?\\s*([A-Za-z0-9._-]{1,63})\\s*(?=,|$)`).exec(selector);
  if (equal !== null) return [equal[1]!];
  const among = new RegExp(`(?:^|,)\\s*${BACKEND_LABEL}\\s+in\\s+\\(([^)]{1,2000})\\)`).exec(selector);
  if (among === null) return [];
  return among[1]!
    .split(',')
    .map((name) => name.trim())
    .filter((name) => /^[A-Za-z0-9._-]{1,63}$/.test(name));
}
