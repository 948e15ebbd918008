/**
 * Trailers without those whose names were taken away from the head: some servers merge trailers into the headers, where they would bring back what a filter has
 * removed. `trailers`: whole lines, or ''. `lowerNames`: `_` and `-` count as one character, as with headers.
 */
export function withoutTrailers(trailers: string, lowerNames: readonly string[]): string {
  if (trailers === '' || lowerNames.length === 0) return trailers;
  const names = new Set(lowerNames.map((name) => name.replaceAll('_', '-')));
  return trailers
    .split('\r\n')
    .filter(
      (line) =>
        !names.has(
          line
            .slice(0, Math.max(0, line.indexOf(':')))
            .toLowerCase()
            .replaceAll('_', '-'),
        ),
    )
    .join('\r\n');
}
