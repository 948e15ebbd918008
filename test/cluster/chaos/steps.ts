/** Each fault at each step of the handover, both ways, with clients at work the whole time; they are still only for the steps that a request would take back. */
import { setTimeout as delay } from 'node:timers/promises';
import { HANDOVER_STEPS, type HandoverStep } from '../../../src/model/handover-step.ts';
import type { Witness } from '../fixtures/witness.ts';
import type { Cluster } from '../machine/index.ts';
import type { Fault } from './faults.ts';
import { judge, type Result } from './result.ts';
import type { Stage } from './stage.ts';

/** `waking` is the state between the first request and the first pod that answers; the step is `asleep` still. `serving`: right after the Service was handed back. */
export type Moment = HandoverStep | 'waking';

const [SERVING, ...CYCLE] = HANDOVER_STEPS;
const WOKEN_AT = CYCLE.indexOf('handing-back');

export const MOMENTS: readonly Moment[] = [...CYCLE.slice(0, WOKEN_AT), 'waking', ...CYCLE.slice(WOKEN_AT), SERVING];

export const PACE = { freshEveryMs: 60, kept: { clients: 2, everyMs: 100 }, grpcEveryMs: 250, webSocketEveryMs: 150 };
const STILL_MS = 300;
const AFTER_MS = 1500;

export async function faultAt(
  stage: Stage,
  moment: Moment,
  fault: Fault,
  { cluster, witness }: { cluster: Cluster; witness: Witness },
): Promise<Result> {
  const startedAtMs = Date.now();
  const { clients } = stage;
  const from = clients.ledger.lines.length;
  const end: string[] = [];
  let killedAtMs: number | undefined;
  try {
    clients.resume();
    await stage.untilServing();
    const strike = await fault.arm(stage, cluster);
    end.push(...(await reach(stage, moment)));
    const struck = strike();
    clients.resume();
    killedAtMs = (await struck)?.killedAtMs;
    if (fault.deletes === true) await stage.until('the Backend is gone', () => stage.backend === undefined);
    else await stage.untilServing();
    await delay(AFTER_MS);
    end.push(...(await stage.settled('awake')));
    await fault.after?.(stage, cluster);
    // What hits everything is tried alone: there the next moment's way is that cycle.
    if (!fault.isShared || moment === MOMENTS.at(-1)) end.push(...(await wholeCycle(stage)));
  } catch (error) {
    end.push(error instanceof Error ? error.message : String(error));
    clients.resume();
  }
  clients.pause();
  await clients.ledger.settled();
  const lines = clients.ledger.lines.slice(from);
  return judge(`${moment}: ${fault.name}`, lines, witness, { end, startedAtMs, killedAtMs });
}

/** Resolves at that moment. Gives what was not as it should be on the way. */
async function reach(stage: Stage, moment: Moment): Promise<string[]> {
  const { clients } = stage;
  if (moment !== 'waking' && !['handing-back', 'resuming', 'serving'].includes(moment)) {
    await stage.fallAsleep(moment);
    return [];
  }
  await stage.fallAsleep('asleep');
  const found = await stage.settled('asleep');
  await delay(STILL_MS);
  clients.resume();
  if (moment === 'waking') await stage.until('it wakes', () => stage.state === 'waking' || stage.step !== 'asleep');
  else if (moment === 'serving') await stage.untilServing();
  else await stage.until(`step ${moment}`, () => AFTER_ASLEEP.indexOf(stage.step) >= AFTER_ASLEEP.indexOf(moment));
  return found;
}

const AFTER_ASLEEP: readonly HandoverStep[] = ['handing-back', 'resuming', 'serving'];

/** Sleeps and wakes once more: what a fault leaves behind shows then. Gives what is not as it should be in either state. */
export async function wholeCycle(stage: Stage): Promise<string[]> {
  await stage.fallAsleep();
  const asleep = await stage.settled('asleep');
  stage.clients.resume();
  await stage.untilServing();
  return [...asleep, ...(await stage.settled('awake'))];
}
