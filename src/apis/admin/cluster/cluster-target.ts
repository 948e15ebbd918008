/** The admin API on a cluster: backends are objects, and what became of them is what the operator says in their status. */
import { isReason } from '../../../kubernetes/api-error.ts';
import type { Informer, KubernetesClient, KubernetesObject } from '../../../kubernetes/client.ts';
import type { Clock, Logger } from '../../../model/ports.ts';
import { AdminError, sentenceOf, type FieldError } from '../admin-error.ts';
import type { AdminEvent, AdminTarget, BackendAddress, BackendView, Created, Removal } from '../admin-target.ts';
import { idempotencyOf, type Idempotency } from '../idempotency.ts';
import { clusterCreate, clusterSpec, fieldErrors, SETTINGS } from '../models.ts';
import {
  BACKENDS,
  BODY_ANNOTATION,
  DEPLOYMENTS,
  KEY_LABEL,
  MANAGED_BY,
  MANAGER,
  SPEC_ANNOTATION,
  backendOf,
  isRouted,
  type ClusterSpec,
  type MakeSettings,
  type Place,
} from './made-objects.ts';
import { stepOf, Steps, taken } from './steps.ts';
import { TurnsByName } from './turns-by-name.ts';
import { pause } from '../../../model/pause.ts';

/** Annotations of a Backend that the operator goes by (operator/orders.ts). */
export const AWAKE_UNTIL = 'dormouse.dev/awake-until';
export const WAKE_AT = 'dormouse.dev/wake-at';
export const SLEEP_AT = 'dormouse.dev/sleep-at';

/** Annotations of one object may have 256 KiB together. */
const MOST_SPEC_BYTES = 200_000;
const SLEEP_WITHIN_MS = 10_000;
const LOOK_AGAIN_MS = 100;
/** How often it is looked whether something was left by a crash, ms. */
const RECOVER_MS = 10_000;
const READ_MS = 20_000;
/** How long one that is being deleted is waited for before others have their turn. */
const GONE_MS = 2000;

const KNOWN = [
  'hosts',
  'path',
  'image',
  'pullPolicy',
  'port',
  'command',
  'args',
  'env',
  'resources',
  'readyPath',
  ...SETTINGS,
];

interface Condition {
  type: string;
  status: string;
  message: string;
}

interface BackendObject extends KubernetesObject {
  spec: { kubernetes?: object };
  status?: {
    state?: 'asleep' | 'waking' | 'awake' | 'falling-asleep';
    since?: string;
    why?: string;
    instances?: number;
    desired?: number;
    demand?: { concurrency: string; requestsPerSecond: string; inFlight: number; held: number };
    lastWoken?: { at: string; by: string };
    conditions?: Condition[];
  };
}

export interface ClusterTargetOptions {
  client: KubernetesClient;
  /** Where backends may be made; the first is that of who says nothing. */
  namespaces: readonly string[];
  settings: MakeSettings;
  /** What is wrong with a Backend object's spec, as pointers into the spec. */
  check(object: { metadata: { name: string; namespace?: string }; spec?: unknown }): FieldError[];
  clock: Clock;
  logger: Logger;
  beforeStep?: (what: string) => Promise<void> | void;
}

export class ClusterTarget implements AdminTarget {
  readonly on = 'cluster';
  readonly #options: ClusterTargetOptions;
  readonly #steps: Steps;
  readonly #turns = new TurnsByName();
  readonly #listeners = new Set<(event: AdminEvent) => void>();
  readonly #informers: Informer<BackendObject>[];
  #recovering: Promise<void> = Promise.resolve();

  constructor(options: ClusterTargetOptions) {
    const { client, settings, logger, namespaces, beforeStep } = options;
    this.#options = options;
    this.#steps = new Steps({ client, settings, logger, ...(beforeStep === undefined ? {} : { beforeStep }) });
    this.#informers = namespaces.map((namespace) => client.informer<BackendObject>(BACKENDS, { namespace }));
  }

  /** Watches what happens, and goes on with what a former process has left, now and whenever something fails. Until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    for (const informer of this.#informers) {
      informer.onChange((change) => {
        if (change.type === 'changed') this.#changed(change.before, change.object);
      });
      informer.start(signal);
    }
    while (!signal.aborted) {
      await this.recover().catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        this.#options.logger.warn('it could not be seen whether something was left of a change', { reason });
      });
      await pause(RECOVER_MS, signal);
    }
    await this.#recovering;
  }

  // ---- what was left

  /** Takes back what was being made, goes on with what was being deleted, puts back what was being changed; of changes that run here nothing. */
  recover(): Promise<void> {
    this.#recovering = this.#recovering.then(() => this.#recover());
    return this.#recovering;
  }

  async #recover(): Promise<void> {
    for (const namespace of this.#options.namespaces) {
      const { items } = await this.#options.client.list<KubernetesObject>(DEPLOYMENTS, {
        namespace,
        labelSelector: `${MANAGED_BY}=${MANAGER}`,
        signal: AbortSignal.timeout(READ_MS),
      });
      for (const { metadata } of items.filter((object) => stepOf(object) !== 'ready')) {
        const place = { namespace, name: metadata.name };
        if (!this.#turns.isBusy(turnOf(place))) await this.#turns.run(turnOf(place), () => this.#settle(place));
      }
    }
  }

  async #settle(place: Place): Promise<void> {
    const deployment = await this.#deployment(place);
    const step = deployment === null ? 'ready' : stepOf(deployment);
    if (deployment === null || step === 'ready' || deployment.metadata.deletionTimestamp !== undefined) return;
    const { logger } = this.#options;
    try {
      const former = specOf(deployment);
      if (step === 'updating' && former !== null) {
        await this.#steps.update(place, deployment, former, former);
        logger.info('the former spec of a backend was put back: its change was not finished', { ...place });
        return;
      }
      const { left } = await this.#steps.takeAway(place, deployment, GONE_MS);
      const what =
        step === 'deleting' ? 'a backend was deleted to its end' : 'what was made of a backend was taken back';
      if (left.length === 0) logger.info(`${what}: that was not finished`, { ...place });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      logger.warn('a change that was not finished could not be settled; it is tried again', { ...place, step, reason });
    }
  }

  // ---- reading

  async list(): Promise<BackendView[]> {
    const views: BackendView[] = [];
    for (const namespace of this.#options.namespaces.toSorted()) {
      const signal = AbortSignal.timeout(READ_MS);
      const { client } = this.#options;
      const [objects, deployments] = await Promise.all([
        client.list<BackendObject>(BACKENDS, { namespace, signal }),
        client.list<KubernetesObject>(DEPLOYMENTS, { namespace, labelSelector: `${MANAGED_BY}=${MANAGER}`, signal }),
      ]);
      const byName = new Map(objects.items.map((object) => [object.metadata.name, object]));
      const ours = new Map(deployments.items.map((deployment) => [deployment.metadata.name, deployment]));
      for (const name of [...new Set([...byName.keys(), ...ours.keys()])].toSorted())
        views.push(viewOf({ namespace, name }, byName.get(name) ?? null, ours.get(name) ?? null));
    }
    return views;
  }

  async get(address: BackendAddress): Promise<BackendView> {
    const place = this.#placeOf(address);
    const [object, deployment] = await Promise.all([this.#backend(place), this.#ownDeployment(place)]);
    if (object === null && deployment === null) throw unknown(place);
    return viewOf(place, object, deployment);
  }

  #placeOf({ name, namespace }: BackendAddress): Place {
    const { namespaces } = this.#options;
    const of = namespace === '' ? namespaces[0]! : namespace;
    if (!namespaces.includes(of)) {
      throw new AdminError(
        404,
        'DORMOUSE_ADMIN_NAMESPACE',
        `this API has no rights in namespace ${of}; use one of ${namespaces.join(', ')}, or add it to admin.namespaces of the chart`,
      );
    }
    return { namespace: of, name };
  }

  #backend(place: Place): Promise<BackendObject | null> {
    return this.#options.client.get<BackendObject>(BACKENDS, place, { signal: AbortSignal.timeout(READ_MS) });
  }

  #deployment(place: Place): Promise<KubernetesObject | null> {
    return this.#options.client.get<KubernetesObject>(DEPLOYMENTS, place, { signal: AbortSignal.timeout(READ_MS) });
  }

  /** null: there is none that the API has made. */
  async #ownDeployment(place: Place): Promise<KubernetesObject | null> {
    const deployment = await this.#deployment(place);
    return deployment?.metadata.labels?.[MANAGED_BY] === MANAGER ? deployment : null;
  }

  // ---- changing

  async create(body: Record<string, unknown>, key: string | null): Promise<Created> {
    const parsed = clusterCreate.safeParse(body);
    if (!parsed.success) throw wrongFields(fieldErrors(parsed.error, ['name', 'namespace', ...KNOWN]));
    const { name, namespace = '', ...given } = body as { name: string; namespace?: string } & ClusterSpec;
    const place = this.#placeOf({ name, namespace });
    const spec = given as ClusterSpec;
    this.#check(place, spec);
    if (key === null) return { view: await this.#create(place, spec, null), isRepeated: false };
    const made = idempotencyOf(key, body);
    // A label has at most 63 characters.
    const idempotency = { ...made, key: made.key.slice(0, 32) };
    return this.#turns.run(`key ${idempotency.key}`, async () => {
      const there = await this.#madeWith(idempotency);
      if (there !== null) return { view: await this.get(there), isRepeated: true };
      return { view: await this.#create(place, spec, idempotency), isRepeated: false };
    });
  }

  async #create(place: Place, spec: ClusterSpec, idempotency: Idempotency | null): Promise<BackendView> {
    await this.#turns.run(turnOf(place), async () => {
      await this.#settle(place);
      const there = await this.#deployment(place);
      if (there !== null) {
        if (there.metadata.labels?.[MANAGED_BY] !== MANAGER) throw taken({ kind: 'Deployment' }, place);
        throw new AdminError(
          409,
          'DORMOUSE_BACKEND_EXISTS',
          `there is a backend ${place.name} in namespace ${place.namespace} already; choose another name, or change it with PATCH /v1/backends/${place.name}`,
        );
      }
      const annotations: Record<string, string> = idempotency === null ? {} : { [BODY_ANNOTATION]: idempotency.body };
      await this.#steps.create(place, spec, annotations, idempotency?.key ?? null);
    });
    this.#tell(place, 'created', `${place.name} was made`);
    return this.get(place);
  }

  /** What was made whole with this key; null: nothing was. Throws for the same key with another body. */
  async #madeWith({ key, body }: Idempotency): Promise<Place | null> {
    for (const namespace of this.#options.namespaces) {
      const { items } = await this.#options.client.list<KubernetesObject>(DEPLOYMENTS, {
        namespace,
        labelSelector: `${MANAGED_BY}=${MANAGER},${KEY_LABEL}=${key}`,
        signal: AbortSignal.timeout(READ_MS),
      });
      const [made] = items;
      if (made === undefined) continue;
      const place = { namespace, name: made.metadata.name };
      if (made.metadata.annotations?.[BODY_ANNOTATION] !== body) {
        throw new AdminError(
          422,
          'DORMOUSE_ADMIN_IDEMPOTENCY_KEY',
          `this Idempotency-Key made ${made.metadata.name} of another body; send a new key with a new request`,
        );
      }
      if (stepOf(made) === 'ready' || stepOf(made) === 'updating') return place;
      // What a crash has left of the first is taken back, and it is made anew.
      await this.#turns.run(turnOf(place), () => this.#settle(place));
    }
    return null;
  }

  async update(
    address: BackendAddress,
    change: (spec: Record<string, unknown>) => Record<string, unknown>,
  ): Promise<BackendView> {
    const place = this.#placeOf(address);
    await this.#turns.run(turnOf(place), async () => {
      await this.#settle(place);
      const deployment = await this.#changeable(place);
      const former = specOf(deployment)!;
      const spec = change(former) as ClusterSpec;
      const parsed = clusterSpec.safeParse(spec);
      if (!parsed.success) throw wrongFields(fieldErrors(parsed.error, KNOWN));
      this.#check(place, spec);
      // The same spec again puts back what somebody else took away.
      await this.#steps.update(place, deployment, spec, former);
    });
    return this.get(place);
  }

  async remove(address: BackendAddress): Promise<Removal> {
    const place = this.#placeOf(address);
    const { removed, left } = await this.#turns.run(turnOf(place), async () => {
      const deployment = await this.#changeable(place);
      return this.#steps.remove(place, deployment).catch((error: unknown) => {
        if (error instanceof AdminError) throw error;
        const reason = error instanceof Error ? error.message : String(error);
        throw new AdminError(
          502,
          'DORMOUSE_ADMIN_STEP',
          `${place.name} is not deleted whole yet: ${reason}. It is gone on with as soon as that can be done`,
          { cause: error },
        );
      });
    });
    if (left.length === 0) this.#tell(place, 'deleted', `${place.name} was deleted`);
    return { name: place.name, removed, left };
  }

  async #changeable(place: Place): Promise<KubernetesObject> {
    const deployment = await this.#deployment(place);
    if (deployment !== null && deployment.metadata.labels?.[MANAGED_BY] === MANAGER && specOf(deployment) !== null)
      return deployment;
    if ((await this.#backend(place)) === null) throw unknown(place);
    throw new AdminError(
      409,
      'DORMOUSE_BACKEND_READ_ONLY',
      `the Backend ${place.name} was not made over this API; whoever made it changes it, with kubectl say`,
    );
  }

  #check({ namespace, name }: Place, spec: ClusterSpec): void {
    const { settings, check } = this.#options;
    const errors = check(backendOf({ namespace, name }, spec, null, settings));
    if (isRouted(spec) && settings.gateway === null) {
      const field = spec.hosts === undefined ? '/path' : '/hosts';
      const next = 'name one in admin.gateway of the chart, or leave it out';
      errors.push({ field, detail: 'this installation has no Gateway for routes', next });
    }
    if (Buffer.byteLength(JSON.stringify(spec)) > MOST_SPEC_BYTES)
      errors.push({ field: '', detail: `is longer than ${MOST_SPEC_BYTES} bytes`, next: 'put long values into files' });
    if (errors.length > 0) throw wrongFields(errors);
  }

  // ---- awake and asleep

  async wake(address: BackendAddress, waitMs: number, signal: AbortSignal): Promise<boolean> {
    const place = this.#placeOf(address);
    await this.#annotate(place, { [WAKE_AT]: this.#now() });
    return this.#becomes(place, 'awake', waitMs, signal);
  }

  async sleep(address: BackendAddress, signal: AbortSignal): Promise<boolean> {
    const place = this.#placeOf(address);
    await this.#annotate(place, { [SLEEP_AT]: this.#now() });
    return this.#becomes(place, 'asleep', SLEEP_WITHIN_MS, signal);
  }

  async pin(address: BackendAddress, untilMs: number | null): Promise<void> {
    const until = untilMs === null ? null : new Date(untilMs).toISOString();
    await this.#annotate(this.#placeOf(address), { [AWAKE_UNTIL]: until });
  }

  async #annotate(place: Place, annotations: Record<string, string | null>): Promise<void> {
    try {
      await this.#options.client.patch(
        BACKENDS,
        place,
        { type: 'merge', body: { metadata: { annotations } } },
        { signal: AbortSignal.timeout(READ_MS) },
      );
    } catch (error) {
      throw isReason(error, 'NotFound') ? unknown(place) : error;
    }
  }

  async #becomes(place: Place, state: string, withinMs: number, signal: AbortSignal): Promise<boolean> {
    const deadline = performance.now() + withinMs;
    for (;;) {
      if ((await this.#backend(place))?.status?.state === state) return true;
      if (performance.now() >= deadline || signal.aborted) return false;
      await pause(LOOK_AGAIN_MS, signal);
    }
  }

  #now(): string {
    return new Date(this.#options.clock.wallMs()).toISOString();
  }

  // ---- events

  onEvent(listener: (event: AdminEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #changed(before: BackendObject, { metadata, status }: BackendObject): void {
    if (status?.state === undefined || status.state === before.status?.state) return;
    const place = { namespace: metadata.namespace ?? '', name: metadata.name };
    this.#tell(place, status.state, `${metadata.name} is ${status.state}: ${status.why ?? ''}`);
  }

  #tell({ namespace, name }: Place, kind: string, message: string): void {
    for (const listener of this.#listeners)
      listener({ atMs: this.#options.clock.wallMs(), backend: name, namespace, kind, message });
  }
}

function turnOf({ namespace, name }: Place): string {
  return `${namespace}/${name}`;
}

function specOf({ metadata }: KubernetesObject): ClusterSpec | null {
  const text = metadata.annotations?.[SPEC_ANNOTATION];
  if (text === undefined) return null;
  try {
    return JSON.parse(text) as ClusterSpec;
  } catch {
    return null;
  }
}

function viewOf(
  { namespace, name }: Place,
  object: BackendObject | null,
  deployment: KubernetesObject | null,
): BackendView {
  const { state, since, why, instances, desired, demand, lastWoken, conditions = [] } = object?.status ?? {};
  const until = object?.metadata.annotations?.[AWAKE_UNTIL] ?? null;
  const isPinned = until !== null && Date.parse(until) > Date.now();
  const step = deployment === null ? null : stepOf(deployment);
  const created = deployment?.metadata.creationTimestamp ?? object?.metadata.creationTimestamp ?? null;
  return {
    name,
    namespace,
    origin: deployment === null ? 'cluster' : 'api',
    createdAt: created === null ? null : new Date(created).toISOString(),
    spec: deployment === null ? null : specOf(deployment),
    status: {
      state: state ?? 'unknown',
      since: since === undefined ? null : new Date(since).toISOString(),
      why: why ?? (object === null ? 'its Backend object is not there' : 'the operator has not looked at it yet'),
      awakeBecause: state === 'awake' && why !== undefined ? [why] : [],
      awakeUntil: isPinned ? new Date(until).toISOString() : null,
      instances: instances ?? 0,
      desired: desired ?? 0,
      demand: {
        concurrency: Number(demand?.concurrency ?? 0),
        requestsPerSecond: Number(demand?.requestsPerSecond ?? 0),
        inFlight: demand?.inFlight ?? 0,
        held: demand?.held ?? 0,
      },
      lastWoken: lastWoken === undefined ? null : { at: new Date(lastWoken.at).toISOString(), by: lastWoken.by },
      problems: [
        ...(step === null || step === 'ready' ? [] : [`a change of it is not finished (${step})`]),
        ...conditions
          .filter(
            ({ type, status }) => type !== 'Ready' && (type === 'Crashing' ? status === 'True' : status === 'False'),
          )
          .map(({ message }) => message),
      ],
    },
  };
}

function unknown({ namespace, name }: Place): AdminError {
  return new AdminError(
    404,
    'DORMOUSE_BACKEND_UNKNOWN',
    `there is no backend ${name} in namespace ${namespace}; GET /v1/backends lists them`,
  );
}

function wrongFields(errors: readonly FieldError[]): AdminError {
  return new AdminError(422, 'DORMOUSE_ADMIN_FIELD', sentenceOf(errors), { errors });
}
