/**
 * The candidate that was most likely meant, or null when none is near. Distance is Damerau-Levenshtein (optimal string alignment); at most a
 * third of the longer word may differ, at least one letter, and no more than `most`.
 */
export function nearest(word: string, candidates: Iterable<string>, most = Infinity): string | null {
  if (word.length > 64) return null;
  const given = word.toLowerCase();
  let best: string | null = null;
  let bestDistance = Infinity;
  for (const candidate of candidates) {
    const known = candidate.toLowerCase();
    const allowed = Math.min(most, Math.max(1, Math.floor(Math.max(known.length, given.length) / 3)));
    if (Math.abs(known.length - given.length) > allowed) continue;
    const distance = editDistance(given, known);
    if (distance <= allowed && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      let cost = Math.min(previous[j]! + 1, current[j - 1]! + 1, substitution);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1);
      current.push(cost);
    }
    before = previous;
    previous = current;
  }
  return previous[b.length]!;
}

/** `did you mean "max"?`, or undefined when nothing is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  const candidate = nearest(word, candidates);
  return candidate === null ? undefined : `did you mean ${JSON.stringify(candidate)}?`;
}
