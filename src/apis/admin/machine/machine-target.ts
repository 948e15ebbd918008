/**
 * The admin API on one machine. Backends made over it lie in the state folder and are checked and applied together with the file, as a change of the file is: what is wrong
 * changes nothing, and what is in force is what is kept. One change at a time.
 */
import { isDeepStrictEqual } from 'node:util';
import type { WakeCause } from '../../../model/backend.ts';
import { DormouseError } from '../../../model/errors.ts';
import { nearestName } from '../../../model/nearest-name.ts';
import type { Clock, Logger } from '../../../model/ports.ts';
import type { BackendEvent, BackendStatus } from '../../../model/status.ts';
import { AdminError, sentenceOf, type FieldError } from '../admin-error.ts';
import { requireCommands } from '../admin-api.ts';
import type {
  AdminEvent,
  AdminTarget,
  BackendAddress,
  BackendView,
  Caller,
  Created,
  Removal,
} from '../admin-target.ts';
import { idempotencyOf, type Idempotency } from '../idempotency.ts';
import { pointerOf } from './config-issues.ts';
import { readState, writeState, type AdminState, type StoredBackend } from './state-file.ts';

/** More would make every change slow. */
const MOST_BACKENDS = 5000;

/** What is in the file, as far as it concerns what was added. */
interface Issue {
  key: string;
  message: string;
  hint: string;
}

export interface MachineTargetOptions {
  stateDir: string;
  clock: Clock;
  logger: Logger;
  controller: {
    backends(): BackendStatus[];
    wake(name: string, cause: WakeCause, signal: AbortSignal): Promise<void>;
    sleep(name: string, signal: AbortSignal): Promise<void>;
    pin(name: string, untilMs: number | null): void;
    onEvent(listener: (event: BackendEvent) => void): () => void;
  };
  /** Reads the file anew, adds what `entries` says then, and puts that in force; rejects with the reason, and nothing has changed. */
  reload(): Promise<unknown>;
  causeText(cause: WakeCause): string;
  onTraffic(listener: (event: { type: string; backend: string }) => void): () => void;
}

export class MachineTarget implements AdminTarget {
  readonly on = 'machine';
  readonly #options: MachineTargetOptions;
  /** In force and written. */
  #state: AdminState;
  /** What is to be in force next, while it is tried. */
  #candidate: AdminState | null = null;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(options: MachineTargetOptions, state: AdminState) {
    this.#options = options;
    this.#state = state;
  }

  /** Throws DORMOUSE_ADMIN_STATE. */
  static async open(options: MachineTargetOptions): Promise<MachineTarget> {
    return new MachineTarget(options, await readState(options.stateDir));
  }

  /** Backends to add to the file, as they were given, by name. */
  entries(): Record<string, Record<string, unknown>> {
    const { backends } = this.#candidate ?? this.#state;
    return Object.fromEntries(Object.entries(backends).map(([name, { spec }]) => [name, spec]));
  }

  /** A change is being tried: what is wrong is told to who asked for it. */
  get isTrying(): boolean {
    return this.#candidate !== null;
  }

  /** Once the first configuration is in force: what is kept awake. */
  restorePins(): void {
    const now = this.#options.clock.wallMs();
    for (const [name, untilMs] of Object.entries(this.#state.pins)) if (untilMs > now) this.#tellPin(name, untilMs);
  }

  // ---- reading

  async list(): Promise<BackendView[]> {
    const views = this.#options.controller.backends().map((status) => this.#view(status));
    return views.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  async get({ name, namespace }: BackendAddress): Promise<BackendView> {
    noNamespace(namespace);
    return this.#view(this.#known(name));
  }

  #known(name: string): BackendStatus {
    const all = this.#options.controller.backends();
    const found = all.find((status) => status.name === name);
    if (found !== undefined) return found;
    const near = nearestName(
      name,
      all.map((status) => status.name),
    );
    const next = near === null ? 'dormouse backend list shows all' : `did you mean ${near}?`;
    throw new AdminError(404, 'DORMOUSE_BACKEND_UNKNOWN', `there is no backend ${name}; ${next}`);
  }

  #view(status: BackendStatus): BackendView {
    const stored = own(this.#state.backends, status.name);
    const { demand, lastWoken, awakeUntilMs } = status;
    return {
      name: status.name,
      origin: stored === undefined ? 'file' : 'api',
      createdAt: stored === undefined ? null : timeText(stored.createdAtMs),
      spec: stored?.spec ?? null,
      status: {
        state: status.phase,
        since: timeText(status.sinceMs),
        why: status.why,
        awakeBecause: status.awakeBecause,
        awakeUntil: awakeUntilMs === undefined ? null : timeText(awakeUntilMs),
        instances: status.instances.filter(({ state }) => state === 'ready').length,
        desired: status.desired,
        demand: {
          concurrency: demand.concurrency,
          requestsPerSecond: demand.requestsPerSecond,
          inFlight: demand.inFlight,
          held: demand.held,
        },
        lastWoken:
          lastWoken === null ? null : { at: timeText(lastWoken.atMs), by: this.#options.causeText(lastWoken.by) },
        problems: status.crash === null ? [] : [status.crash.reason],
      },
    };
  }

  // ---- changing

  create(body: Record<string, unknown>, key: string | null, caller: Caller): Promise<Created> {
    return this.#inTurn(async () => {
      const { name, ...spec } = body;
      if (typeof name !== 'string') throw fieldError('/name', 'is missing, or is no text', 'add "name": "shop"');
      // Beyond that it is checked with everything else.
      if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name))
        throw fieldError('/name', 'is no DNS label', 'use a-z, 0-9 and - inside, at most 63 characters');
      const idempotency = key === null ? null : idempotencyOf(key, body);
      if (idempotency !== null) {
        const made = this.#madeWith(idempotency, name);
        if (made !== null) return { view: made, isRepeated: true };
      }
      if (spec['process'] !== undefined) requireCommands(caller);
      const known = this.#options.controller.backends().some((status) => status.name === name);
      if (known || own(this.#state.backends, name) !== undefined) {
        throw new AdminError(
          409,
          'DORMOUSE_BACKEND_EXISTS',
          `there is a backend ${name} already; choose another name, or change it with PATCH /v1/backends/${name}`,
        );
      }
      if (Object.keys(this.#state.backends).length >= MOST_BACKENDS) {
        throw new AdminError(409, 'DORMOUSE_ADMIN_FULL', `the API keeps ${MOST_BACKENDS} backends; delete one first`);
      }
      const stored: StoredBackend = { createdAtMs: this.#options.clock.wallMs(), spec, idempotency };
      await this.#apply({ ...this.#state, backends: { ...this.#state.backends, [name]: stored } }, name);
      return { view: this.#view(this.#known(name)), isRepeated: false };
    });
  }

  /** What was made with this key; null: nothing was. Throws for the same key with another body. */
  #madeWith(idempotency: Idempotency, name: string): BackendView | null {
    const made = Object.entries(this.#state.backends).find(([, one]) => one.idempotency?.key === idempotency.key);
    if (made === undefined) return null;
    if (made[0] !== name || made[1].idempotency?.body !== idempotency.body) {
      throw new AdminError(
        422,
        'DORMOUSE_ADMIN_IDEMPOTENCY_KEY',
        `this Idempotency-Key made ${made[0]} of another body; send a new key with a new request`,
      );
    }
    return this.#view(this.#known(name));
  }

  update(
    { name, namespace }: BackendAddress,
    change: (spec: Record<string, unknown>) => Record<string, unknown>,
    caller: Caller,
  ): Promise<BackendView> {
    noNamespace(namespace);
    return this.#inTurn(async () => {
      const stored = this.#changeable(name);
      const spec = change(stored.spec);
      if (isDeepStrictEqual(spec, stored.spec)) return this.#view(this.#known(name));
      if (!isDeepStrictEqual(spec['process'], stored.spec['process']) && spec['process'] !== undefined)
        requireCommands(caller);
      const backends = { ...this.#state.backends, [name]: { ...stored, spec } };
      await this.#apply({ ...this.#state, backends }, name);
      return this.#view(this.#known(name));
    });
  }

  remove({ name, namespace }: BackendAddress): Promise<Removal> {
    noNamespace(namespace);
    return this.#inTurn(async () => {
      const { spec } = this.#changeable(name);
      const { [name]: _backend, ...backends } = this.#state.backends;
      const { [name]: _pin, ...pins } = this.#state.pins;
      await this.#apply({ backends, pins }, name);
      const routed = spec['hosts'] !== undefined || spec['path'] !== undefined;
      return { name, removed: [`backend ${name}`, ...(routed ? [`route api.${name}`] : [])], left: [] };
    });
  }

  #changeable(name: string): StoredBackend {
    const stored = own(this.#state.backends, name);
    if (stored !== undefined) return stored;
    this.#known(name);
    throw new AdminError(
      409,
      'DORMOUSE_BACKEND_READ_ONLY',
      `${name} stands in the configuration file and is changed there; the API changes what was made over it`,
    );
  }

  /** Checked and put in force with the file, then written; when it can't be written, what was before is put in force again. */
  async #apply(next: AdminState, name: string): Promise<void> {
    this.#candidate = next;
    try {
      await this.#options.reload().catch((error: unknown) => {
        throw refusal(error, name);
      });
      await writeState(this.#options.stateDir, next);
      this.#state = next;
    } catch (error) {
      const wasApplied = error instanceof DormouseError && error.code === 'DORMOUSE_ADMIN_STATE';
      this.#candidate = null;
      if (wasApplied) await this.#options.reload().catch(() => {});
      throw error;
    } finally {
      this.#candidate = null;
    }
  }

  // ---- awake and asleep

  async wake({ name, namespace }: BackendAddress, waitMs: number, signal: AbortSignal): Promise<boolean> {
    noNamespace(namespace);
    const { controller, clock } = this.#options;
    this.#known(name);
    const patience = AbortSignal.any([signal, AbortSignal.timeout(Math.max(1, waitMs))]);
    try {
      await controller.wake(name, { kind: 'command', atMs: clock.wallMs() }, patience);
      return true;
    } catch (error) {
      if (patience.aborted && error instanceof DormouseError && error.code === 'DORMOUSE_ABORTED') return false;
      throw error;
    }
  }

  async sleep({ name, namespace }: BackendAddress, signal: AbortSignal): Promise<boolean> {
    noNamespace(namespace);
    this.#known(name);
    await this.#options.controller.sleep(name, signal);
    return true;
  }

  pin({ name, namespace }: BackendAddress, untilMs: number | null): Promise<void> {
    noNamespace(namespace);
    return this.#inTurn(async () => {
      const { driver } = this.#known(name);
      if (driver === 'static' && untilMs !== null) {
        throw new AdminError(
          409,
          'DORMOUSE_ADMIN_PIN',
          `${name} has servers that somebody else runs: it never sleeps, so there is nothing to keep awake`,
        );
      }
      const { [name]: before, ...others } = this.#state.pins;
      if (before !== untilMs && (before !== undefined || untilMs !== null)) {
        // Those that have ended are of no use any more.
        const now = this.#options.clock.wallMs();
        const kept = Object.fromEntries(Object.entries(others).filter(([, other]) => other > now));
        const next = { ...this.#state, pins: untilMs === null ? kept : { ...kept, [name]: untilMs } };
        await writeState(this.#options.stateDir, next);
        this.#state = next;
      }
      this.#tellPin(name, untilMs);
    });
  }

  #tellPin(name: string, untilMs: number | null): void {
    try {
      this.#options.controller.pin(name, untilMs);
    } catch (error) {
      this.#options.logger.info('a pin of a backend that is not there is kept for when it is', {
        backend: name,
        error,
      });
    }
  }

  onEvent(listener: (event: AdminEvent) => void): () => void {
    return this.#options.controller.onEvent((event) => listener({ ...event }));
  }

  onTraffic(listener: (event: { type: string; backend: string }) => void): () => void {
    return this.#options.onTraffic(listener);
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(run);
    this.#turn = result.catch(() => {});
    return result;
  }
}

/** What the check of the whole said, with pointers into the body where it is about this backend. */
function refusal(error: unknown, name: string): unknown {
  const issues = (error as { issues?: readonly Issue[] }).issues;
  if (!(error instanceof DormouseError)) return error;
  if (error.code !== 'DORMOUSE_CONFIG_INVALID' || issues === undefined) return error;
  const errors: FieldError[] = issues.flatMap(({ key, message, hint }) => {
    const field = pointerOf(key, name);
    return field === null ? [] : [{ field, detail: message, next: hint === '' ? 'correct it' : hint }];
  });
  if (errors.length > 0 && errors.length === issues.length) {
    return new AdminError(422, 'DORMOUSE_ADMIN_FIELD', sentenceOf(errors), { errors, cause: error });
  }
  return new AdminError(
    409,
    'DORMOUSE_ADMIN_CONFLICT',
    `it does not fit to the rest of the configuration, so nothing was changed: ${error.message}`,
    { errors, cause: error },
  );
}

function noNamespace(namespace: string): void {
  if (namespace !== '')
    throw new AdminError(400, 'DORMOUSE_ADMIN_QUERY', "the query's namespace has no meaning on one machine; remove it");
}

function fieldError(field: string, detail: string, next: string): AdminError {
  const errors = [{ field, detail, next }];
  return new AdminError(422, 'DORMOUSE_ADMIN_FIELD', sentenceOf(errors), { errors });
}

function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function timeText(ms: number): string {
  return new Date(ms).toISOString();
}
