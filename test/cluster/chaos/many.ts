/** More than one service at a time, and more requests at a time than usual. */
import { account } from './account.ts';
import type { Chaos, RunOptions } from './run.ts';
import { Home, Stage } from './stage.ts';
import { PACE } from './steps.ts';

const SERVICES = 30;
/** How many are made at a time. */
const AT_ONCE = 6;
const BURST = 2000;

/** Two services of one name in two namespaces: a request wakes its own one, and is answered by it (clients look at the program's name). */
export async function twins(chaos: Chaos, tell: RunOptions['tell']): Promise<void> {
  await using one = await Stage.open(chaos);
  await using other = await Stage.open(chaos);
  const both = [one, other];
  for (const { clients } of both) clients.start(PACE);
  tell(
    await account('two services of one name in two namespaces', chaos, both, async () => {
      const end: string[] = [];
      for (const [first, second] of [both, both.toReversed()] as [Stage, Stage][]) {
        await Promise.all(both.map((stage) => stage.fallAsleep()));
        for (const stage of both) end.push(...(await stage.settled('asleep')));
        first.clients.resume();
        await first.untilServing();
        end.push(...(await first.settled('awake')), ...(await second.settled('asleep')));
        second.clients.resume();
        await second.untilServing();
        for (const stage of both) end.push(...(await stage.settled('awake')));
      }
      return end;
    }),
  );
}

/** Many fall asleep, and all of them wake at the same moment. */
export async function many(chaos: Chaos, { tell, rounds = 3 }: RunOptions): Promise<void> {
  await using home = await Home.open(chaos);
  const stages: Stage[] = [];
  const names = Array.from({ length: SERVICES }, (_, index) => `web-${index + 1}`);
  const open = async (): Promise<void> => {
    for (let name = names.shift(); name !== undefined; name = names.shift())
      stages.push(await Stage.open({ ...chaos, home, name }));
  };
  await Promise.all(Array.from({ length: AT_ONCE }, open));
  for (const { clients } of stages) clients.start({ freshEveryMs: 500, grpcEveryMs: 2000, webSocketEveryMs: 500 });
  tell(
    await account(`${SERVICES} services sleep and wake at once, ${rounds} times`, chaos, stages, async () => {
      const end: string[] = [];
      for (let round = 0; round < rounds; round++) {
        await Promise.all(stages.map((stage) => stage.fallAsleep()));
        for (const stage of stages) end.push(...(await stage.settled('asleep')));
        for (const { clients } of stages) clients.resume();
        const asked = stages.flatMap(({ clients }) => [clients.fresh('GET'), clients.fresh('POST')]);
        await Promise.all(asked);
        await Promise.all(stages.map((stage) => stage.untilServing()));
        for (const stage of stages) end.push(...(await stage.settled('awake')));
      }
      return end;
    }),
  );
  await Promise.all(stages.map((stage) => stage[Symbol.asyncDispose]()));
}

/** More requests than a gateway holds unless it is told so. */
export async function burst(chaos: Chaos, { tell, rounds = 3 }: RunOptions): Promise<void> {
  await using stage = await Stage.open({ ...chaos, spec: { wake: { maxHeld: 2 * BURST } } });
  const { clients } = stage;
  tell(
    await account(`${BURST} requests at once on a sleeping service, ${rounds} times`, chaos, [stage], async () => {
      const end: string[] = [];
      for (let round = 0; round < rounds; round++) {
        await stage.fallAsleep();
        end.push(...(await stage.settled('asleep')));
        clients.resume();
        await Promise.all(Array.from({ length: BURST }, (_, turn) => clients.fresh(turn % 2 === 0 ? 'GET' : 'POST')));
        await stage.untilServing();
        end.push(...(await stage.settled('awake')));
      }
      return end;
    }),
  );
}
