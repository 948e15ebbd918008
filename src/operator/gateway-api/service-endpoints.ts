/**
 * Backends of Services that routes lead to straight: their instances are the endpoints of the Service's EndpointSlices. Nobody scales them here; the slices and the Services are
 * watched once for all.
 */
import type { Driver, DriverEvents, Instance } from '../../drivers/driver.ts';
import type { Change, Informer } from '../../kubernetes/client.ts';
import { keyOfOthers, membersOf, type EndpointSlice, type SliceMember } from '../../kubernetes/endpoint-slices.ts';
import type { Clock } from '../../model/ports.ts';
import type { Service } from '../kinds.ts';
import type { ServiceBackend } from './translation.ts';

export class ServiceEndpoints {
  readonly #services: Informer<Service>;
  readonly #clock: Clock;
  /** By `namespace/name` of the Service, and by the slice's name. */
  readonly #slices = new Map<string, Map<string, EndpointSlice>>();
  readonly #drivers = new Map<string, Set<ServiceDriver>>();
  readonly #leave: (() => void)[];

  /** The informers may have begun already. */
  constructor(slices: Informer<EndpointSlice>, services: Informer<Service>, clock: Clock) {
    this.#services = services;
    this.#clock = clock;
    for (const slice of slices.list()) this.#add(slice);
    this.#leave = [
      slices.onChange((change) => this.#sliceChanged(change)),
      services.onChange(({ object: { metadata } }) => this.#look(`${metadata.namespace}/${metadata.name}`)),
    ];
  }

  /** A driver of a Service that routes lead to; Translation.services says which. */
  create({ namespace, service, port }: Omit<ServiceBackend, 'config'>, events: DriverEvents): Driver {
    const key = `${namespace}/${service}`;
    const driver = new ServiceDriver(
      () => this.#members(namespace, service, port),
      events,
      this.#clock,
      () => this.#forget(key, driver),
    );
    const known = this.#drivers.get(key);
    if (known === undefined) this.#drivers.set(key, new Set([driver]));
    else known.add(driver);
    return driver;
  }

  close(): void {
    for (const leave of this.#leave) leave();
  }

  #sliceChanged(change: Change<EndpointSlice>): void {
    const keys = new Set<string | null>();
    if (change.type === 'changed') keys.add(this.#drop(change.before));
    keys.add(change.type === 'removed' ? this.#drop(change.object) : this.#add(change.object));
    for (const key of keys) if (key !== null) this.#look(key);
  }

  #add(slice: EndpointSlice): string | null {
    const key = keyOfOthers(slice);
    if (key === null) return null;
    const known = this.#slices.get(key);
    if (known === undefined) this.#slices.set(key, new Map([[slice.metadata.name, slice]]));
    else known.set(slice.metadata.name, slice);
    return key;
  }

  #drop(slice: EndpointSlice): string | null {
    const key = keyOfOthers(slice);
    const known = key === null ? undefined : this.#slices.get(key);
    known?.delete(slice.metadata.name);
    if (key !== null && known?.size === 0) this.#slices.delete(key);
    return key;
  }

  #look(key: string): void {
    for (const driver of this.#drivers.get(key) ?? []) driver.look();
  }

  #forget(key: string, driver: ServiceDriver): void {
    const known = this.#drivers.get(key);
    known?.delete(driver);
    if (known?.size === 0) this.#drivers.delete(key);
  }

  #members(namespace: string, service: string, port: number): Map<string, SliceMember> {
    const found = this.#services.get(namespace, service);
    const named = found?.spec.ports?.find((one) => one.port === port);
    const slices = this.#slices.get(`${namespace}/${service}`);
    if (named === undefined || slices === undefined) return new Map();
    return membersOf([...slices.values()], named.name ?? '', found?.spec.ipFamilies?.[0] ?? 'IPv4');
  }
}

class ServiceDriver implements Driver {
  readonly kind = 'static';
  readonly canScale = false;
  readonly #members: () => Map<string, SliceMember>;
  readonly #events: DriverEvents;
  readonly #clock: Clock;
  readonly #forget: () => void;
  readonly #instances = new Map<string, Instance>();
  #closed = false;

  /** Tells its instances by events in a microtask, so that the caller has the driver by then. */
  constructor(members: () => Map<string, SliceMember>, events: DriverEvents, clock: Clock, forget: () => void) {
    this.#members = members;
    this.#events = events;
    this.#clock = clock;
    this.#forget = forget;
    queueMicrotask(() => this.look());
  }

  /** The slices or the Service have changed. */
  look(): void {
    if (this.#closed) return;
    const members = this.#members();
    for (const [id, instance] of this.#instances) {
      const member = members.get(id);
      // An endpoint's address never changes: one that has another is another.
      if (
        member === undefined ||
        member.address.host !== instance.address?.host ||
        member.address.port !== instance.address.port
      ) {
        this.#instances.delete(id);
        this.#events.instance({ ...instance, state: 'gone', reason: 'it is no longer an endpoint of the Service' });
      }
    }
    for (const member of members.values()) {
      const known = this.#instances.get(member.id);
      if (known?.state === member.state && known.reason === member.reason) continue;
      const nowMs = this.#clock.wallMs();
      const instance: Instance = known ?? {
        ...member,
        weight: 1,
        pid: null,
        startedAtMs: nowMs,
        readyAtMs: 0,
      };
      if (member.state === 'ready' && (known === undefined || known.state !== 'ready')) instance.readyAtMs = nowMs;
      instance.state = member.state;
      instance.reason = member.reason;
      this.#instances.set(member.id, instance);
      this.#events.instance({ ...instance });
    }
  }

  instances(): readonly Instance[] {
    return [...this.#instances.values()].map((instance) => ({ ...instance }));
  }

  crash(): null {
    return null;
  }

  scaleUp(): void {}

  cancelStarts(): void {}

  async retire(): Promise<void> {}

  /** Whoever runs the pods looks at them; gateways eject what fails (ejection). */
  suspect(): void {}

  logs(): [] {
    return [];
  }

  onLog(): () => void {
    return () => {};
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#forget();
    for (const instance of this.#instances.values())
      this.#events.instance({ ...instance, state: 'gone', reason: 'no route leads to it any more, or dormouse ends' });
    this.#instances.clear();
  }
}
