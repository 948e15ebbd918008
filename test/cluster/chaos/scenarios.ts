/** Everything that is tried, by name. */
import { rollout, withoutApiServer, withoutKeda, withoutOperator, withoutPrometheus } from './absent.ts';
import { cycles, edges } from './cycles.ts';
import { FAULTS, type Fault } from './faults.ts';
import { burst, many, twins } from './many.ts';
import type { Plan, Scenario } from './run.ts';
import { Stage } from './stage.ts';
import { faultAt, MOMENTS, PACE } from './steps.ts';

const CYCLES = 60;
const EDGES = 30;
/** Of programs that end at once. */
const FEWER = 9;

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'cycles',
    isAlone: false,
    run: (chaos, { tell, rounds = CYCLES }) => cycles(chaos, { drains: true, rounds }, tell),
  },
  {
    name: 'cycles-of-hasty-programs',
    isAlone: false,
    run: (chaos, { tell, rounds = FEWER }) => cycles(chaos, { drains: false, rounds }, tell),
  },
  {
    name: 'edges',
    isAlone: false,
    run: (chaos, { tell, rounds = EDGES }) => edges(chaos, { drains: true, rounds }, tell),
  },
  {
    name: 'edges-of-hasty-programs',
    isAlone: false,
    run: (chaos, { tell, rounds = FEWER }) => edges(chaos, { drains: false, rounds }, tell),
  },
  { name: 'twins', isAlone: false, run: (chaos, { tell }) => twins(chaos, tell) },
  { name: 'no-prometheus', isAlone: false, run: (chaos, { tell }) => withoutPrometheus(chaos, tell) },
  { name: 'burst', isAlone: true, run: burst },
  { name: 'thirty', isAlone: true, run: many },
  { name: 'operator-rollout', isAlone: true, run: (chaos, { tell }) => rollout('operator', chaos, tell) },
  { name: 'gateway-rollout', isAlone: true, run: (chaos, { tell }) => rollout('gateway', chaos, tell) },
  { name: 'no-operator', isAlone: true, run: (chaos, { tell }) => withoutOperator(chaos, tell) },
  { name: 'no-api-server', isAlone: true, run: (chaos, { tell }) => withoutApiServer(chaos, tell) },
  { name: 'no-keda', isAlone: true, run: (chaos, { tell }) => withoutKeda(chaos, tell) },
  ...FAULTS.map(faulty),
];

/** What a change is tried with in a few minutes. Not `gateway-killed`, which is not clean: docs/reliability.md says what is lost there. */
export const SAMPLE: readonly Plan[] = [
  { name: 'backend-deleted', moments: ['sleeping', 'waking'] },
  { name: 'service-selector-replaced', moments: ['settling', 'asleep'] },
  { name: 'cycles', rounds: 3 },
  { name: 'edges', rounds: 3 },
  { name: 'operator-killed', moments: ['settling'] },
  { name: 'gateway-deleted', moments: ['handing-back'] },
];

function faulty(fault: Fault): Scenario {
  return {
    name: fault.name.toLowerCase().replaceAll(' ', '-'),
    isAlone: fault.isShared,
    async run(chaos, { tell, moments = MOMENTS }) {
      await using stage = await Stage.open({ ...chaos, keda: fault.needsKeda === true });
      stage.clients.start(PACE);
      for (const moment of moments) tell(await faultAt(stage, moment, fault, chaos));
    },
  };
}
