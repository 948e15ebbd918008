/** The status again and again: at once when something happens, and once a second. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ControlClient } from '../apis/control/control-client.ts';
import { DormouseError } from '../model/errors.ts';
import type { Status } from '../model/status.ts';

const EVERY_MS = 1000;
/** A storm of events gives at most ten statuses a second. */
const SHORTEST_MS = 100;

/** Goes on while dormouse is away (it may be restarting), after it was there once; ends when the signal is aborted. */
export async function* followStatus(
  client: ControlClient,
  signal: AbortSignal,
): AsyncGenerator<{ status: Status } | { problem: string }> {
  let seenOnce = false;
  let nudge: () => void = () => {};
  const ended = new AbortController();
  const stop = AbortSignal.any([signal, ended.signal]);
  const watching = watchEvents(client, stop, () => nudge());
  try {
    while (!signal.aborted) {
      const happened = new Promise<void>((resolve) => (nudge = resolve));
      try {
        yield { status: await client.status({ signal }) };
        seenOnce = true;
      } catch (error) {
        if (signal.aborted) return;
        if (!seenOnce || !(error instanceof DormouseError)) throw error;
        yield { problem: `${error.message}; waiting for it` };
      }
      await pause(SHORTEST_MS, stop);
      await Promise.race([happened, pause(EVERY_MS - SHORTEST_MS, stop)]);
    }
  } finally {
    ended.abort();
    await watching;
  }
}

async function watchEvents(client: ControlClient, signal: AbortSignal, happened: () => void): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const _ of client.events({ signal })) happened();
    } catch {
      // Not there just now: the status says so.
    }
    await pause(EVERY_MS, signal);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => {});
}
