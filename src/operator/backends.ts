/**
 * All Backend objects of the cluster: what each asks for, what stands against it, its handover and its status. One step at a time per object (a work queue); the configuration
 * that comes out of all of them is applied as a whole, a moment after the last change.
 */
import { isDeepStrictEqual } from 'node:util';
import { isReason } from '../kubernetes/api-error.ts';
import type { Informer, KubernetesClient } from '../kubernetes/client.ts';
import { CRON_JOBS } from '../kubernetes/resources.ts';
import type { BackendConfig, KubernetesConfig, ListenerConfig, RouteConfig } from '../model/config.ts';
import type { IdleVerdict } from '../model/demand.ts';
import { DormouseError } from '../model/errors.ts';
import type { Clock, Logger, RandomSource } from '../model/ports.ts';
import type { BackendStatus } from '../model/status.ts';
import type { WakeCause } from '../model/backend.ts';
import { Autoscaler, type AutoscalerCheck, type AutoscalerDeps } from './autoscaler.ts';
import {
  BACKENDS,
  FINALIZER,
  keyOf,
  type BackendObject,
  type BackendObjectStatus,
  type Condition,
  type HandoverStatus,
  type PortAllocation,
} from './backend-object.ts';
import { Claims } from './claims.ts';
import { conditionsOf, withReady, type Finding } from './conditions.ts';
import type { GatewayPods } from './gateway-pods.ts';
import { conflict, findingsOf, invalid, refused, valid } from './findings.ts';
import { Handover, type HandoverHost } from './handover.ts';
import { inPlaceParts, portName, type InPlaceDefaults } from './in-place-config.ts';
import type { Service } from './kinds.ts';
import { Leftovers } from './leftovers.ts';
import type { NetworkPolicies } from './network-policies.ts';
import type { PortAllocator } from './port-allocator.ts';
import { Redirect, SELECTOR_KEY, type SliceIndex } from './redirect.ts';
import { Orders } from './orders.ts';
import { planService, routablePorts, type ServicePlan } from './service-plan.ts';
import { isSamePlan, type ScalerPlan } from './scalers/plan.ts';
import type { Scalers } from './scalers/scalers.ts';
import { stateOf } from './status-of.ts';

/** How long a deleted object's Service may take to be as it was; afterwards it is tried again. */
const RESTORE_BOUND_MS = 660_000;
/** A target that can't be used is looked for again after this, ms. */
const LOOK_AGAIN_MS = 5000;
const LOOK_BOUND_MS = 10_000;

export type Compiled = { ok: true; backend: BackendConfig } | { ok: false; problems: string[] };

/** What the parts of the configuration that come from Backend objects are. */
export interface BackendParts {
  backends: BackendConfig[];
  listeners: ListenerConfig[];
  routes: RouteConfig[];
}

/** Idle sources of one backend. */
export interface IdleWatch {
  /** The last word. */
  readonly verdict: IdleVerdict;
  /** Asked anew, of samples taken at or after this moment (wall clock ms). */
  askAgain(sinceMs: number, signal: AbortSignal): Promise<IdleVerdict>;
  stop(): void;
}

export interface BackendsDeps {
  client: KubernetesClient;
  clock: Clock;
  random: RandomSource;
  logger: Logger;
  objects: Informer<BackendObject>;
  services: Informer<Service>;
  slices: SliceIndex;
  gateways: GatewayPods;
  autoscalers: AutoscalerDeps;
  scalers: Pick<Scalers, 'plan' | 'act' | 'remove' | 'metricsKey'>;
  policies: Pick<NetworkPolicies, 'concern'>;
  allocator: PortAllocator;
  defaults: InPlaceDefaults;
  compile(object: BackendObject): Compiled;
  /** Begins to watch; `changed` is called with each new word. */
  watchIdle(backend: BackendConfig, changed: () => void): IdleWatch;
  controller: {
    backend(name: string): BackendStatus | null;
    idleVerdict(name: string, verdict: IdleVerdict | null): void;
    keptByTriggers(name: string): string[];
    setDirect(name: string, direct: boolean): void;
    wake(name: string, cause: WakeCause, signal: AbortSignal): Promise<void>;
    sleep(name: string, signal: AbortSignal): Promise<void>;
    pin(name: string, untilMs: number | null): void;
  };
  /** Applies what `parts()` says now; resolves when gateways have it in force. Called as often as anything changes. */
  apply(): void;
  /** Whether every gateway has a configuration in force that is not older than what `parts()` said when `mark()` was called. */
  mark(): number;
  isInForce(mark: number): boolean;
  seeRedirect(service: Service, backend: string, seen: Set<string>, signal: AbortSignal): Promise<boolean>;
  replicas(kubernetes: KubernetesConfig, signal: AbortSignal): Promise<number | null>;
  /** Whether a route leads to it: then it sleeps behind the gateways, and its Service is left alone. */
  isRouted(key: string): boolean;
  causeText(cause: WakeCause): string;
  event(object: BackendObject, type: 'Normal' | 'Warning', reason: string, note: string): void;
  /** Looks at the object again. */
  enqueue(key: string): void;
}

interface Entry {
  readonly key: string;
  object: BackendObject;
  generation: number | undefined;
  compiled: Compiled;
  plan: ServicePlan | null;
  allocated: PortAllocation[] | null;
  mark: number;
  /** The mark that a refused configuration had, and why it was refused; null: what is asked for is in force, or not looked at yet. */
  refused: { mark: number; reason: string } | null;
  parts: BackendParts | null;
  idle: IdleWatch | null;
  /** What `idle` was made for. */
  idleOf: unknown;
  /** Who scales it, and what is to be done about that; null: not looked at yet. */
  scaler: ScalerPlan | null;
  /** What it is scaled by, as it was looked at last. */
  metrics: string;
  /** Why that could not be done; null: it could. */
  scalerFailure: string | null;
  /** What the handover says against sleeping; null: nothing. */
  kept: string | null;
  handover: Handover | null;
  /** Why a step of it can't be taken; null: it can. */
  failure: string | null;
  /** The target that was looked for, and why it can't be used; null: it can. */
  looked: { target: string; problem: string | null } | null;
  lookAgain: NodeJS.Timeout | undefined;
  /** What `handover` was made for. */
  handoverOf: unknown;
  end: AbortController | null;
  running: Promise<void>;
  /** It is being deleted, and what was changed for it is put back. */
  isRestoring: boolean;
  restoreFailure: Error | null;
  /** As it was written last, without what moves all the time. */
  written: unknown;
  conditions: Condition[];
  /** Since when it is in this state, as a former leader has written: true until it is seen in another one. */
  inherited: Pick<BackendObjectStatus, 'state' | 'since'> | null;
  /** The controller has been told of it: before that its status would be half of one. */
  isTold: boolean;
}

export class Backends {
  readonly #deps: BackendsDeps;
  readonly #entries = new Map<string, Entry>();
  readonly #targets = new Claims();
  readonly #services = new Claims();
  readonly #leftovers = new Leftovers();
  readonly #orders: Orders;
  /** Those whose generation is told once gateways go by it. */
  readonly #awaiting = new Set<string>();
  /** Gateways that slices list, as they were last. */
  #gateways = '';
  #leads = false;

  constructor(deps: BackendsDeps) {
    this.#deps = deps;
    this.#orders = new Orders(deps);
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Only the leader writes. */
  lead(signal: AbortSignal): void {
    this.#leads = true;
    const { allocator, objects } = this.#deps;
    allocator.reserve(
      Array.from(objects.list(), (object) => ({
        owner: keyOf(object),
        known: object.status?.handover?.ports ?? [],
        isRedirected: handoverIsOpen(object),
      })),
    );
    signal.addEventListener('abort', () => (this.#leads = false), { once: true });
    for (const key of this.#entries.keys()) this.#deps.enqueue(key);
  }

  /** Backends by the Service that they guard, for changes of it. */
  ofService(service: string): Iterable<string> {
    return this.#services.of(service);
  }

  ofNamespace(namespace: string): string[] {
    const prefix = `${namespace}/`;
    return [...this.#entries.keys()].filter((key) => key.startsWith(prefix));
  }

  /** Everything that all objects ask for together, in the order of their names. */
  parts(): BackendParts {
    const all: BackendParts = { backends: [], listeners: [], routes: [] };
    const keys = new Set([...this.#entries.keys(), ...this.#leftovers.keys()]);
    for (const key of [...keys].sort()) {
      const parts = this.#entries.get(key)?.parts ?? this.#leftovers.get(key);
      if (parts === null) continue;
      all.backends.push(...parts.backends);
      all.listeners.push(...parts.listeners);
      all.routes.push(...parts.routes);
    }
    return all;
  }

  /** Number of replicas that it had before it was put to sleep, at least 1. */
  replicasBefore(key: string): number {
    return Math.max(1, this.#entries.get(key)?.handover?.status.replicasBefore ?? 1);
  }

  /** The controller has something to say of it. */
  changed(key: string): void {
    this.#entries.get(key)?.handover?.notify();
    this.#deps.enqueue(key);
  }

  /** Something that its handover may wait for. */
  notify(key: string): void {
    this.#entries.get(key)?.handover?.notify();
  }

  /** What `apply` announced has been given to the controller, or was refused. */
  applied(refusal: string | null): void {
    for (const entry of this.#entries.values()) {
      const isRefused = refusal !== null && entry.parts !== null && !this.#deps.isInForce(entry.mark);
      const next = isRefused ? { mark: entry.mark, reason: refusal } : null;
      if (isDeepStrictEqual(next, entry.refused)) continue;
      entry.refused = next;
      this.#deps.enqueue(entry.key);
    }
    this.gatewaysChanged();
    for (const entry of this.#entries.values()) {
      // Who scales it is changed once the controller goes by it.
      if (entry.scaler?.changing != null) this.#deps.enqueue(entry.key);
      if (entry.isTold || entry.parts === null) continue;
      entry.isTold = true;
      this.#deps.enqueue(entry.key);
    }
  }

  /** Gateways came or went, or have a configuration in force: a handover may have waited for that, and who stands in for a Service may have to be listed anew. */
  gatewaysChanged(): void {
    const { mark } = this.#deps.gateways;
    const isListedAnew = mark !== this.#gateways;
    this.#gateways = mark;
    for (const { handover } of this.#entries.values())
      if (isListedAnew || handover?.step !== 'asleep') handover?.notify();
    for (const key of this.#awaiting) this.#deps.enqueue(key);
    this.#awaiting.clear();
  }

  /** One object as it is now; called by the work queue, never twice at once for the same. Rejects when the API server did not answer: it is called again then. */
  async reconcile(key: string, signal: AbortSignal): Promise<void> {
    const [namespace = '', name = ''] = key.split('/');
    const object = this.#deps.objects.get(namespace, name);
    const entry = this.#entries.get(key);
    if (object === undefined) {
      if (entry !== undefined) await this.#forget(entry);
      // What was reserved for it, if nothing of it was ever looked at.
      else if (this.#leftovers.get(key) === null) this.#deps.allocator.release(key);
      return;
    }
    if (entry !== undefined && entry.object.metadata.uid !== object.metadata.uid) await this.#forget(entry);
    if (object.metadata.deletionTimestamp !== undefined) {
      await this.#remove(object, signal);
      return;
    }
    if (!(object.metadata.finalizers ?? []).includes(FINALIZER)) {
      if (this.#leads) await this.#setFinalizer(object, true, signal);
      // Looked at again with the next event: nothing is changed before it can be restored.
      return;
    }
    const known = this.#entries.get(key) ?? this.#add(key, object);
    known.object = object;
    this.#look(known);
    if (!this.#leads) return;
    if (this.#deps.controller.backend(key) !== null) this.#orders.obey(key, object);
    await this.#lookForTarget(known, signal);
    const failure = await this.#changeScaler(known, signal);
    await this.#writeStatus(known, signal);
    if (failure !== null) throw failure;
  }

  /** Gives what is to be thrown, once it has been told. */
  async #changeScaler(entry: Entry, signal: AbortSignal): Promise<Error | null> {
    const { scaler } = entry;
    if (scaler === null) return null;
    try {
      await this.#deps.scalers.act(scaler, signal);
      entry.scalerFailure = null;
      return null;
    } catch (error) {
      signal.throwIfAborted();
      entry.scalerFailure = error instanceof Error ? error.message : String(error);
      return error instanceof Error ? error : new Error(entry.scalerFailure);
    }
  }

  /** Names and targets of metrics may be other ones now: scalers that were made go by them. */
  metricsChanged(): void {
    for (const entry of this.#entries.values()) {
      const by = entry.compiled.ok ? entry.compiled.backend.scale.by : 'none';
      if (by !== 'keda' && by !== 'hpa') continue;
      const metrics = this.#deps.scalers.metricsKey(entry.key);
      if (metrics === entry.metrics) continue;
      entry.metrics = metrics;
      this.#deps.enqueue(entry.key);
    }
  }

  /** Once for each target, and again as long as it can't be used. What pods run of is there. */
  async #lookForTarget(entry: Entry, signal: AbortSignal): Promise<void> {
    const { compiled, key } = entry;
    const kubernetes =
      compiled.ok && compiled.backend.source.driver === 'kubernetes' ? compiled.backend.source.kubernetes : null;
    clearTimeout(entry.lookAgain);
    if (kubernetes === null || this.#rival(entry) !== null) {
      entry.looked = null;
      return;
    }
    const target = targetKey(kubernetes);
    const hasPods = (this.#deps.controller.backend(key)?.instances.length ?? 0) > 0;
    if (!hasPods && entry.looked?.target === target && entry.looked.problem === null) return;
    const isJobs = compiled.ok && compiled.backend.scale.jobs !== null;
    const problem = hasPods ? null : await this.#targetProblem(kubernetes, isJobs, signal);
    const before = entry.looked?.problem ?? null;
    entry.looked = { target, problem };
    if (before !== problem) entry.handover?.notify();
    if (problem !== null) entry.lookAgain = setTimeout(() => this.#deps.enqueue(key), LOOK_AGAIN_MS).unref();
  }

  async #targetProblem(kubernetes: KubernetesConfig, isJobs: boolean, signal: AbortSignal): Promise<string | null> {
    const { namespace, target } = kubernetes;
    const { kind, name } = target;
    const bound = AbortSignal.any([signal, AbortSignal.timeout(LOOK_BOUND_MS)]);
    try {
      if (isJobs) {
        const there = await this.#deps.client.get(CRON_JOBS, { namespace, name }, { signal: bound });
        return there === null ? `CronJob ${name} is not there; create it, or correct kubernetes.target` : null;
      }
      if ((await this.#deps.replicas(kubernetes, bound)) !== null) return null;
      return `${kind} ${name} is not there, or has no /scale; create it, or correct kubernetes.target`;
    } catch (error) {
      signal.throwIfAborted();
      const isSaid = isReason(error, 'Forbidden') || (error instanceof DormouseError && error.userFault);
      // An API server that does not answer says nothing of it.
      return isSaid ? (error as Error).message : null;
    }
  }

  #add(key: string, object: BackendObject): Entry {
    const entry: Entry = {
      key,
      object,
      generation: undefined,
      compiled: { ok: false, problems: [] },
      plan: null,
      allocated: null,
      mark: 0,
      refused: null,
      parts: null,
      idle: null,
      idleOf: null,
      scaler: null,
      metrics: '',
      scalerFailure: null,
      kept: null,
      handover: null,
      failure: null,
      looked: null,
      lookAgain: undefined,
      handoverOf: null,
      end: null,
      running: Promise.resolve(),
      isRestoring: false,
      restoreFailure: null,
      written: object.status === undefined ? null : steadyPart(object.status),
      conditions: object.status?.conditions ?? [],
      inherited: object.status === undefined ? null : { state: object.status.state, since: object.status.since },
      isTold: false,
    };
    this.#entries.set(key, entry);
    return entry;
  }

  // ---- what it asks for

  #look(entry: Entry): void {
    const { object, key } = entry;
    const { generation, namespace = '', creationTimestamp = '' } = object.metadata;
    if (entry.generation !== generation || generation === undefined) {
      entry.compiled = this.#deps.compile(object);
      entry.generation = generation;
    }
    const { compiled } = entry;
    const source = compiled.ok ? compiled.backend.source : null;
    const kubernetes = source?.driver === 'kubernetes' ? source.kubernetes : null;
    const since = `${creationTimestamp} ${key}`;
    const others = new Set([
      ...this.#targets.claim(key, since, kubernetes === null ? null : targetKey(kubernetes)),
      ...this.#services.claim(key, since, kubernetes?.service == null ? null : `${namespace}/${kubernetes.service}`),
    ]);
    // Who comes first, or was in the way, may be another one now.
    for (const other of others) this.#deps.enqueue(other);

    const isInPlace = kubernetes?.service != null && !this.#deps.isRouted(key);
    entry.plan = isInPlace
      ? planService(kubernetes.service!, this.#deps.services.get(namespace, kubernetes.service!))
      : null;
    this.#allocate(entry);
    this.#planScaler(entry);
    this.#setParts(entry, source !== null && this.#rival(entry) === null);
    this.#watchIdle(entry);
    this.#setHandover(entry, kubernetes, isInPlace);
    this.#tellVerdict(entry);
  }

  #planScaler(entry: Entry): void {
    const { compiled, object, scaler } = entry;
    if (!compiled.ok || this.#rival(entry) !== null) {
      entry.scaler = null;
      return;
    }
    const next = this.#deps.scalers.plan(object, compiled.backend);
    if (!isSamePlan(scaler, next)) entry.handover?.notify();
    entry.scaler = next;
  }

  /** As the controller is to see it: somebody else may scale it still, or not yet. */
  #scaled(backend: BackendConfig, { scaler }: Entry): BackendConfig {
    if (scaler === null || scaler.by === backend.scale.by) return backend;
    return { ...backend, scale: { ...backend.scale, by: scaler.by } };
  }

  /** The object that has the target or the Service; null: it is this one. */
  #rival({ key, compiled }: Entry): { what: string; key: string } | null {
    if (!compiled.ok || compiled.backend.source.driver !== 'kubernetes') return null;
    const { kubernetes } = compiled.backend.source;
    const target = this.#targets.holder(targetKey(kubernetes));
    if (target !== null && target !== key)
      return { what: `${kubernetes.target.kind} ${kubernetes.target.name}`, key: target };
    if (kubernetes.service === null) return null;
    const service = this.#services.holder(`${kubernetes.namespace}/${kubernetes.service}`);
    return service === null || service === key ? null : { what: `Service ${kubernetes.service}`, key: service };
  }

  #allocate(entry: Entry): void {
    const { allocator } = this.#deps;
    if (entry.plan === null || !entry.plan.ok) {
      // Ports of a Service that is redirected stay taken: connections may still come.
      if (entry.handover === null || entry.handover.step === 'serving') {
        allocator.release(entry.key);
        entry.allocated = null;
      }
      return;
    }
    entry.allocated = allocator.allocate(
      entry.key,
      entry.plan.ports.map(({ port }) => port),
      entry.object.status?.handover?.ports,
    );
  }

  #setParts(entry: Entry, isUsed: boolean): void {
    const { compiled, plan, allocated } = entry;
    let parts: BackendParts | null = null;
    if (compiled.ok && isUsed) {
      const backend = this.#scaled(compiled.backend, entry);
      if (plan?.ok === true && allocated !== null) {
        const made = inPlaceParts(backend, plan.ports, allocated, this.#deps.defaults);
        parts = { backends: [made.backend], listeners: made.listeners, routes: made.routes };
      } else if (plan === null) parts = { backends: [this.#routed(backend)], listeners: [], routes: [] };
      // A Service that is gone or can't be redirected any more: what is configured stays until it sleeps no more.
      else parts = entry.parts;
    } else if (!compiled.ok && entry.parts !== null) parts = entry.parts;
    if (parts !== null) this.#leftovers.drop(entry.key);
    if (isDeepStrictEqual(parts, entry.parts)) return;
    entry.parts = parts;
    entry.mark = this.#deps.mark();
    this.#deps.apply();
  }

  /** Behind routes: each further port of its Service is one of the backend. */
  #routed(backend: BackendConfig): BackendConfig {
    const { source } = backend;
    if (source.driver !== 'kubernetes' || source.kubernetes.service === null) return backend;
    const { namespace, service } = source.kubernetes;
    const [main, ...further] = routablePorts(this.#deps.services.get(namespace, service));
    if (main === undefined) return backend;
    const ports = further.map((port) => ({ name: portName(port), protocol: port.protocol }));
    // What the object says itself wins over what the Service says of its first port.
    const protocol = backend.endpoints.protocol === 'http1' ? main.protocol : backend.endpoints.protocol;
    const isRaw = protocol === 'tcp' && backend.endpoints.protocol === 'http1';
    return { ...backend, endpoints: { ...backend.endpoints, protocol: isRaw ? 'http1' : protocol }, ports };
  }

  /** Backends that routes to their Services lead to. */
  *guarded(): Generator<{ namespace: string; name: string; service: string | null; backend: string; ports: string[] }> {
    for (const entry of this.#entries.values()) {
      // As it is in force: what was written since may be wrong.
      const source = entry.parts?.backends[0]?.source;
      if (source === undefined || this.#rival(entry) !== null) continue;
      const { namespace = '', name } = entry.object.metadata;
      const service = source.driver === 'kubernetes' ? source.kubernetes.service : null;
      const further = service === null ? [] : routablePorts(this.#deps.services.get(namespace, service)).slice(1);
      yield { namespace, name, service, backend: entry.key, ports: further.map(portName) };
    }
  }

  /** Routes lead elsewhere now. */
  routesChanged(): void {
    for (const key of this.#entries.keys()) this.#deps.enqueue(key);
  }

  // ---- idle

  #watchIdle(entry: Entry): void {
    const backend = entry.compiled.ok && entry.parts !== null ? entry.compiled.backend : null;
    const wanted =
      backend === null
        ? null
        : { idle: backend.idle, before: backend.wake.before, idleAfterMs: backend.scale.idleAfterMs };
    if (isDeepStrictEqual(wanted, entry.idleOf)) return;
    entry.idle?.stop();
    entry.idleOf = wanted;
    entry.idle =
      backend === null
        ? null
        : this.#deps.watchIdle(backend, () => {
            this.#tellVerdict(entry);
            entry.handover?.notify();
            this.#deps.enqueue(entry.key);
          });
  }

  /** What the controller is told: in place the handover has the first word, since the gateways' own demand says nothing while the Service is awake. */
  #tellVerdict(entry: Entry): void {
    const { handover, kept } = entry;
    const verdict = this.#verdict(entry) ?? { keptBy: [], wake: null };
    if (entry.parts === null) return;
    const keptBy = handover === null ? verdict.keptBy : kept === null ? [] : [kept];
    this.#deps.controller.idleVerdict(entry.key, { keptBy, wake: verdict.wake });
  }

  /** What its idle sources say, and that it stays awake while who scales it is being changed; null: it has none. */
  #verdict({ idle, scaler }: Entry): IdleVerdict | null {
    const changing = scaler?.changing ?? null;
    if (changing === null) return idle?.verdict ?? null;
    return { keptBy: [...(idle?.verdict.keptBy ?? []), changing], wake: idle?.verdict.wake ?? null };
  }

  /** Its triggers have to agree as well: a Service is not redirected for a sleep that they would not let come. */
  #withTriggers({ key }: Entry, { keptBy, wake }: IdleVerdict): IdleVerdict {
    return { keptBy: [...keptBy, ...this.#deps.controller.keptByTriggers(key)], wake };
  }

  #hasIdleSource({ compiled }: Entry): boolean {
    if (!compiled.ok) return false;
    const { prometheus, schedule } = compiled.backend.idle;
    return prometheus !== null || (schedule !== null && schedule.allow.length > 0);
  }

  // ---- handover

  #setHandover(entry: Entry, kubernetes: KubernetesConfig | null, isInPlace: boolean): void {
    if (!this.#leads) return;
    const wanted =
      isInPlace && kubernetes !== null && this.#rival(entry) === null
        ? { target: kubernetes.target, service: kubernetes.service, autoscaler: kubernetes.autoscaler }
        : null;
    if (isDeepStrictEqual(wanted, entry.handoverOf)) {
      entry.handover?.notify();
      return;
    }
    entry.handoverOf = wanted;
    const former = entry.handover;
    const formerEnd = entry.end;
    const before = entry.running;
    const end = new AbortController();
    entry.end = end;
    entry.handover =
      wanted === null || kubernetes === null
        ? null
        : new Handover(this.#host(entry, kubernetes), handoverStatus(entry));
    const next = entry.handover;
    entry.failure = null;
    entry.kept = next === null ? null : 'its handover begins';
    entry.running = (async () => {
      formerEnd?.abort();
      await before;
      // What was redirected for other terms is handed back first.
      if (former !== null && former.step !== 'serving') await this.#restore(entry, former, end.signal);
      await next?.run(end.signal);
    })().catch((error: unknown) => {
      if (!end.signal.aborted)
        this.#deps.logger.error('a handover ended', { backend: entry.key, error: String(error) });
    });
  }

  async #restore(entry: Entry, handover: Handover, signal: AbortSignal): Promise<void> {
    const bound = AbortSignal.any([signal, AbortSignal.timeout(RESTORE_BOUND_MS)]);
    const wake = async (): Promise<void> => {
      const cause: WakeCause = { kind: 'reload', atMs: this.#deps.clock.wallMs() };
      try {
        await this.#deps.controller.wake(entry.key, cause, bound);
      } catch (error) {
        this.#deps.logger.warn('a target could not be woken before it is handed back', {
          backend: entry.key,
          reason: error instanceof Error ? error.message : String(error),
        });
        throw error;
      }
    };
    await handover.restore(wake, bound);
  }

  /**
   * Of an object that is being deleted, which is looked at again when this is done. It takes as long as the target takes to start: neither other objects nor
   * whoever begins to lead wait for it.
   */
  #restoreApart(entry: Entry, handover: Handover): void {
    // The controller is asked to wake it when it knows it; `applied` has it looked at again.
    if (entry.isRestoring || (entry.parts !== null && !entry.isTold)) return;
    if (entry.restoreFailure !== null) {
      const { restoreFailure } = entry;
      entry.restoreFailure = null;
      // The queue asks again, after a while.
      throw restoreFailure;
    }
    entry.isRestoring = true;
    entry.end?.abort();
    const before = entry.running;
    const end = new AbortController();
    entry.end = end;
    entry.running = (async () => {
      await before;
      try {
        await this.#restore(entry, handover, end.signal);
      } catch (error) {
        entry.restoreFailure = error instanceof Error ? error : new Error(String(error));
      }
      entry.isRestoring = false;
      if (!end.signal.aborted) this.#deps.enqueue(entry.key);
    })();
  }

  #host(entry: Entry, kubernetes: KubernetesConfig): HandoverHost {
    const deps = this.#deps;
    const { namespace, service } = kubernetes;
    const redirect = new Redirect({ namespace, name: service ?? '' }, deps);
    return {
      clock: deps.clock,
      random: deps.random,
      logger: deps.logger.child({ backend: entry.key }),
      redirect,
      autoscaler: new Autoscaler(kubernetes, deps.autoscalers),
      plan: () => {
        const { plan, allocated, compiled } = entry;
        if (plan?.ok !== true || allocated === null || !compiled.ok || entry.parts === null) return null;
        if (entry.looked?.problem != null) return null;
        if (!this.#hasIdleSource(entry) && deps.controller.backend(entry.key)?.phase === 'awake') return null;
        if (!this.#letsSleep(entry, kubernetes).ok) return null;
        const { settleMs, prometheus, webSockets } = compiled.backend.idle;
        const { idleAfterMs } = compiled.backend.scale;
        return {
          ports: plan.ports,
          allocated,
          idleAfterMs,
          settleMs,
          scrapeMs: prometheus?.scrapeIntervalMs ?? 0,
          ignoresTunnels: webSockets === 'ignore',
        };
      },
      backend: () => deps.controller.backend(entry.key),
      verdict: () =>
        this.#withTriggers(entry, this.#verdict(entry) ?? { keptBy: ['nothing can say that it is idle'], wake: null }),
      askAgain: async (sinceMs, signal) => {
        const said = await entry.idle?.askAgain(sinceMs, signal);
        return this.#withTriggers(entry, said ?? { keptBy: ['its idle source is gone'], wake: null });
      },
      direct: (isDirect) => deps.controller.setDirect(entry.key, isDirect),
      keep: (reason) => {
        if (entry.kept === reason) return;
        entry.kept = reason;
        this.#tellVerdict(entry);
      },
      gatewaysListen: () => deps.isInForce(entry.mark) && deps.gateways.listening > 0,
      seeRedirect: (seen, signal) =>
        redirect.service === undefined
          ? Promise.resolve(false)
          : deps.seeRedirect(redirect.service, entry.key, seen, signal),
      replicas: (signal) => deps.replicas(kubernetes, signal),
      record: (status, signal) => this.#record(entry, status, signal),
      event: (type, reason, note) => deps.event(entry.object, type, reason, note),
      failing: (reason) => {
        entry.failure = reason;
        deps.enqueue(entry.key);
      },
    };
  }

  async #record(entry: Entry, handover: HandoverStatus, signal: AbortSignal): Promise<void> {
    const { namespace, name } = entry.object.metadata;
    await this.#deps.client.patch(
      BACKENDS,
      { namespace: namespace ?? '', name },
      { type: 'merge', body: { status: { handover } } },
      { subresource: 'status', signal },
    );
    this.#deps.enqueue(entry.key);
  }

  // ---- the end of an object

  async #remove(object: BackendObject, signal: AbortSignal): Promise<void> {
    const key = keyOf(object);
    const entry = this.#entries.get(key);
    if (!this.#leads) return;
    if (!(object.metadata.finalizers ?? []).includes(FINALIZER)) return;
    if (entry === undefined && handoverIsOpen(object)) {
      // A leader that begins with an object that is being deleted: it needs all of it to restore what was changed.
      const known = this.#add(key, object);
      this.#look(known);
      this.#deps.enqueue(key);
      return;
    }
    if (entry !== undefined) {
      entry.object = object;
      const { handover } = entry;
      if (handover !== null && handover.step !== 'serving') {
        this.#restoreApart(entry, handover);
        return;
      }
      await this.#forget(entry);
    }
    await this.#deps.scalers.remove(object, signal);
    await this.#setFinalizer(object, false, signal);
  }

  async #forget(entry: Entry): Promise<void> {
    this.#entries.delete(entry.key);
    this.#orders.forget(entry.key);
    entry.end?.abort();
    entry.idle?.stop();
    clearTimeout(entry.lookAgain);
    // Whoever stood behind it may have the target or the Service now.
    for (const other of [...this.#targets.drop(entry.key), ...this.#services.drop(entry.key)])
      this.#deps.enqueue(other);
    await entry.running;
    const { key, parts } = entry;
    if (parts === null || parts.listeners.length === 0) this.#free(key);
    else {
      this.#deps.controller.idleVerdict(key, { keptBy: ['its Backend is gone'], wake: null });
      this.#leftovers.keep(key, parts, () => this.#free(key));
    }
  }

  /** Nothing of it is left. */
  #free(key: string): void {
    if (!this.#entries.has(key)) this.#deps.allocator.release(key);
    this.#deps.apply();
  }

  async #setFinalizer(object: BackendObject, isSet: boolean, signal: AbortSignal): Promise<void> {
    const { namespace = '', name, resourceVersion, finalizers = [] } = object.metadata;
    const others = finalizers.filter((one) => one !== FINALIZER);
    try {
      await this.#deps.client.patch(
        BACKENDS,
        { namespace, name },
        {
          type: 'merge',
          body: { metadata: { resourceVersion, finalizers: isSet ? [...others, FINALIZER] : others } },
        },
        { signal },
      );
    } catch (error) {
      if (!isReason(error, 'NotFound')) throw error;
    }
  }

  // ---- status

  #findings(entry: Entry): Finding[] {
    const { compiled, plan, allocated, handover, failure, looked, key } = entry;
    if (!compiled.ok) return invalid(compiled.problems);
    const rival = this.#rival(entry);
    if (rival !== null) return conflict(rival);
    const { source } = compiled.backend;
    if (source.driver !== 'kubernetes') return valid();
    const { namespace, target, service } = source.kubernetes;
    const { [SELECTOR_KEY]: _ours, ...labels } =
      (service === null ? undefined : this.#deps.services.get(namespace, service)?.spec.selector) ?? {};
    const found = findingsOf({
      target: `${target.kind} ${target.name}`,
      targetProblem: looked?.problem ?? null,
      plan,
      hasPorts: allocated !== null,
      failure,
      autoscaler: this.#scalerCheck(entry, source.kubernetes),
      idle:
        handover === null && plan === null
          ? service === null && !this.#deps.isRouted(key) && compiled.backend.triggers.length > 0
            ? 'triggers'
            : 'gateways'
          : this.#hasIdleSource(entry)
            ? (entry.idle?.verdict.keptBy ?? [])
            : 'nothing',
      troubles:
        compiled.backend.triggers.length === 0
          ? null
          : (this.#deps.controller.backend(key)?.triggers ?? []).flatMap(({ name, trouble }) =>
              trouble === null ? [] : [{ name, reason: trouble.reason }],
            ),
      concern: Object.keys(labels).length === 0 ? null : this.#deps.policies.concern(namespace, labels),
      crash: this.#deps.controller.backend(key)?.crash?.reason ?? null,
    });
    if (entry.refused === null) return found;
    return [refused(entry.refused.reason), ...found.filter(({ type }) => type !== 'Accepted')];
  }

  /** Whether what scales the target besides us lets it sleep. */
  #letsSleep({ scaler }: Entry, kubernetes: KubernetesConfig): AutoscalerCheck {
    return new Autoscaler(kubernetes, this.#deps.autoscalers).check(scaler?.scaledObject ?? null);
  }

  #scalerCheck(entry: Entry, kubernetes: KubernetesConfig): AutoscalerCheck {
    const { scaler, scalerFailure } = entry;
    if (scalerFailure !== null) return { ok: false, reason: 'ScalerFailed', message: scalerFailure };
    const made = scaler?.check ?? null;
    if (made?.ok === false) return { ok: false, reason: made.reason, message: made.message };
    const check = this.#letsSleep(entry, kubernetes);
    return check.ok && made !== null ? { ...check, made } : check;
  }

  async #writeStatus(entry: Entry, signal: AbortSignal): Promise<void> {
    const { object } = entry;
    const backend = this.#deps.controller.backend(entry.key);
    // Written when it is known, in a moment.
    if (backend === null && entry.parts !== null && !entry.isTold) return;
    if (this.#isAwaited(entry)) {
      this.#awaiting.add(entry.key);
      return;
    }
    const conditions = conditionsOf(
      withReady(this.#findings(entry)),
      entry.conditions,
      object.metadata.generation,
      this.#deps.clock.wallMs(),
    );
    const state = backend === null ? {} : this.#inherit(entry, stateOf(backend, this.#deps.causeText));
    const status: BackendObjectStatus = {
      ...state,
      ...(object.metadata.generation === undefined ? {} : { observedGeneration: object.metadata.generation }),
      conditions,
    };
    const steady = steadyPart(status);
    if (isDeepStrictEqual(steady, entry.written)) return;
    await this.#deps.client.patch(
      BACKENDS,
      { namespace: object.metadata.namespace ?? '', name: object.metadata.name },
      { type: 'merge', body: { status } },
      { subresource: 'status', signal },
    );
    this.#tellConditions(entry, conditions);
    entry.written = steady;
    entry.conditions = conditions;
  }

  /** Whoever waits for the generation that he wrote may then ask the gateways for what it says. */
  #isAwaited({ object, parts, mark, refused }: Entry): boolean {
    const { isInForce, gateways } = this.#deps;
    return (
      parts !== null &&
      object.status?.observedGeneration !== object.metadata.generation &&
      gateways.listening > 0 &&
      refused?.mark !== mark &&
      !isInForce(mark)
    );
  }

  /** What a former leader saw and this one did not see change is still so. */
  #inherit(entry: Entry, state: Partial<BackendObjectStatus>): Partial<BackendObjectStatus> {
    const { lastWoken, lastSlept } = entry.object.status ?? {};
    if (entry.inherited?.state !== state.state) entry.inherited = null;
    return {
      ...(lastWoken === undefined ? {} : { lastWoken }),
      ...(lastSlept === undefined ? {} : { lastSlept }),
      ...state,
      ...(entry.inherited?.since === undefined ? {} : { since: entry.inherited.since }),
    };
  }

  /** An event for each condition that has turned bad. */
  #tellConditions(entry: Entry, conditions: readonly Condition[]): void {
    for (const { type, status, reason, message } of conditions) {
      const isBad = type === 'Crashing' ? status === 'True' : status !== 'True';
      const before = entry.conditions.find((one) => one.type === type);
      // What is done for a moment is no news.
      if (
        !isBad ||
        type === 'Ready' ||
        reason === 'ScalerChanging' ||
        (before?.status === status && before.reason === reason)
      )
        continue;
      this.#deps.event(entry.object, 'Warning', reason, message);
    }
  }

  /** Ends all handovers where they are; the next leader goes on from there. */
  async close(): Promise<void> {
    this.#leftovers.close();
    for (const entry of this.#entries.values()) {
      clearTimeout(entry.lookAgain);
      entry.end?.abort();
      entry.idle?.stop();
    }
    await Promise.all([...this.#entries.values()].map(({ running }) => running));
  }
}

/** A status is written when this has changed: its words move with the time, what counts is the state; the handover is written by itself. */
function steadyPart(status: BackendObjectStatus): object {
  return { ...status, demand: undefined, why: undefined, handover: undefined };
}

function targetKey({ namespace, target }: KubernetesConfig): string {
  const group = target.apiVersion.includes('/') ? target.apiVersion.split('/')[0] : '';
  return `${namespace}/${group}/${target.kind}/${target.name}`;
}

function handoverStatus({ object, handover }: Entry): HandoverStatus | undefined {
  return handover?.status ?? object.status?.handover;
}

function handoverIsOpen(object: BackendObject): boolean {
  const step = object.status?.handover?.step;
  return step !== undefined && step !== 'serving';
}
