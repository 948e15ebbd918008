/** What this replica of the operator can say: as the leader, or by asking whoever leads. Gateways say to every replica that somebody waits. */
import type { FiguresSource, ScaleFigures } from './figures.ts';

export class ReplicaFigures implements FiguresSource {
  readonly #others: FiguresSource;
  readonly #listeners = new Set<(backend: string) => void>();
  #own: FiguresSource | null = null;
  #stopOwn: (() => void) | null = null;
  readonly #stopOthers: () => void;

  /** `others`: asks the leader. */
  constructor(others: FiguresSource) {
    this.#others = others;
    this.#stopOthers = others.onWanted((backend) => this.wanted(backend));
  }

  /** This replica leads; null: not any more. */
  lead(own: FiguresSource | null): void {
    this.#stopOwn?.();
    this.#own = own;
    this.#stopOwn = own?.onWanted((backend) => this.wanted(backend)) ?? null;
  }

  get leads(): boolean {
    return this.#own !== null;
  }

  /** As the leader alone: null when this replica is not. */
  get own(): FiguresSource | null {
    return this.#own;
  }

  /** Somebody waits for this backend. */
  wanted(backend: string): void {
    for (const listener of this.#listeners) listener(backend);
  }

  get(backend: string, signal: AbortSignal, fresh = false): Promise<ScaleFigures> {
    return (this.#own ?? this.#others).get(backend, signal, fresh);
  }

  onWanted(listener: (backend: string) => void): () => void {
    const own = (backend: string): void => listener(backend);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  close(): void {
    this.lead(null);
    this.#stopOthers();
    this.#listeners.clear();
  }
}
