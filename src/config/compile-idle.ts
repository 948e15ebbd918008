import type { BackendConfig, IdleConfig } from '../model/config.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import type { BackendEntry } from './schema/backend.ts';

export function compileIdle(idle: BackendEntry['idle'], at: Path, problems: Problem[]): IdleConfig {
  const { webSockets, prometheus, schedule, settle } = idle;
  if (schedule !== undefined && schedule.allow.length === 0 && schedule.awake.length === 0) {
    const hint = 'add allow: ["* 20-6 * * *"] for the minutes in which it may sleep';
    problems.push(problem([...at, 'schedule'], 'has neither allow nor awake', hint));
  }
  return {
    webSockets,
    prometheus:
      prometheus === undefined
        ? null
        : {
            serverAddress: prometheus.serverAddress,
            query: prometheus.query,
            threshold: prometheus.threshold,
            uptimeQuery: prometheus.uptimeQuery ?? null,
            scrapeIntervalMs: prometheus.scrapeInterval,
          },
    schedule: schedule ?? null,
    settleMs: settle,
  };
}

/** Allowed, but probably not meant. */
export function idleWithoutEffect(
  { idle, wake }: BackendEntry,
  driver: BackendConfig['source']['driver'],
  at: Path,
): Problem[] {
  const given: readonly [asked: boolean, drivers: readonly string[], ...path: string[]][] = [
    [idle.prometheus !== undefined, ['process', 'kubernetes'], 'idle', 'prometheus'],
    [idle.schedule !== undefined, ['process', 'kubernetes'], 'idle', 'schedule'],
    [idle.settle !== 2000, ['kubernetes'], 'idle', 'settle'],
    [wake.before !== undefined, ['process', 'kubernetes'], 'wake', 'before'],
    [wake.failFastAfter !== 10_000, ['kubernetes'], 'wake', 'failFastAfter'],
  ];
  const what = driver === 'static' ? 'servers: that somebody else runs' : 'a process';
  return given
    .filter(([asked, drivers]) => asked && !drivers.includes(driver))
    .map(([, , ...path]) => problem([...at, ...path], `has no effect on ${what}`, 'remove it'));
}
