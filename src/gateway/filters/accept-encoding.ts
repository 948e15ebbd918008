/** Which coding a client gets (RFC 9110 section 12.5.3). */

export type Coding = 'gzip' | 'br' | 'zstd';

/**
 * Chooses among `codings`, the most wanted first: what the client likes best, and of several it likes as much the first. null: the client takes none
 * of them, or likes the body as it is better. Without Accept-Encoding nothing is encoded: old clients and scripts would not expect it.
 */
export function compileCodingChoice(codings: readonly Coding[]): (acceptEncoding: string | undefined) => Coding | null {
  // Nearly all clients of a time send one of a few values.
  let lastAsked: string | undefined;
  let lastChoice: Coding | null = null;
  return (acceptEncoding) => {
    if (acceptEncoding === lastAsked) return lastChoice;
    lastChoice = acceptEncoding === undefined ? null : choose(codings, acceptEncoding);
    lastAsked = acceptEncoding;
    return lastChoice;
  };
}

function choose(codings: readonly Coding[], acceptEncoding: string): Coding | null {
  const weights = new Map<string, number>();
  for (const part of acceptEncoding.split(',')) {
    const [name = '', ...parameters] = part.split(';');
    const coding = name.trim().toLowerCase();
    // x-gzip is the same (section 8.4.1.3).
    if (coding !== '') weights.set(coding === 'x-gzip' ? 'gzip' : coding, weightOf(parameters));
  }
  const others = weights.get('*') ?? 0;
  // As it is: acceptable unless it is refused, and then liked less than anything that was named.
  const identity = weights.get('identity') ?? 0;
  let best: Coding | null = null;
  let bestWeight = 0;
  for (const coding of codings) {
    const weight = weights.get(coding) ?? others;
    if (weight > bestWeight && weight >= identity) {
      best = coding;
      bestWeight = weight;
    }
  }
  return best;
}

/** Section 12.4.2: 0 to 1 with at most three digits; what is no weight is taken for 0. */
function weightOf(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    const match = /^\s*q\s*=\s*(.*?)\s*$/i.exec(parameter);
    if (match === null) continue;
    return /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(match[1]!) ? Number(match[1]) : 0;
  }
  return 1;
}
