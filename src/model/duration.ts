const DURATION =
  /^(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?$/;

/** Milliseconds of `300ms`, `30s`, `1h30m`, `2d` or `0`; null: it is no duration. */
export function readDurationText(text: string): number | null {
  const match = text === '' || text.length > 64 ? null : DURATION.exec(text);
  if (match === null) return text === '0' ? 0 : null;
  const part = (index: number): number => (match[index] === undefined ? 0 : Number(match[index]));
  return Math.round(part(1) * 86_400_000 + part(2) * 3_600_000 + part(3) * 60_000 + part(4) * 1000 + part(5));
}
