/**
 * One pod as an instance. Three voices say how it is: its object (terminating, ended, its condition Ready), the port that is asked directly while it
 * starts, and health checks (or a suspicion) later. It is unhealthy as long as the kubelet or the checks say so.
 */
import type { BackendConfig, HealthConfig } from '../../model/config.ts';
import type { Clock, RandomSource } from '../../model/ports.ts';
import type { Instance, InstanceState } from '../driver.ts';
import { HealthCheck } from '../probe/health-check.ts';
import type { ProbePace } from '../probe/readiness.ts';
import type { Speech } from '../probe/speech.ts';
import type { Pod } from './objects.ts';
import {
  condition,
  hasEnded,
  hostOf,
  instanceId,
  isReady,
  isTerminating,
  notReadyReason,
  restarts,
  startTrouble,
  wasReady,
} from './pod-facts.ts';
import { probePod } from './pod-probe.ts';

/** What all pods of a driver share. */
export interface PodSurroundings {
  ready: 'probe' | 'pod';
  /** false: they are workers without an address, and Ready when the kubelet says so. */
  listens: boolean;
  health: BackendConfig['health'];
  speech: Speech;
  pace: ProbePace;
  clock: Clock;
  random: RandomSource;
  /** Where this pod listens, by the name of the Service's port; the first one is its address. */
  portsOf(pod: Pod): ReadonlyMap<string, number>;
  changed(instance: PodInstance): void;
  /** This program can't reach a pod that is Ready. */
  unreachable(instance: PodInstance): void;
}

/** Without configured checks a suspicion is still looked into, until it accepts connections again. */
const ON_SUSPICION: HealthConfig = {
  path: null,
  intervalMs: 1000,
  timeoutMs: 1000,
  status: { from: 200, to: 399 },
  rise: 1,
  fall: 1,
};

/** A pod that the driver finds Ready for longer than this is not asked once more. Far beyond what clocks of nodes differ by. */
const SETTLED_MS = 10_000;

export class PodInstance {
  readonly id: string;
  readonly #around: PodSurroundings;
  #pod: Pod;
  #state: InstanceState = 'starting';
  #address: Instance['address'] = null;
  #ports: Record<string, number> | null = null;
  #readyAtMs = 0;
  #reason = '';
  /** Why the kubelet has it out, or checks; null: they have nothing against it. */
  #againstByKubelet: string | null = null;
  #againstByChecks: string | null = null;
  /** Its condition Ready was True since its containers were started last: False means something from then on. */
  #knownReady = false;
  #restarts = 0;
  #unreachable = false;
  #stopProbe: (() => void) | null = null;
  #health: HealthCheck | null = null;

  /** `begin` is to be called once. */
  constructor(pod: Pod, around: PodSurroundings) {
    this.id = instanceId(pod);
    this.#pod = pod;
    this.#around = around;
    this.#restarts = restarts(pod);
  }

  get pod(): Pod {
    return this.#pod;
  }

  get state(): InstanceState {
    return this.#state;
  }

  /** Counted by Driver.scaleUp. */
  get isActive(): boolean {
    return this.#state === 'starting' || this.#state === 'ready' || this.#state === 'unhealthy';
  }

  snapshot(): Instance {
    const instance: Instance = {
      id: this.id,
      state: this.#state,
      address: this.#address === null ? null : { ...this.#address },
      weight: 1,
      pid: null,
      startedAtMs: Date.parse(this.#pod.metadata.creationTimestamp ?? '') || 0,
      readyAtMs: this.#readyAtMs,
      reason: this.#reason,
    };
    if (this.#ports !== null) instance.ports = { ...this.#ports };
    return instance;
  }

  /** Tells that it is there, with the state that it has already. */
  begin(): void {
    this.#place();
    const settledMs = this.#around.clock.wallMs() - this.#readySinceMs();
    if (isTerminating(this.#pod) || hasEnded(this.#pod)) {
      this.update(this.#pod);
      return;
    }
    if (isReady(this.#pod)) {
      this.#knownReady = true;
      if (this.#isPlaced && (this.#kubeletDecides || settledMs > SETTLED_MS)) {
        this.#becomeReady(this.#readySinceMs());
        return;
      }
    } else if (this.#isPlaced && wasReady(this.#pod)) {
      this.#knownReady = true;
      this.#againstByKubelet = notReadyReason(this.#pod);
      this.#move('unhealthy', this.#againstByKubelet);
      this.#startHealth();
      return;
    }
    this.#around.changed(this);
    this.#look();
  }

  /** A new version of its object, or its Service has changed. */
  update(pod: Pod): void {
    this.#pod = pod;
    if (!this.isActive && this.#state !== 'stopping') return;
    if (hasEnded(pod)) {
      this.end(endReason(pod));
      return;
    }
    if (isTerminating(pod)) {
      this.#silence();
      this.#move('stopping', 'the pod is being deleted');
      return;
    }
    if (this.#place()) this.#around.changed(this);
    this.#look();
  }

  suspect(): void {
    if (this.#state === 'ready' || this.#state === 'unhealthy') this.#health?.suspect();
  }

  /** Its pod is not there any more, or is of no interest. */
  end(reason: string): void {
    this.#silence();
    this.#move('gone', reason);
  }

  /** Takes up its address; true when that has changed. What is known of the old address says nothing of the new one. */
  #place(): boolean {
    const host = hostOf(this.#pod);
    const ports = this.#around.portsOf(this.#pod);
    const [port] = ports.values();
    const address = host === null || port === undefined ? null : { host, port };
    const before = this.#address;
    const portsBefore = JSON.stringify(this.#ports);
    this.#ports = address === null ? null : Object.fromEntries(ports);
    if (before?.host === address?.host && before?.port === address?.port)
      return portsBefore !== JSON.stringify(this.#ports);
    this.#address = address;
    if (before === null) return true;
    this.#silence();
    this.#againstByChecks = null;
    if (this.#state === 'ready' || this.#state === 'unhealthy') {
      this.#againstByKubelet = null;
      this.#state = 'starting';
      this.#readyAtMs = 0;
      this.#reason = '';
    }
    return true;
  }

  /** It has the address that it is to have. */
  get #isPlaced(): boolean {
    return this.#address !== null || !this.#around.listens;
  }

  get #kubeletDecides(): boolean {
    return this.#around.ready === 'pod' || !this.#around.listens;
  }

  #look(): void {
    if (isReady(this.#pod)) this.#kubeletAgrees();
    else this.#kubeletDisagrees();
  }

  #kubeletAgrees(): void {
    this.#knownReady = true;
    this.#restarts = restarts(this.#pod);
    if (!this.#isPlaced) return;
    if (this.#state === 'starting') {
      if (this.#kubeletDecides || this.#unreachable) this.#becomeReady(this.#around.clock.wallMs());
      else this.#probe();
      return;
    }
    this.#againstByKubelet = null;
    this.#stopProbing();
    this.#judge();
  }

  #kubeletDisagrees(): void {
    if (this.#state === 'starting') {
      if (!this.#kubeletDecides && startTrouble(this.#pod) === null) this.#probe();
      else this.#stopProbing();
      return;
    }
    const count = restarts(this.#pod);
    const restarted = count > this.#restarts;
    this.#restarts = count;
    if (this.#knownReady || restarted || startTrouble(this.#pod) !== null) {
      const reason = notReadyReason(this.#pod);
      const isNew = this.#againstByKubelet === null;
      this.#againstByKubelet = reason;
      if (isNew) this.#judge();
    }
    if (restarted) this.#knownReady = false;
    const runs = this.#pod.status?.containerStatuses?.every(({ state }) => state?.running !== undefined) === true;
    if (!runs) this.#stopProbing();
    // Its containers run anew: the port tells sooner than the kubelet that it is back.
    else if (!this.#knownReady && this.#againstByKubelet !== null && !this.#kubeletDecides) this.#probe();
  }

  #probe(): void {
    const { health, speech, pace, clock } = this.#around;
    if (this.#stopProbe !== null || this.#address === null) return;
    this.#stopProbe = probePod({
      target: this.#address,
      http: health?.path == null ? null : { path: health.path, status: health.status },
      speech,
      pace,
      clock,
      ready: () => {
        this.#stopProbe = null;
        this.#againstByKubelet = null;
        if (this.#state === 'starting') this.#becomeReady(clock.wallMs());
        else this.#judge();
      },
      unreachable: () => {
        this.#unreachable = true;
        if (!isReady(this.#pod) || this.#state !== 'starting') return;
        this.#around.unreachable(this);
        this.#becomeReady(clock.wallMs());
      },
    });
  }

  #becomeReady(atMs: number): void {
    this.#stopProbing();
    this.#readyAtMs = atMs;
    this.#move('ready', '');
    this.#startHealth();
  }

  #judge(): void {
    const against = this.#againstByKubelet ?? this.#againstByChecks;
    if (against === null) {
      if (this.#state !== 'unhealthy') return;
      if (this.#readyAtMs === 0) this.#readyAtMs = this.#around.clock.wallMs();
      this.#move('ready', '');
    } else if (this.#state === 'ready') this.#move('unhealthy', against);
  }

  #startHealth(): void {
    if (this.#address === null) return;
    const { health, speech, random } = this.#around;
    this.#health = new HealthCheck({
      target: this.#address,
      speech,
      config: health ?? ON_SUSPICION,
      when: health === null ? 'suspected' : 'always',
      decideAtOnce: false,
      random,
      changed: (healthy, reason) => {
        this.#againstByChecks = healthy ? null : reason;
        this.#judge();
      },
    });
    this.#health.start();
  }

  #stopProbing(): void {
    this.#stopProbe?.();
    this.#stopProbe = null;
  }

  #silence(): void {
    this.#stopProbing();
    this.#health?.stop();
    this.#health = null;
  }

  #move(state: InstanceState, reason: string): void {
    if (this.#state === state || this.#state === 'gone') return;
    this.#state = state;
    this.#reason = reason;
    this.#around.changed(this);
  }

  #readySinceMs(): number {
    return Date.parse(condition(this.#pod, 'Ready')?.lastTransitionTime ?? '') || this.#around.clock.wallMs();
  }
}

function endReason({ status, metadata }: Pod): string {
  const why = status?.reason ?? (status?.phase === 'Succeeded' ? 'its containers ended' : 'its containers failed');
  return `pod ${metadata.name} has ended: ${why}${status?.message ? `: ${status.message}` : ''}`;
}
