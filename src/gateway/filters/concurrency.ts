import type { RequestEdit } from './edits.ts';
import type { Answer, Filter, FilterContext } from './filter.ts';
import { compileLimitKey, type LimitKeyOptions, type MissingKey } from './limit-key.ts';
import { problemAnswer } from './problem-answer.ts';
import { limitId } from './rate-limit.ts';

export interface ConcurrencyOptions {
  max: number;
  per: LimitKeyOptions;
  missing: MissingKey;
  name: string | null;
  status: number;
  retryAfterSeconds: number;
}

/** Lets so many requests of a key be in flight at once: from here to the end of the response, holds included. docs/limits.md. */
export function concurrency(options: ConcurrencyOptions, context: FilterContext): Filter {
  const { max, retryAfterSeconds } = options;
  const limiter = context.services.limits.concurrency({
    id: limitId(options.name, context),
    route: context.route,
    max,
  });
  const keyOf = compileLimitKey(options.per, options.missing);
  const refusal = problemAnswer(
    options.status,
    'concurrency-limited',
    'Too many requests are being answered at once.',
    `Retry-After: ${retryAfterSeconds}\r\n`,
  );

  const wait = async (edit: RequestEdit, key: string, entering: Promise<boolean>): Promise<Answer | null> => {
    // Before it is known: the client may be gone by then.
    let over = false;
    let entered = false;
    edit.atEnd(() => {
      over = true;
      if (entered) limiter.leave(key);
    });
    entered = await entering;
    if (entered && over) limiter.leave(key);
    return entered ? null : refusal;
  };

  return {
    request(edit) {
      const key = keyOf(edit);
      if (key === null) return null;
      const entered = limiter.enter(key);
      if (typeof entered !== 'boolean') return wait(edit, key, entered);
      if (!entered) return refusal;
      edit.atEnd(() => limiter.leave(key));
      return null;
    },
    close: () => limiter.close(),
  };
}
