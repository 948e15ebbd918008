/** An exact account of everything that clients sent: each request has a line, and a line is answered, lost or still under way. */

export type Kind = 'fresh' | 'kept' | 'grpc' | 'websocket';

export interface Line {
  id: string;
  kind: Kind;
  method: 'GET' | 'POST';
  /** Wall clock ms. */
  atMs: number;
  tookMs: number;
  /** undefined: under way; null: answered. Otherwise what went wrong. */
  lost?: string | null;
  /** On a connection made straight to a pod, on which requests had been answered before. */
  pinned: boolean;
  /** A GET that was written to a kept connection as the server closed it, sent once more on a fresh one as every client does (RFC 9112, 9.3.1). */
  retried: boolean;
}

export class Ledger {
  readonly #run: string;
  readonly #lines: Line[] = [];
  readonly #ended = new Set<() => void>();
  #open = 0;

  /** Ids begin with `run`. */
  constructor(run: string) {
    this.#run = run;
  }

  begin(kind: Kind, method: Line['method']): Line {
    const line: Line = {
      id: `${this.#run}-${this.#lines.length}`,
      kind,
      method,
      atMs: Date.now(),
      tookMs: 0,
      pinned: false,
      retried: false,
    };
    this.#lines.push(line);
    this.#open++;
    return line;
  }

  /** `lost`: null when it was answered. The first word counts. */
  end(line: Line, lost: string | null): void {
    if (line.lost !== undefined) return;
    line.lost = lost;
    line.tookMs = Date.now() - line.atMs;
    this.#open--;
    if (this.#open === 0) for (const told of [...this.#ended]) told();
  }

  get open(): number {
    return this.#open;
  }

  /** Resolves when nothing is under way. Everything has a bound of its own. */
  settled(): Promise<void> {
    if (this.#open === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const told = (): void => {
        this.#ended.delete(told);
        resolve();
      };
      this.#ended.add(told);
    });
  }

  get lines(): readonly Line[] {
    return this.#lines;
  }

  get lost(): Line[] {
    return this.#lines.filter(({ lost }) => lost !== undefined && lost !== null);
  }
}
