/** What the control socket serves, over the parts of a running `dormouse up`. */
import type { ControlTarget, ReloadResult } from '../apis/control/control-target.ts';
import { withGateways } from '../controller/index.ts';
import type { Controller } from '../controller/index.ts';
import type { Clock } from '../model/ports.ts';
import type { Status } from '../model/status.ts';
import type { Supervisor } from '../supervisor/supervisor.ts';

export interface UpTargetParts {
  controller: Controller;
  supervisor: Supervisor;
  clock: Clock;
  version: string;
  startedAtMs: number;
  config(): Status['config'];
  reload(): Promise<ReloadResult>;
  traceToken: string;
}

/** Gateways that don't answer within this are shown without their figures, ms. */
const STATUS_WITHIN_MS = 1000;

export function upTarget(parts: UpTargetParts): ControlTarget {
  const { controller, supervisor } = parts;
  return {
    backendNames: () => controller.backends().map((backend) => backend.name),
    status: () => status(parts),
    wake: (name, signal) => controller.wake(name, { kind: 'command', atMs: parts.clock.wallMs() }, signal),
    sleep: (name, signal) => controller.sleep(name, signal),
    logs: (name, limit) => controller.logs(name, limit),
    onLog: (name, listener) => controller.onLog(name, listener),
    onEvent: (listener) => controller.onEvent(listener),
    reload: parts.reload,
    traceToken: () => parts.traceToken,
  };

  async function status({ version, startedAtMs, config }: UpTargetParts): Promise<Status> {
    const { gateways } = await controller.collect(AbortSignal.timeout(STATUS_WITHIN_MS));
    const workers = supervisor.workers().map((worker) => {
      const seen = gateways.get(worker.id);
      return seen === undefined ? worker : { ...worker, connections: seen.connections, rssBytes: seen.rssBytes };
    });
    return {
      version,
      pid: process.pid,
      startedAtMs,
      config: config(),
      listeners: supervisor.addresses(),
      workers,
      backends: withGateways(controller.backends(), [...gateways.values()]),
    };
  }
}
