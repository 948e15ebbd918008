/** Durations for people. */

/** `0.4 ms`, `412 ms`, `3.2 s`, `45 s`, `2m 10s`, `1h 5m`, `4d 3h`. */
export function durationText(ms: number): string {
  if (ms < 10) return `${Math.max(0, Math.round(ms * 10) / 10)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  return wholeSeconds(Math.round(ms / 1000));
}

/** How long something has been so, in whole units: `3s`, `2m 10s`. */
export function sinceText(ms: number): string {
  return wholeSeconds(Math.max(0, Math.floor(ms / 1000))).replace(' s', 's');
}

function wholeSeconds(seconds: number): string {
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${seconds % 60}s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours}h ${minutes % 60}m`;
  return `${Math.floor(hours / 24)}d ${hours % 24}h`;
}
