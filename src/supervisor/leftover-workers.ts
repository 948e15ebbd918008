/**
 * Workers whose supervisor was killed stop accepting, finish what they have, and end by themselves. A next start waits for them before it
 * ends the instances that they may still send to, and before it binds their ports.
 */
import type { Logger } from '../model/ports.ts';
import { isAlive, type ProcessIdentity } from './process-identity.ts';

const LOOK_EVERY_MS = 25;

/** Resolves when none of them runs; those that still do after `withinMs` are killed. Aborting stops the waiting, not the processes. */
export async function awaitLeftWorkers(
  left: readonly ProcessIdentity[],
  options: { withinMs: number; logger: Logger; signal: AbortSignal },
): Promise<void> {
  const { withinMs, logger, signal } = options;
  if (left.length === 0) return;
  const pids = left.map(({ pid }) => pid);
  logger.info('waiting for workers that a former run left behind; they finish their requests and end', {
    pids,
    withinMs,
  });
  const deadline = performance.now() + withinMs;
  let alive = left.filter((identity) => isAlive(identity));
  while (alive.length > 0 && performance.now() < deadline && !signal.aborted) {
    // Not children of ours: there is no event to wait for.
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        resolve();
      };
      const timer = setTimeout(done, LOOK_EVERY_MS);
      signal.addEventListener('abort', done, { once: true });
    });
    alive = alive.filter((identity) => isAlive(identity));
  }
  if (signal.aborted) return;
  for (const { pid } of alive) {
    logger.warn('killing a worker that a former run left behind and that did not end', { pid });
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended in between.
    }
  }
}
