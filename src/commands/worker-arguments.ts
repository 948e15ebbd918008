/** How the supervisor tells a worker what it must know before it hears of a configuration: on its command line. */
import type { Config } from '../model/config.ts';

export interface WorkerArguments {
  /** The gateway's name on the link. */
  id: string;
  level: Config['telemetry']['log']['level'];
  format: 'json' | 'pretty';
}

export function writeWorkerArguments({ id, level, format }: WorkerArguments): string[] {
  return [id, level, format];
}

export function readWorkerArguments(argv: readonly string[]): WorkerArguments {
  const [id = `worker-${process.pid}`, level = 'info', format = 'json'] = argv;
  return { id, level: level as WorkerArguments['level'], format: format === 'pretty' ? 'pretty' : 'json' };
}
