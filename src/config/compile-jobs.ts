import type { JobsConfig } from '../model/config.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import type { BackendEntry } from './schema/backend.ts';

/** `scale.jobs`, and what has no place beside it: a run works on messages, ends by itself, and nobody asks it for anything. */
export function compileJobs(entry: BackendEntry, at: Path, problems: Problem[]): JobsConfig | null {
  const { scale, process, kubernetes, servers, triggers } = entry;
  if (scale.jobs === undefined) return null;
  const refuse = (path: Path, message: string, hint: string): void =>
    void problems.push(problem([...at, ...path], message, hint));
  const path = ['scale', 'jobs'];
  if (servers !== undefined) refuse(path, 'has no effect on servers: that somebody else runs', 'remove it');
  if (triggers.length === 0 && servers === undefined)
    refuse(path, 'needs a trigger, which says how many messages wait', 'add triggers');
  if (scale.min > 0) refuse(['scale', 'min'], `is ${scale.min}, but a run ends by itself (scale.jobs)`, 'remove it');
  if (scale.by !== 'dormouse')
    refuse(['scale', 'by'], `is ${scale.by}, but runs are started by dormouse (scale.jobs)`, 'remove it');
  // A source that can't be asked starts no run.
  for (const key of ['formula', 'fallback'] as const)
    if (scale[key] !== undefined) refuse(['scale', key], 'has no meaning for runs (scale.jobs)', 'remove it');
  if (process !== undefined && process.port !== 'none')
    refuse(['process', 'port'], 'has no meaning for a run (scale.jobs)', 'write port: none');
  if (process?.sleep === 'freeze') refuse(['process', 'sleep'], 'a run is never frozen (scale.jobs)', 'remove it');
  if (kubernetes !== undefined && (kubernetes.target.apiVersion !== 'batch/v1' || kubernetes.target.kind !== 'CronJob'))
    refuse(
      ['kubernetes', 'target'],
      'has to be a CronJob with scale.jobs',
      'name a suspended one, whose jobTemplate each run is made from: { apiVersion: batch/v1, kind: CronJob, name: … }',
    );
  if (kubernetes?.service !== undefined)
    refuse(['kubernetes', 'service'], 'has no meaning for a run (scale.jobs)', 'remove it');
  return { batch: scale.jobs.batch, history: scale.jobs.history };
}
