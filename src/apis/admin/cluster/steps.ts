/**
 * Making, changing and taking away the objects of a backend, one after the other. The Deployment stands first and goes last: its annotations say how far it is, so that
 * whoever comes after a crash goes on from there or takes back what there is. All others belong to it (ownerReferences), and only what does is ever deleted.
 */
import { isReason } from '../../../kubernetes/api-error.ts';
import type { KubernetesClient, KubernetesObject, OwnerReference, Resource } from '../../../kubernetes/client.ts';
import type { Logger } from '../../../model/ports.ts';
import { AdminError } from '../admin-error.ts';
import {
  BACKENDS,
  DEPLOYMENTS,
  OWNED,
  ROUTES,
  SERVICES,
  SPEC_ANNOTATION,
  STEP_ANNOTATION,
  backendOf,
  deploymentOf,
  isRouted,
  ownerOf,
  routeOf,
  serviceOf,
  templateOf,
  type ClusterSpec,
  type MakeSettings,
  type Place,
  type Step,
} from './made-objects.ts';

/** Of one write. */
const WRITE_MS = 20_000;
const ROLLBACK_MS = 60_000;
/** How long the operator may take to restore what it changed for a Backend. */
const BACKEND_GONE_MS = 60_000;
const LOOK_AGAIN_MS = 100;

export interface StepsDeps {
  client: Pick<KubernetesClient, 'get' | 'create' | 'replace' | 'patch' | 'delete'>;
  settings: MakeSettings;
  logger: Logger;
  /** Called before each write; what it throws is the failure of that step. For tests. */
  beforeStep?: (what: string) => Promise<void> | void;
}

export class Steps {
  readonly #deps: StepsDeps;

  constructor(deps: StepsDeps) {
    this.#deps = deps;
  }

  /** Makes all of it; when a step fails, what was made before it is taken back. Rejects with an AdminError. */
  async create(
    place: Place,
    spec: ClusterSpec,
    annotations: Record<string, string>,
    key: string | null,
  ): Promise<void> {
    const { client, settings } = this.#deps;
    const begun = deploymentOf(place, spec, { ...annotations, ...stepped('creating'), ...specText(spec) }, key);
    let deployment: KubernetesObject | null = null;
    let what = `Deployment ${place.name}`;
    try {
      deployment = await this.#write(what, (signal) => client.create(DEPLOYMENTS, begun, { signal }));
      const owner = ownerOf(deployment);
      for (const [resource, object] of ownedOf(place, spec, owner, settings)) {
        what = `${resource.kind} ${place.name}`;
        await this.#write(what, (signal) => client.create(resource, object, { signal }));
      }
      what = `Deployment ${place.name}`;
      await this.#step(place, 'ready');
    } catch (error) {
      const left = await this.#rollBack(place, deployment, isReason(error, 'AlreadyExists'));
      throw failure(what, error, left);
    }
  }

  /** What is left of it, with the reason. A Deployment that was there before is not touched. */
  async #rollBack(place: Place, made: KubernetesObject | null, wasThere: boolean): Promise<string[]> {
    if (made === null && wasThere) return [];
    const deadline = AbortSignal.timeout(ROLLBACK_MS);
    try {
      // A write whose answer was lost may have arrived.
      const deployment =
        made ?? (await this.#deps.client.get<KubernetesObject>(DEPLOYMENTS, place, { signal: deadline }));
      if (deployment === null || stepOf(deployment) !== 'creating') return [];
      return (await this.takeAway(place, deployment, BACKEND_GONE_MS)).left;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#deps.logger.error('what was made of a backend could not be taken back; it is tried again', {
        ...place,
        reason,
      });
      return [`Deployment ${place.name} and what belongs to it (${reason})`];
    }
  }

  /** Puts another spec in force; when a step fails, the former one is put back. Rejects with an AdminError. */
  async update(place: Place, deployment: KubernetesObject, spec: ClusterSpec, former: ClusterSpec): Promise<void> {
    await this.#step(place, 'updating');
    try {
      await this.apply(place, ownerOf(deployment), spec);
      const annotations = { ...stepped('ready'), ...specText(spec) };
      await this.#write(`Deployment ${place.name}`, (signal) =>
        this.#deps.client.patch(DEPLOYMENTS, place, { type: 'merge', body: { metadata: { annotations } } }, { signal }),
      );
    } catch (error) {
      const left: string[] = [];
      try {
        await this.apply(place, ownerOf(deployment), former);
        await this.#step(place, 'ready');
      } catch (again) {
        left.push(`the former spec is put back as soon as that can be done (${(again as Error).message})`);
      }
      throw failure(`the objects of ${place.name}`, error, left);
    }
  }

  /** Objects as the spec says, whatever they were. The number of replicas is whoever scales it to say. */
  async apply(place: Place, owner: OwnerReference, spec: ClusterSpec): Promise<void> {
    const { client, settings } = this.#deps;
    await this.#write(`Deployment ${place.name}`, (signal) =>
      client.patch(
        DEPLOYMENTS,
        place,
        { type: 'merge', body: { spec: { template: templateOf(place.name, spec) } } },
        { signal },
      ),
    );
    for (const [resource, object] of ownedOf(place, spec, owner, settings)) {
      await this.#write(`${resource.kind} ${place.name}`, async (signal) => {
        const there = await client.get<KubernetesObject & { spec: object }>(resource, place, { signal });
        if (there === null) return client.create(resource, object, { signal });
        if (!belongsTo(there, owner)) throw taken(resource, place);
        // A Service's spec has more than we gave it (addresses, the key of a handover).
        if (resource === SERVICES) return there;
        return client.replace(resource, place, { ...there, spec: object.spec }, { signal });
      });
    }
    if (!isRouted(spec)) await this.#removeOwned(ROUTES, place, owner.uid, 0);
  }

  /** Says that it is being deleted, and does. */
  async remove(place: Place, deployment: KubernetesObject): Promise<{ removed: string[]; left: string[] }> {
    await this.#step(place, 'deleting');
    return this.takeAway(place, deployment, BACKEND_GONE_MS);
  }

  /** The route first, so that nothing new comes; the Backend before Service and Deployment, so that its operator can restore them. */
  async takeAway(
    place: Place,
    deployment: KubernetesObject,
    goneWithinMs: number,
  ): Promise<{ removed: string[]; left: string[] }> {
    const { client } = this.#deps;
    const { uid } = deployment.metadata;
    const removed: string[] = [];
    const left: string[] = [];
    for (const resource of OWNED.toReversed()) {
      const what = `${resource.kind} ${place.name}`;
      const result = await this.#removeOwned(resource, place, uid, goneWithinMs);
      if (result === 'removed') removed.push(what);
      else if (result === 'not ours')
        this.#deps.logger.info('left alone: it was not made with this backend', { ...place, what });
      else if (result === 'going') {
        left.push(`${what} (it is being deleted, and waits for the operator to restore what it changed)`);
        // What is restored is the Service and the Deployment: they stay until then.
        return { removed, left };
      }
    }
    await this.#write(`Deployment ${place.name}`, (own) => client.delete(DEPLOYMENTS, place, { uid, signal: own }));
    removed.push(`Deployment ${place.name}`);
    return { removed, left };
  }

  async #removeOwned(
    resource: Resource,
    place: Place,
    owner: string,
    goneWithinMs: number,
  ): Promise<'removed' | 'was gone' | 'not ours' | 'going'> {
    const { client } = this.#deps;
    const what = `${resource.kind} ${place.name}`;
    const there = await this.#write(`look at ${what}`, (own) =>
      client.get<KubernetesObject>(resource, place, { signal: own }),
    ).catch((error: unknown) => {
      // A cluster without the Gateway API has no routes.
      if (isReason(error, 'NotFound')) return null;
      throw error;
    });
    if (there === null) return 'was gone';
    if (!belongsTo(there, { uid: owner })) return 'not ours';
    const { uid } = there.metadata;
    await this.#write(`delete ${what}`, (own) => client.delete(resource, place, { uid, signal: own }));
    if (resource !== BACKENDS) return 'removed';
    const deadline = performance.now() + goneWithinMs;
    do {
      const still = await client.get<KubernetesObject>(resource, place, { signal: AbortSignal.timeout(WRITE_MS) });
      if (still === null || still.metadata.uid !== uid) return 'removed';
      await pause(LOOK_AGAIN_MS);
    } while (performance.now() < deadline);
    return 'going';
  }

  async #step(place: Place, step: Step): Promise<void> {
    const body = { metadata: { annotations: stepped(step) } };
    await this.#write(`Deployment ${place.name} (${step})`, (signal) =>
      this.#deps.client.patch(DEPLOYMENTS, place, { type: 'merge', body }, { signal }),
    );
  }

  async #write<T>(what: string, write: (signal: AbortSignal) => Promise<T>): Promise<T> {
    await this.#deps.beforeStep?.(what);
    return write(AbortSignal.timeout(WRITE_MS));
  }
}

export function stepOf({ metadata }: KubernetesObject): Step | null {
  const step = metadata.annotations?.[STEP_ANNOTATION];
  return step === 'creating' || step === 'ready' || step === 'updating' || step === 'deleting' ? step : null;
}

function stepped(step: Step): Record<string, string> {
  return { [STEP_ANNOTATION]: step };
}

function specText(spec: ClusterSpec): Record<string, string> {
  return { [SPEC_ANNOTATION]: JSON.stringify(spec) };
}

function* ownedOf(
  place: Place,
  spec: ClusterSpec,
  owner: OwnerReference,
  settings: MakeSettings,
): Generator<[Resource, { spec: object }]> {
  yield [SERVICES, serviceOf(place, owner)];
  yield [BACKENDS, backendOf(place, spec, owner, settings)];
  if (isRouted(spec)) yield [ROUTES, routeOf(place, spec, owner, settings)];
}

function belongsTo({ metadata }: KubernetesObject, { uid }: { uid: string }): boolean {
  return metadata.ownerReferences?.some((owner) => owner.uid === uid) === true;
}

export function taken({ kind }: Pick<Resource, 'kind'>, { namespace, name }: Place): AdminError {
  return new AdminError(
    409,
    'DORMOUSE_ADMIN_TAKEN',
    `there is a ${kind} ${name} in namespace ${namespace} that this API has not made; choose another name`,
  );
}

function failure(what: string, error: unknown, left: readonly string[]): AdminError {
  const end = left.length === 0 ? 'Everything that was done was taken back' : `Left for now: ${left.join(', ')}`;
  if (error instanceof AdminError)
    return new AdminError(error.status, error.code, `${error.message}. ${end}`, { cause: error });
  const reason = error instanceof Error ? error.message : String(error);
  if (isReason(error, 'AlreadyExists')) {
    return new AdminError(
      409,
      what.startsWith('Deployment') ? 'DORMOUSE_BACKEND_EXISTS' : 'DORMOUSE_ADMIN_TAKEN',
      `${what} is there already, and was not made with this backend; choose another name, or delete it. ${end}`,
      { cause: error },
    );
  }
  const isRefused = isReason(error, 'Invalid', 'BadRequest');
  return new AdminError(
    isRefused ? 422 : 502,
    isRefused ? 'DORMOUSE_ADMIN_REFUSED' : 'DORMOUSE_ADMIN_STEP',
    `${what}: ${reason}. ${end}`,
    { cause: error },
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
