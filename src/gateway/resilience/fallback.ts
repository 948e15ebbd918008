import type { FallbackConfig } from '../../model/config.ts';
import { problemBody } from '../answers.ts';

export interface Fallback {
  status: number;
  /** Whole lines. */
  headers: string;
  body: string;
}

/** What is answered while a breaker is open: as configured, or a problem document that says when asking again may help. */
export function fallbackAnswer(config: FallbackConfig, backend: string, openForMs: number): Fallback {
  let headers = '';
  let hasType = false;
  let hasRetry = false;
  for (const [name, value] of Object.entries(config.headers)) {
    headers += `${name}: ${value}\r\n`;
    const lower = name.toLowerCase();
    if (lower === 'content-type') hasType = true;
    if (lower === 'retry-after') hasRetry = true;
  }
  if (!hasRetry && config.status === 503) headers += `Retry-After: ${Math.max(1, Math.ceil(openForMs / 1000))}\r\n`;
  if (config.body !== null) {
    if (!hasType && config.body !== '') headers += 'Content-Type: text/plain; charset=utf-8\r\n';
    return { status: config.status, headers, body: config.body };
  }
  if (!hasType) headers += 'Content-Type: application/problem+json\r\n';
  const detail = `Too many requests to ${backend} failed; it is left alone for a while.`;
  return { status: config.status, headers, body: problemBody(config.status, 'breaker-open', detail) };
}
