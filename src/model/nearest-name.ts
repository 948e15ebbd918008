/** The name that someone most likely meant. */

/**
 * The closest of `names` by edit distance, or null when none is near: at most a third of the longer word may differ (at least one letter), and no more than
 * `most`.
 */
export function nearestName(wanted: string, names: Iterable<string>, most = Infinity): string | null {
  // Longer input is no slip of the finger, and the comparison costs length * length.
  if (wanted.length > 100) return null;
  const given = wanted.toLowerCase();
  let best: string | null = null;
  let bestDistance = Infinity;
  for (const name of names) {
    const known = name.toLowerCase();
    const allowed = Math.min(most, Math.max(1, Math.floor(Math.max(known.length, given.length) / 3)));
    if (Math.abs(known.length - given.length) > allowed) continue;
    const distance = editDistance(given, known);
    if (distance > allowed || distance >= bestDistance) continue;
    best = name;
    bestDistance = distance;
  }
  return best;
}

/** Optimal string alignment: Levenshtein's distance in which two letters swapped count once. Three rows. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + change);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        distance = Math.min(distance, beforePrevious[j - 2]! + 1);
      row.push(distance);
    }
    beforePrevious = previous;
    previous = row;
  }
  return previous[b.length]!;
}
