/** What the control socket serves: implemented where the parts are assembled (commands/up.ts), faked in tests. */
import type { BackendEvent, Status } from '../../model/status.ts';

export interface ControlTarget {
  /** Names of all backends, in the order of the file: the server answers unknown names itself (404, with the nearest name). */
  backendNames(): readonly string[];
  status(): Status | Promise<Status>;
  /** Resolves when the backend is awake; rejects with a DormouseError. Aborting the signal gives up waiting, not the wake. */
  wake(name: string, signal: AbortSignal): Promise<void>;
  /** Resolves when it is asleep; rejects with a DormouseError (it has to stay awake, or is not ours to stop). */
  sleep(name: string, signal: AbortSignal): Promise<void>;
  /** The last `limit` lines that its instances wrote, oldest first. */
  logs(name: string, limit: number): readonly ControlLogLine[];
  /** Calls the listener for each new line; the result ends that. */
  onLog(name: string, listener: (line: ControlLogLine) => void): () => void;
  /** Calls the listener for each event; the result ends that. */
  onEvent(listener: (event: BackendEvent) => void): () => void;
  /** Resolves when the new configuration is in force; rejects with a DormouseError that says where it is wrong (nothing has changed then). */
  reload(): Promise<ReloadResult>;
  /** Who sends it in `x-dormouse-trace` is told the times of his request. */
  traceToken(): string;
}

/** As LogLine of the driver interface. */
export interface ControlLogLine {
  /** Wall clock ms. */
  atMs: number;
  instance: string;
  stream: 'stdout' | 'stderr';
  text: string;
}

export interface ReloadResult {
  /** Version of the configuration that is in force now. */
  version: number;
}

export interface WakeResult {
  name: string;
  /** False when the caller did not wait, or waited in vain: the wake goes on. */
  awake: boolean;
  /** Time from the request to awake, ms. */
  tookMs: number;
}

/** A DormouseError on the wire (RFC 9457, application/problem+json). */
export interface Problem {
  code: string;
  title: string;
  detail: string;
  status: number;
  userFault: boolean;
}
