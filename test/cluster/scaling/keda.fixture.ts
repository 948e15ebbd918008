/** KEDA's side of a wake. */
import assert from 'node:assert/strict';
import type { Edge } from '../gateway-api/gateway.fixture.ts';
import { until } from '../machine/index.ts';
import { scaleWrites, type ScaleWrite } from '../machine/audit.ts';

const LISTENS_MS = 180_000;

/** Writes of an app's /scale since a moment, wall clock ms. */
export function writesOf(namespace: string, name: string, sinceMs: number): ScaleWrite[] {
  return scaleWrites().filter(
    (write) => write.namespace === namespace && write.name === name && write.receivedAtMs >= sinceMs,
  );
}

export const isKedas = ({ userAgent }: ScaleWrite): boolean => userAgent.startsWith('keda');

/**
 * Resolves when KEDA wakes what is asked for. Where operators have been replaced all at once it does not for a while: it looks their addresses up anew after half a minute, and dormouse stands
 * in for it meanwhile.
 */
export async function untilKedaListens(edge: Edge): Promise<void> {
  const { scene } = edge;
  const app = await edge.sleeping({ name: 'listens', backend: { scale: { by: 'keda', idleAfter: '1s' } } });
  await app.untilCondition('AutoscalerReady', 'True', 'Keda');
  await until(
    'KEDA listens',
    async () => {
      await edge.untilAsleep(app);
      const sinceMs = Date.now();
      assert.equal((await edge.ask('listens')).status, 200);
      const [first] = writesOf(scene.namespace.name, 'listens', sinceMs);
      return first !== undefined && isKedas(first);
    },
    { timeoutMs: LISTENS_MS },
  );
  await app.delete();
}
