import type { BreakerConfig, EjectionConfig, HealthConfig } from '../model/config.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import type { NamedFiles } from './named-files.ts';
import type { BackendEntry } from './schema/backend.ts';

export function compileHealth(health: BackendEntry['health']): HealthConfig | null {
  if (health === undefined) return null;
  return {
    path: health.http ?? null,
    intervalMs: health.interval,
    timeoutMs: health.timeout,
    status: health.status,
    rise: health.rise,
    fall: health.fall,
  };
}

export function compileEjection(ejection: BackendEntry['ejection']): EjectionConfig | null {
  if (ejection === null) return null;
  return {
    consecutiveErrors: ejection.consecutiveErrors,
    failurePercent: ejection.failurePercent,
    minimumRequests: ejection.minimumRequests,
    windowMs: ejection.window,
    baseMs: ejection.base,
    maxEjectedPercent: ejection.maxEjectedPercent,
  };
}

export function compileBreaker(
  breaker: BackendEntry['breaker'],
  at: Path,
  files: NamedFiles,
  problems: Problem[],
): BreakerConfig | null {
  if (breaker === undefined) return null;
  const { status, headers, body, file } = breaker.fallback;
  const path = [...at, 'fallback'];
  if (body !== undefined && file !== undefined) {
    problems.push(problem(path, 'has both body and file', 'keep one of them'));
  }
  return {
    failurePercent: breaker.failurePercent,
    windowMs: breaker.window,
    minimumRequests: breaker.minimumRequests,
    openForMs: breaker.openFor,
    trials: breaker.trials,
    fallback: { status, headers, body: file === undefined ? (body ?? null) : files.text(file, [...path, 'file']) },
  };
}
