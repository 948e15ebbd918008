import { DormouseError } from '../../model/errors.ts';
import type { BackendEvent, Status } from '../../model/status.ts';
import type { ControlLogLine, ControlTarget } from './control-target.ts';

export const STATUS: Status = {
  version: '0.1.0',
  pid: 1,
  startedAtMs: 1,
  config: { version: 1, file: '/x/dormouse.yaml', appliedAtMs: 1, lastError: null },
  listeners: [],
  workers: [],
  backends: [],
};

/** Two backends; `shop` must not sleep. What it tells is set by the test. */
export class FakeTarget implements ControlTarget {
  readonly eventListeners = new Set<(event: BackendEvent) => void>();
  readonly logListeners = new Set<(line: ControlLogLine) => void>();
  readonly calls: string[] = [];
  shown: Status = STATUS;
  past: ControlLogLine[] = [];
  onReload: () => Promise<void> = async () => {};
  onWake: (signal: AbortSignal) => Promise<void> = async () => {};

  backendNames(): string[] {
    return ['shop', 'über uns'];
  }
  status(): Status {
    return this.shown;
  }
  wake(name: string, signal: AbortSignal): Promise<void> {
    this.calls.push(`wake ${name}`);
    return this.onWake(signal);
  }
  async sleep(name: string): Promise<void> {
    this.calls.push(`sleep ${name}`);
    if (name === 'shop')
      throw new DormouseError('DORMOUSE_BACKEND_STAYS_AWAKE', `${name} has scale.min 1; it can't sleep`, {
        userFault: true,
      });
  }
  logs(_name: string, limit: number): ControlLogLine[] {
    return this.past.slice(-limit);
  }
  onLog(_name: string, listener: (line: ControlLogLine) => void): () => void {
    this.logListeners.add(listener);
    return () => this.logListeners.delete(listener);
  }
  onEvent(listener: (event: BackendEvent) => void): () => void {
    this.eventListeners.add(listener);
    return () => this.eventListeners.delete(listener);
  }
  async reload(): Promise<{ version: number }> {
    await this.onReload();
    return { version: 2 };
  }

  traceToken(): string {
    return 'token-of-this-run';
  }
}
