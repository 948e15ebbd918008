import { shown } from './config-error.ts';
import type { ConfigIssue } from './config-error.ts';
import type { Expanded } from './expand.ts';

/** Shorter values stand in many messages by chance, and protect nothing as secrets. */
const SHORTEST_SECRET = 4;

/** In what is told of a problem, `${NAME}` stands where the value of an environment variable would. */
export function hideExpanded(issue: ConfigIssue, expanded: readonly Expanded[]): void {
  for (const { written, text } of expanded) {
    if (text.length < SHORTEST_SECRET) continue;
    for (const [found, instead] of [
      // Quoted, and cut when it is long.
      [shown(text), shown(written)],
      [JSON.stringify(text), JSON.stringify(written)],
      [text, written],
    ] as const) {
      issue.message = issue.message.replaceAll(found, () => instead);
      issue.hint = issue.hint.replaceAll(found, () => instead);
    }
  }
}
