import { DormouseError } from '../model/errors.ts';

/** Where a key or value stands in the file's data: `['routes', 0, 'backend']`. */
export type Path = readonly (string | number)[];

/** One thing that is wrong with the file. `line` and `column` count from 1; both are 0 when the file as a whole is meant. */
export interface ConfigIssue {
  file: string;
  line: number;
  column: number;
  /** Dotted path of the key, empty when the file as a whole is meant. */
  key: string;
  message: string;
  /** What to do about it; may be empty. */
  hint: string;
}

/** What a check found, before its place in the file is known. */
export interface Problem {
  path: Path;
  message: string;
  hint?: string;
  /** The key is meant, not the value that stands under it. */
  atKey?: boolean;
  /** Offset in the text, when the reader of the text knows it; otherwise the place is found by the path. */
  offset?: number;
}

/** At most this many issues are collected; the rest is a count. */
export const MAX_ISSUES = 20;

/**
 * The file can't be used. The message has one line per issue, as compilers print them: `dormouse.yaml:12:5 backends.shop.scale.mx: unknown key;
 * did you mean "max"?`.
 */
export class ConfigError extends DormouseError {
  readonly issues: readonly ConfigIssue[];
  /** How many there are beside those. */
  readonly more: number;

  constructor(
    code: 'DORMOUSE_CONFIG_INVALID' | 'DORMOUSE_CONFIG_UNREADABLE',
    issues: readonly ConfigIssue[],
    options: { cause?: unknown; more?: number } = {},
  ) {
    const lines = issues.map(renderIssue);
    if (options.more) lines.push(`and ${options.more} more`);
    super(code, lines.join('\n'), { cause: options.cause, userFault: true });
    this.name = 'ConfigError';
    this.issues = issues;
    this.more = options.more ?? 0;
  }
}

export function renderIssue(issue: ConfigIssue): string {
  const place = issue.line > 0 ? `${issue.file}:${issue.line}:${issue.column}` : issue.file;
  const subject = issue.key === '' ? `${place}: ` : `${place} ${issue.key}: `;
  return subject + issue.message + (issue.hint === '' ? '' : `; ${issue.hint}`);
}

/** `backends.shop.scale.max`, `routes[0].hosts[1]`; a name that is not a plain word is quoted: `backends["api.v2"]`. */
export function dotted(path: Path): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else if (!/^[\w-]{1,80}$/.test(part))
      text += `[${JSON.stringify(part.length > 80 ? `${part.slice(0, 77)}...` : part)}]`;
    else text += text === '' ? part : `.${part}`;
  }
  return text;
}

/** A value as an error message shows it: short, on one line. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a mapping';
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 57)}...` : value);
  return String(value);
}
