/** A result of what several stages' clients sent while something was done, and of what is left of it. */
import type { Chaos } from './run.ts';
import { judge, type Result } from './result.ts';
import type { Stage } from './stage.ts';

/** `scene` gives what is not as it should be in the end. A scene that throws is told so; clients go on to the end of what they had begun. */
export async function account(
  name: string,
  chaos: Chaos,
  stages: readonly Stage[],
  scene: () => Promise<string[]>,
): Promise<Result> {
  const startedAtMs = Date.now();
  const from = stages.map(({ clients }) => clients.ledger.lines.length);
  const end: string[] = [];
  try {
    end.push(...(await scene()));
  } catch (error) {
    end.push(error instanceof Error ? error.message : String(error));
  }
  for (const { clients } of stages) clients.pause();
  await Promise.all(stages.map(({ clients }) => clients.ledger.settled()));
  stages.forEach(({ clients, drains, redirectsMs }, index) => {
    // A program that ends at once takes with it what it was answering; what came after the redirect was told to nobody but gateways.
    if (drains) return;
    for (const line of clients.ledger.lines.slice(from[index])) {
      const { atMs, tookMs, lost } = line;
      if (!/ECONNRESET|hang up|stream reset|closed with/.test(lost ?? '')) continue;
      line.pinned ||= redirectsMs.some((at) => atMs < at && atMs + tookMs >= at);
    }
  });
  const lines = stages.flatMap(({ clients }, index) => clients.ledger.lines.slice(from[index]));
  return judge(name, lines, chaos.witness, { end, startedAtMs, drains: stages.every((stage) => stage.drains) });
}
