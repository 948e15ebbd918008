import type { LimitDecision, RedisLimitSpec } from '../limits/shared-limits.ts';
import type { RequestEdit } from './edits.ts';
import type { Answer, Filter, FilterContext } from './filter.ts';
import { compileLimitKey, type LimitKeyOptions, type MissingKey } from './limit-key.ts';
import { problemAnswer } from './problem-answer.ts';
import { rateFields, type RateFieldsKind } from './rate-limit-fields.ts';

export interface RateLimitOptions {
  limit: number;
  windowMs: number;
  burst: number;
  key: LimitKeyOptions;
  missing: MissingKey;
  maxKeys: number;
  /** Limits of one name share their buckets; null: this place in the file alone has them. */
  name: string | null;
  redis: RedisLimitSpec | null;
  fields: RateFieldsKind;
  status: number;
}

/** Lets so many requests of a key pass per time, with bursts. docs/limits.md. */
export function rateLimit(options: RateLimitOptions, context: FilterContext): Filter {
  const { limit, windowMs, burst, maxKeys, redis } = options;
  const { route } = context;
  const id = limitId(options.name, context);
  const limiter = context.services.limits.rate({ id, route, limit, windowMs, burst, maxKeys, redis });
  const keyOf = compileLimitKey(options.key, options.missing);
  const addFields = rateFields(options.fields, options.name ?? options.key.by, { limit, windowMs, burst });
  const unavailable = problemAnswer(
    503,
    'rate-limit-unavailable',
    'Whether you may send this request could not be found out.',
    'Retry-After: 1\r\n',
  );
  // A flood is refused with the same words each time.
  let refusedSeconds = 0;
  let refusal: Answer | null = null;
  const decide = (edit: RequestEdit, decision: LimitDecision): Answer | null => {
    if (!decision.counted) return decision.allowed ? null : unavailable;
    addFields(edit, decision);
    if (decision.allowed) return null;
    const seconds = Math.max(1, Math.ceil(decision.retryAfterMs / 1000));
    if (refusal === null || refusedSeconds !== seconds) {
      refusedSeconds = seconds;
      refusal = problemAnswer(
        options.status,
        'rate-limited',
        `Too many requests: the next one is answered in ${seconds} s.`,
        `Retry-After: ${seconds}\r\n`,
      );
    }
    return refusal;
  };
  return {
    request(edit) {
      const key = keyOf(edit);
      if (key === null) return null;
      const decision = limiter.take(key);
      return decision instanceof Promise ? decision.then((late) => decide(edit, late)) : decide(edit, decision);
    },
    close: () => limiter.close(),
  };
}

/** The same for all matches of a rule and after a reload. */
export function limitId(name: string | null, { route, ruleIndex, index }: FilterContext): string {
  return name === null ? `${route}/${ruleIndex}/${index}` : `name/${name}`;
}
