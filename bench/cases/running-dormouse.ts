/** A Dormouse of a case's own, with the control socket to steer it by. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ControlClient } from '../../src/apis/control/index.ts';
import type { BackendStatus } from '../../src/model/status.ts';
import type { BenchContext } from '../case.ts';
import { startDormouse } from '../peers/dormouse.ts';
import { freePort, type Program } from '../processes.ts';

export interface RunningDormouse {
  port: number;
  program: Program;
  control: ControlClient;
  configuration: Record<string, unknown>;
  file: string;
  backend(name: string): Promise<BackendStatus>;
  /** Polls the control socket until the backend is as wanted; rejects after `timeoutMs`. */
  until(name: string, wanted: (backend: BackendStatus) => boolean, timeoutMs?: number): Promise<BackendStatus>;
}

export async function withDormouse<T>(
  context: BenchContext,
  configuration: Record<string, unknown>,
  work: (dormouse: RunningDormouse) => Promise<T>,
  options: { openFiles?: number; name?: string; timeoutMs?: number } = {},
): Promise<T> {
  const dir = join(context.dir, options.name ?? 'dormouse');
  mkdirSync(dir, { recursive: true });
  const port = await freePort();
  const stateDir = join(dir, 'state');
  const whole = {
    workers: 1,
    stateDir,
    listeners: [{ name: 'web', address: `127.0.0.1:${port}` }],
    observe: { address: `127.0.0.1:${await freePort()}` },
    telemetry: { accessLog: { format: 'json', file: join(dir, 'access.log') } },
    ...configuration,
  };
  const program = await startDormouse(dir, whole, { port, core: context.proxyCore, ...options });
  const control = new ControlClient({ stateDir });
  const backend = async (name: string): Promise<BackendStatus> => {
    const found = (await control.status()).backends.find((one) => one.name === name);
    if (!found) throw new Error(`dormouse knows no backend ${name}`);
    return found;
  };
  try {
    return await work({
      port,
      program,
      control,
      configuration: whole,
      file: join(dir, 'dormouse.yaml'),
      backend,
      async until(name, wanted, timeoutMs = 30_000) {
        const deadline = performance.now() + timeoutMs;
        for (;;) {
          const status = await backend(name);
          if (wanted(status)) return status;
          if (performance.now() > deadline) throw new Error(`${name} is still ${status.phase}: ${status.why}`);
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      },
    });
  } finally {
    await program.stop();
  }
}
