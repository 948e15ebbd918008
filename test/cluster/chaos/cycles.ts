/** Requests around the moment at which a service goes to zero: at random ones, and as densely as they can be sent. */
import { setTimeout as delay } from 'node:timers/promises';
import { account } from './account.ts';
import type { Clients } from './clients.ts';
import type { Chaos, RunOptions } from './run.ts';
import { Stage } from './stage.ts';
import { PACE, wholeCycle } from './steps.ts';

/** From the last look before zero to well after it, ms. */
const AROUND_MS = 1800;
const EDGE_MS = 600;
const EVERY_MS = 5;
const KEPT = 8;
const STAGES = 2;

export interface CycleOptions {
  drains: boolean;
  rounds: number;
}

/** That many cycles through zero; those that a request took back are not counted, and go round again. */
export async function cycles(chaos: Chaos, { drains, rounds }: CycleOptions, tell: RunOptions['tell']): Promise<void> {
  let left = rounds;
  let turn = 0;
  await onStages(chaos, drains, async (stages) => {
    const name = `${rounds} cycles, requests at random moments${drains ? '' : '; programs end at once'}`;
    const cycle = async (stage: Stage): Promise<string[]> => {
      while (left-- > 0) if (!(await oneCycle(stage, turn++))) left++;
      return await wholeCycle(stage);
    };
    tell(await account(name, chaos, stages, async () => (await Promise.all(stages.map(cycle))).flat()));
  });
}

/** Whether it was at zero. */
async function oneCycle(stage: Stage, turn: number): Promise<boolean> {
  let isZero = false;
  stage.clients.resume();
  await stage.untilServing();
  const off = stage.home.onChange(() => (isZero ||= stage.replicas === 0));
  await stage.fallAsleep('settling');
  const asked: Promise<unknown>[] = [];
  const endsAtMs = Date.now() + AROUND_MS;
  await delay(Math.random() * AROUND_MS);
  for (let number = turn; number < turn + 3; number++) {
    asked.push(ask(stage.clients, number));
    await delay(Math.random() * Math.max(0, endsAtMs - Date.now()));
  }
  await Promise.all(asked);
  stage.clients.resume();
  await stage.untilServing();
  off();
  return isZero;
}

function ask(clients: Clients, turn: number): Promise<unknown> {
  if (turn % 4 === 2) return clients.grpc();
  if (turn % 4 === 3) return clients.webSocket();
  return clients.fresh(turn % 4 === 0 ? 'GET' : 'POST');
}

/** That many times: from the moment that spec.replicas becomes 0, a request every 5 ms. */
export async function edges(chaos: Chaos, { drains, rounds }: CycleOptions, tell: RunOptions['tell']): Promise<void> {
  let left = rounds;
  await onStages(chaos, drains, async (stages) => {
    const name = `${rounds} edges, a request every ${EVERY_MS} ms${drains ? '' : '; programs end at once'}`;
    const edge = async (stage: Stage): Promise<string[]> => {
      while (left-- > 0) await oneEdge(stage);
      return await wholeCycle(stage);
    };
    tell(await account(name, chaos, stages, async () => (await Promise.all(stages.map(edge))).flat()));
  });
}

async function oneEdge(stage: Stage): Promise<void> {
  const { clients } = stage;
  clients.resume();
  await stage.untilServing();
  const kept = Array.from({ length: KEPT }, () => clients.keptConnection());
  // Half of them are made now, straight to the pod.
  await Promise.all(kept.slice(KEPT / 2).map((one) => one.send('GET')));
  for (;;) {
    await stage.fallAsleep('sleeping');
    await stage.until('it is at zero, or was taken back', () => stage.replicas === 0 || stage.step !== 'sleeping');
    if (stage.replicas === 0) break;
  }
  const asked: Promise<unknown>[] = [];
  const startedAtMs = performance.now();
  for (let turn = 0; turn * EVERY_MS < EDGE_MS; turn++) {
    await delay(Math.max(0, startedAtMs + turn * EVERY_MS - performance.now()));
    const method = Math.floor(turn / 6) % 2 === 0 ? 'GET' : 'POST';
    if (turn % 6 === 2) asked.push(clients.grpc());
    else if (turn % 6 === 5) asked.push(clients.webSocket());
    else if (turn % 3 === 0) asked.push(clients.fresh(method));
    else asked.push(kept[turn % KEPT]!.send(method));
  }
  await Promise.all(asked);
  for (const one of kept) one.end();
  clients.resume();
  await stage.untilServing();
}

async function onStages(chaos: Chaos, drains: boolean, use: (stages: Stage[]) => Promise<void>): Promise<void> {
  const stages = await Promise.all(Array.from({ length: STAGES }, () => Stage.open({ ...chaos, drains })));
  try {
    for (const { clients } of stages) clients.start(PACE);
    await use(stages);
  } finally {
    await Promise.all(stages.map((stage) => stage[Symbol.asyncDispose]()));
  }
}
