import { MAX_ISSUES, dotted } from './config-error.ts';
import type { ConfigIssue, Problem } from './config-error.ts';
import { offsetOf, readYamlDocument } from './yaml-document.ts';

/**
 * Problems with file, line and column, in the order of the file, at most MAX_ISSUES. The text is parsed a second time, with positions: that is slow, and
 * only errors pay for it.
 */
export function placeProblems(
  problems: readonly Problem[],
  text: string,
  file: string,
): { issues: ConfigIssue[]; more: number } {
  const needsDocument = problems.some(({ offset, path }) => offset === undefined && path.length > 0);
  const reading = needsDocument ? readYamlDocument(text) : undefined;
  const document = reading !== undefined && 'document' in reading ? reading.document : undefined;
  const placed = problems.slice(0, MAX_ISSUES * 5).map((problem) => ({
    problem,
    offset: problem.offset ?? (document === undefined ? 0 : offsetOf(document, problem.path, problem.atKey)),
  }));
  placed.sort((a, b) => a.offset - b.offset);
  const issues: ConfigIssue[] = [];
  const seen = new Set<string>();
  let more = problems.length - placed.length;
  for (const { problem, offset } of placed) {
    const whole = problem.path.length === 0 && problem.offset === undefined;
    const { line, column } = whole ? { line: 0, column: 0 } : placeAt(text, offset);
    const issue = { file, line, column, key: dotted(problem.path), message: problem.message, hint: problem.hint ?? '' };
    const identity = `${issue.key} ${issue.message}`;
    if (seen.has(identity)) continue;
    seen.add(identity);
    if (issues.length < MAX_ISSUES) issues.push(issue);
    else more++;
  }
  return { issues, more };
}

/** Line and column of an offset, from 1; columns count UTF-16 units. */
export function placeAt(text: string, offset: number): { line: number; column: number } {
  let line = 1;
  let start = 0;
  for (let at = text.indexOf('\n'); at >= 0 && at < offset; at = text.indexOf('\n', at + 1)) {
    line++;
    start = at + 1;
  }
  return { line, column: Math.min(offset, text.length) - start + 1 };
}
