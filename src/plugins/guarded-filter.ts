/** A plugin's filter as the gateway knows filters: whatever goes wrong in it ends in a 500 on its route, a line in the log and a count. */
import type { BodyOutput, BodyTransform } from '../gateway/filters/body-transform.ts';
import type { RequestEdit, ResponseEdit } from '../gateway/filters/edits.ts';
import type { Answer, BodyStep, Filter, FilterFactory, Verdict } from '../gateway/filters/filter.ts';
import { headerLine } from '../gateway/filters/header-line.ts';
import { DormouseError } from '../model/errors.ts';
import type { FilterDefinition, PluginFilter, PluginVerdict } from './plugin.ts';
import type { PluginFailures, PluginPlace } from './plugin-failures.ts';

/** For a promise of a plugin to settle, ms. */
const PROMISE_BOUND_MS = 30_000;

const PROBLEM = JSON.stringify({
  type: 'about:blank',
  title: 'Internal Server Error',
  status: 500,
  detail: 'A plugin of the gateway failed.',
});
const FAILED: Answer = { status: 500, headers: 'content-type: application/problem+json\r\n', body: PROBLEM };

export function guardedFilter(
  place: PluginPlace,
  definition: FilterDefinition,
  failures: PluginFailures,
): FilterFactory {
  return (options, { route, services }) => {
    let made: PluginFilter;
    try {
      made = definition.create(options, {
        route,
        logger: services.logger.child({ plugin: place.plugin, filter: place.part, route }),
      });
      if (typeof made !== 'object' || made === null) throw new TypeError('create returned no filter');
    } catch (error) {
      throw new DormouseError(
        'DORMOUSE_PLUGIN',
        `routes.${route}: filter ${place.part} of plugin ${place.plugin} can't be made: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error, userFault: true },
      );
    }
    return new GuardedFilter(made, place, failures).filter();
  };
}

class GuardedFilter {
  readonly #made: PluginFilter;
  readonly #place: PluginPlace;
  readonly #failures: PluginFailures;

  constructor(made: PluginFilter, place: PluginPlace, failures: PluginFailures) {
    this.#made = made;
    this.#place = place;
    this.#failures = failures;
  }

  filter(): Filter {
    const made = this.#made;
    const filter: Filter = {};
    if (made.request !== undefined) filter.request = (edit) => this.#request(edit);
    if (made.body !== undefined) filter.body = this.#body(made.body);
    if (made.response !== undefined) filter.response = (edit) => this.#response(edit);
    if (made.close !== undefined) filter.close = () => this.#close();
    return filter;
  }

  #request(edit: RequestEdit): Verdict {
    const ends = edit.ends?.length ?? 0;
    try {
      const verdict = this.#made.request!(edit);
      if (!isPromise(verdict)) return verdict === null || verdict === undefined ? null : answerOf(verdict);
      return this.#settled('request', verdict, (settled) => {
        this.#guardEnds(edit, ends);
        return this.#checked('request', settled);
      });
    } catch (error) {
      return this.#failed('request', error);
    } finally {
      this.#guardEnds(edit, ends);
    }
  }

  #body(step: NonNullable<PluginFilter['body']>): BodyStep {
    const limitBytes = Number.isSafeInteger(step.limitBytes) && step.limitBytes > 0 ? step.limitBytes : 1;
    return {
      limitBytes,
      wants: (edit) => {
        try {
          return step.wants(edit) === true;
        } catch (error) {
          this.#failed('body.wants', error);
          // Asked for the body, it answers 500.
          this.#brokenEdit.add(edit);
          return true;
        }
      },
      run: (edit, body) => {
        if (this.#brokenEdit.delete(edit)) return FAILED;
        try {
          const made = step.run(edit, body);
          if (!isPromise(made)) return this.#bodyResult(made);
          return this.#settled('body.run', made, (settled) => this.#bodyResult(settled));
        } catch (error) {
          return this.#failed('body.run', error);
        }
      },
    };
  }

  /** Requests whose `wants` threw. */
  readonly #brokenEdit = new WeakSet<RequestEdit>();

  #bodyResult(made: PluginVerdict | Buffer): Answer | Buffer | null {
    return Buffer.isBuffer(made) ? made : this.#checked('body.run', made);
  }

  #response(edit: ResponseEdit): void {
    const { append, removeNames, status } = edit;
    const transforms = edit.transforms?.length ?? 0;
    try {
      const result: unknown = this.#made.response!(edit);
      // It was told not to wait; a promise that rejects must not end the worker all the same.
      if (isPromise(result)) result.then(undefined, (error: unknown) => this.#failed('response', error));
      if (!Number.isInteger(edit.status) || edit.status < 200 || edit.status > 599)
        throw new RangeError(`the status ${edit.status} is not one of a response`);
    } catch (error) {
      this.#failed('response', error);
      edit.append = append;
      edit.removeNames = removeNames;
      if (edit.transforms !== null) edit.transforms.length = transforms;
      edit.setStatus(edit.bodiless && (status === 204 || status === 304) ? status : 500);
      edit.replaceBody('application/problem+json', Buffer.from(PROBLEM));
    }
    for (const entry of edit.transforms?.slice(transforms) ?? [])
      entry.transform = new GuardedTransform(entry.transform, (what, error) => void this.#failed(what, error));
  }

  #close(): void {
    try {
      const result: unknown = this.#made.close!();
      if (isPromise(result)) result.then(undefined, (error: unknown) => this.#failed('close', error));
    } catch (error) {
      this.#failed('close', error);
    }
  }

  /** The plugin's own verdict in the gateway's form, or 500 when it is none. */
  #checked(what: string, verdict: PluginVerdict): Answer | null {
    if (verdict === null || verdict === undefined) return null;
    try {
      return answerOf(verdict);
    } catch (error) {
      return this.#failed(what, error);
    }
  }

  /** Never rejects, and settles within the bound. */
  #settled<T, R>(what: string, promise: PromiseLike<T>, then: (value: T) => R): Promise<R | Answer> {
    return new Promise((resolve) => {
      const late = setTimeout(() => {
        const error = new Error(`its promise did not settle within ${PROMISE_BOUND_MS / 1000} s`);
        resolve(this.#failed(what, error));
      }, PROMISE_BOUND_MS);
      promise.then(
        (value) => {
          clearTimeout(late);
          resolve(then(value));
        },
        (error: unknown) => {
          clearTimeout(late);
          resolve(this.#failed(what, error));
        },
      );
    });
  }

  /** What the plugin asked to be told of runs in the gateway's own steps. */
  #guardEnds(edit: RequestEdit, from: number): void {
    const { ends } = edit;
    if (ends === null) return;
    for (let index = from; index < ends.length; index++) {
      const over = ends[index]!;
      if (this.#guarded.has(over)) continue;
      const guarded = (): void => {
        try {
          over();
        } catch (error) {
          this.#failed('atEnd', error);
        }
      };
      this.#guarded.add(guarded);
      ends[index] = guarded;
    }
  }

  readonly #guarded = new WeakSet<() => void>();

  #failed(what: string, error: unknown): Answer {
    this.#failures.count(this.#place, what, error);
    return FAILED;
  }
}

/** Throws an Error when it is no answer. */
function answerOf(verdict: unknown): Answer {
  if (typeof verdict !== 'object' || verdict === null)
    throw new TypeError(`it answered ${typeof verdict}, not a response`);
  const { status, headers = {}, body = '' } = verdict as { status?: unknown; headers?: unknown; body?: unknown };
  if (typeof status !== 'number' || !Number.isInteger(status) || status < 200 || status > 599)
    throw new RangeError(`it answered with the status ${String(status)}`);
  if (typeof body !== 'string') throw new TypeError('it answered with a body that is not text');
  if (typeof headers !== 'object' || headers === null)
    throw new TypeError('it answered with headers that are no mapping');
  let lines = '';
  for (const [name, value] of Object.entries(headers))
    for (const one of Array.isArray(value) ? (value as unknown[]) : [value]) lines += headerLine(name, String(one));
  return { status, headers: lines, body };
}

function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | null | undefined)?.then === 'function';
}

/** What it throws breaks the response off, which the client sees; nothing else. */
class GuardedTransform implements BodyTransform {
  readonly #made: BodyTransform;
  readonly #failed: (what: string, error: unknown) => void;
  #output: BodyOutput | null = null;
  #over = false;

  constructor(made: BodyTransform, failed: (what: string, error: unknown) => void) {
    this.#made = made;
    this.#failed = failed;
  }

  start(output: BodyOutput): void {
    this.#output = output;
    this.#try('start', undefined, () => this.#made.start(output));
  }

  write(part: Buffer): boolean {
    return this.#try('write', true, () => this.#made.write(part) !== false);
  }

  end(): void {
    this.#try('end', undefined, () => this.#made.end());
  }

  onDrain(): void {
    this.#try('onDrain', undefined, () => this.#made.onDrain());
  }

  destroy(): void {
    this.#try('destroy', undefined, () => this.#made.destroy());
  }

  #try<T>(what: string, otherwise: T, step: () => T): T {
    if (this.#over) return otherwise;
    try {
      return step();
    } catch (error) {
      this.#over = true;
      this.#failed(`transform.${what}`, error);
      if (what !== 'destroy') this.#output?.fail(error instanceof Error ? error : new Error(String(error)));
      return otherwise;
    }
  }
}
