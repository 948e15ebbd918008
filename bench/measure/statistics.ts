/** The nearest-rank percentile: the smallest value that at least `percent` of all values don't exceed. NaN of an empty list. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? NaN;
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle] ?? NaN;
  return ((sorted[middle - 1] ?? NaN) + (sorted[middle] ?? NaN)) / 2;
}

/** `12.3 (11.9-13.0)`: the median with the least and the greatest. */
export function medianAndRange(values: readonly number[], digits: number): string {
  const least = Math.min(...values).toFixed(digits);
  const greatest = Math.max(...values).toFixed(digits);
  return `${median(values).toFixed(digits)} (${least}-${greatest})`;
}
