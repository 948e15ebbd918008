/** Regular expressions of the configuration, run in linear time (re2js), so that no request can make one slow. */
import { RE2JS } from 're2js';
import { DormouseError } from '../../model/errors.ts';

export class Pattern {
  readonly #expression: RE2JS;
  /** Every text that matches begins with this; may be empty. */
  readonly literalPrefix: string;

  /** Throws DORMOUSE_ROUTE_PATTERN when re2 can't compile it (look-around and back-references are not in RE2's syntax). */
  constructor(source: string, place: string) {
    try {
      this.#expression = RE2JS.compile(source);
    } catch (cause) {
      throw new DormouseError(
        'DORMOUSE_ROUTE_PATTERN',
        `${place}: "${source}" is not a regular expression of RE2's syntax (${(cause as Error).message}); write it without look-around and back-references`,
        { cause, userFault: true },
      );
    }
    this.literalPrefix = literalPrefix(source);
  }

  /** True when the whole text matches. */
  matches(text: string): boolean {
    return this.#expression.testExact(text);
  }

  /** Like `matches`, on a header value: latin1 as received, matched as the UTF-8 that it most likely is. */
  matchesLatin1(value: string): boolean {
    return this.#expression.testExact(isAscii(value) ? value : Buffer.from(value, 'latin1').toString('utf8'));
  }
}

/**
 * The literal text that every match begins with: lets a path that differs there skip the expression. Cautious: an alternative anywhere, or
 * a flag group in front, gives none.
 */
export function literalPrefix(source: string): string {
  if (source.includes('|')) return '';
  const from = source.startsWith('^') ? 1 : 0;
  let end = from;
  while (end < source.length && !'\\^$.|?*+()[]{}'.includes(source[end]!)) end++;
  const next = source[end];
  // `ab*` and `ab{0}` may match without the b.
  if (next !== undefined && '?*{'.includes(next)) end--;
  return source.slice(from, Math.max(from, end));
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7e) return false;
  return true;
}
