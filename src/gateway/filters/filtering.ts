import type { RequestHead } from '../../http1/request-head.ts';
import type { RequestTrace } from '../tracing/tracer.ts';
import type { RequestBody } from '../upstream/request-body.ts';
import type { CompiledFilters } from './compile-filters.ts';
import type { RequestEdit } from './edits.ts';
import type { Answer, BodyStep } from './filter.ts';

export interface FilteringOwner {
  readonly body: RequestBody;
  /** null: nobody wants to know how long things take. */
  readonly trace: RequestTrace | null;
  nowMs(): number;
  /** The client waits to be asked for the body (Expect: 100-continue), and is. */
  askForBody(): void;
  /** The body is read on. */
  readBody(): void;
  /** No filter minds. `replaced`: the body that is sent instead of the received one has this length; -1: it goes as it comes. */
  onFiltered(head: RequestHead, edit: RequestEdit, replaced: number): void;
  onFilterAnswer(answer: Answer): void;
  onFilterFailed(error: unknown): void;
  onBodyOver(limitBytes: number): void;
}

/**
 * A request that filters keep waiting: for something that they have asked (a promise), or for its whole body. The head stays good meanwhile (the
 * owner keeps it), and `edit` belongs to this request alone.
 */
export class Filtering {
  /** The body is collected up to this many bytes; 0: a filter waits for something else. */
  limitBytes = 0;
  private readonly owner: FilteringOwner;
  private readonly head: RequestHead;
  readonly edit: RequestEdit;
  private readonly filters: CompiledFilters;
  private over = false;
  private steps: BodyStep[] = [];
  /** When the body began to be waited for, with a trace. */
  private collectingSinceMs = 0;

  constructor(owner: FilteringOwner, head: RequestHead, edit: RequestEdit, filters: CompiledFilters) {
    this.owner = owner;
    this.head = head;
    this.edit = edit;
    this.filters = filters;
  }

  /** The client has left, or was answered: whatever settles from now on is ignored. */
  stop(): void {
    this.over = true;
    this.edit.abandoned = true;
  }

  wait(verdict: Promise<Answer | null>): void {
    verdict.then(
      (answer) => {
        if (this.over) return;
        if (answer !== null) this.answer(answer);
        else this.toBody();
      },
      (error: unknown) => this.fail(error),
    );
  }

  /** The steps that want the body, if any; else the request goes on. */
  toBody(): void {
    if (this.filters.bodySteps === null) {
      this.pass(-1);
      return;
    }
    try {
      this.steps = this.filters.bodySteps.filter((step) => step.wants(this.edit));
    } catch (error) {
      this.fail(error);
      return;
    }
    if (this.steps.length === 0) {
      this.pass(-1);
      return;
    }
    this.limitBytes = Math.min(...this.steps.map((step) => step.limitBytes));
    const { body, trace } = this.owner;
    if (trace !== null) this.collectingSinceMs = this.owner.nowMs();
    if (this.head.contentLength > this.limitBytes || body.received > this.limitBytes) this.tooLarge();
    else if (body.done) this.onBodyDone();
    else {
      this.owner.askForBody();
      this.owner.readBody();
    }
  }

  /** More of the body has come and was kept. */
  onBody(): void {
    if (this.limitBytes > 0 && this.owner.body.received > this.limitBytes) this.tooLarge();
  }

  onBodyDone(): void {
    if (this.limitBytes === 0 || this.over) return;
    void this.runSteps();
  }

  private async runSteps(): Promise<void> {
    const { body, trace } = this.owner;
    if (trace !== null) trace.collected(this.collectingSinceMs, this.owner.nowMs());
    let content = body.whole();
    let changed = false;
    try {
      for (const step of this.steps) {
        const fromMs = trace === null ? 0 : this.owner.nowMs();
        const made = step.run(this.edit, content);
        const result = made instanceof Promise ? await made : made;
        if (trace !== null) trace.filter(this.filters.bodyStepNames.get(step)!, fromMs, this.owner.nowMs());
        if (this.over) return;
        if (result === null) continue;
        if (Buffer.isBuffer(result)) {
          content = result;
          changed = true;
        } else {
          this.answer(result);
          return;
        }
      }
    } catch (error) {
      this.fail(error);
      return;
    }
    if (changed) body.replace(content);
    this.pass(changed ? content.length : -1);
  }

  private pass(replaced: number): void {
    this.over = true;
    this.owner.onFiltered(this.head, this.edit, replaced);
  }

  private answer(answer: Answer): void {
    this.over = true;
    this.owner.onFilterAnswer(answer);
  }

  private fail(error: unknown): void {
    if (this.over) return;
    this.over = true;
    this.owner.onFilterFailed(error);
  }

  private tooLarge(): void {
    this.over = true;
    this.owner.onBodyOver(this.limitBytes);
  }
}
