/** What the controller of this process knows. It notes who was told that a backend is not wanted: KEDA may act on that later. */
import type { Controller } from '../../controller/index.ts';
import type { ScaleMetric } from '../../model/demand.ts';
import type { Clock } from '../../model/ports.ts';
import { orAwake } from '../../model/scale-metrics.ts';
import { unavailableFigures, unknownFigures, type Figure, type FiguresSource, type ScaleFigures } from './figures.ts';

/** Older figures of requests are no answer, ms: whoever scales stands still rather than by them. */
export const MAX_AGE_MS = 5000;
/** How long sources may take to be asked anew, ms: what they said last is given then, with its time. */
const REFRESH_MS = 1000;
/** As the controller calls what requests have, or may have, a part in. */
const OF_REQUESTS: ReadonlySet<string> = new Set(['http', 'formula']);

export interface LeaderFiguresOptions {
  clock: Clock;
  controller: Pick<Controller, 'wanted' | 'onWanted' | 'scaleMetrics' | 'gateways'>;
  /** Has the sources of its triggers asked anew whose last answer is older; never rejects. */
  refresh(backend: string, maxAgeMs: number, signal: AbortSignal): Promise<void>;
}

export class LeaderFigures implements FiguresSource {
  readonly #options: LeaderFiguresOptions;
  readonly #told = new Set<string>();
  readonly #listeners = new Set<(backend: string) => void>();
  readonly #stop: () => void;
  /** When a gateway was on the link last, monotonic. */
  #heardMs: number;

  constructor(options: LeaderFiguresOptions) {
    this.#options = options;
    this.#heardMs = options.clock.nowMs();
    this.#stop = options.controller.onWanted((backend, wanted) => {
      if (!wanted) this.#told.delete(backend);
      else for (const listener of this.#listeners) listener(backend);
    });
  }

  async get(backend: string, signal: AbortSignal, fresh = false): Promise<ScaleFigures> {
    const { controller, refresh } = this.#options;
    if (fresh) await refresh(backend, MAX_AGE_MS, AbortSignal.any([signal, AbortSignal.timeout(REFRESH_MS)]));
    const wanted = controller.wanted(backend);
    const metrics = controller.scaleMetrics(backend);
    if (metrics === null) throw unknownFigures(backend);
    if (wanted === null) throw unavailableFigures(`it is not known yet what runs of ${backend}`);
    if (!wanted) this.#told.add(backend);
    return { wanted, metrics: this.#figures(metrics, wanted) };
  }

  /** Whether somebody may have heard that it is not wanted since that was so last. */
  wasTold(backend: string): boolean {
    return this.#told.has(backend);
  }

  onWanted(listener: (backend: string) => void): () => void {
    const own = (backend: string): void => listener(backend);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  close(): void {
    this.#stop();
    this.#listeners.clear();
  }

  #figures(metrics: readonly ScaleMetric[], wanted: boolean): Figure[] {
    const { clock, controller } = this.#options;
    if (controller.gateways().length > 0) this.#heardMs = clock.nowMs();
    // Without gateways nobody knows of requests, which is not the same as none.
    const isDeaf = clock.nowMs() - this.#heardMs > MAX_AGE_MS;
    return orAwake(metrics, wanted, clock.wallMs()).map((metric) => ({
      ...metric,
      isStale: isDeaf && OF_REQUESTS.has(metric.name),
    }));
  }
}
