/** Everything that is tried, by name. */
import { FAULTS, type Fault } from './faults.ts';
import type { Chaos, Scenario } from './run.ts';
import { Stage } from './stage.ts';
import { faultAt, MOMENTS, PACE } from './steps.ts';

/** `rounds`: how often the long ones go round; undefined: as often as the full table has it. */
export function scenarios(): Scenario[] {
  return FAULTS.map(faulty);
}

function faulty(fault: Fault): Scenario {
  return {
    name: fault.name.toLowerCase().replaceAll(' ', '-'),
    isAlone: fault.isShared,
    async run(chaos, { tell, moments = MOMENTS }) {
      const { cluster, client, witness } = chaos;
      await using stage = await Stage.open({ cluster, client, witness, keda: fault.needsKeda === true });
      stage.clients.start(PACE);
      for (const moment of moments) tell(await faultAt(stage, moment, fault, chaos));
    },
  };
}

export type { Chaos };
