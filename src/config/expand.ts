/**
 * Second step: a copy of the data in which `${NAME}` is replaced from the environment, numbers are numbers, and keys without a value are gone
 * (nothing written means the default). Decisions about text or number that only the schema can make are left open in `soft`.
 */
import type { Path, Problem } from './config-error.ts';
import { AsWritten, isMapping } from './plain-data.ts';
import type { Mapping } from './plain-data.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** A value that came out of an expansion and reads as a number or boolean: `text` is what it was before that. */
export interface SoftValue {
  path: Path;
  text: string;
  holder: Mapping | unknown[];
  key: string | number;
}

/** What `${…}` made of a text. */
export interface Expanded {
  /** As written in the file. */
  written: string;
  text: string;
}

export interface Expansion {
  data: unknown;
  soft: SoftValue[];
  /** Values from the environment: they may be secrets, so that messages show what is written in their place. */
  expanded: Expanded[];
  problems: Problem[];
}

/** Keys at the top level whose null says something: `observe: null` and `admin: null` switch it off. */
const NULL_MEANS_OFF: ReadonlySet<string> = new Set(['observe', 'admin']);

const INSTANCE_VARIABLES: ReadonlySet<string> = new Set(['PORT', 'INSTANCE']);

export function expand(data: unknown, env: Environment): Expansion {
  const soft: SoftValue[] = [];
  const expandedTexts: Expanded[] = [];
  const problems: Problem[] = [];
  const path: (string | number)[] = [];

  const visit = (value: unknown, holder: Mapping | unknown[], key: string | number): unknown => {
    if (typeof value === 'string') return value.includes('$') ? expandText(value, holder, key) : value;
    if (value instanceof AsWritten) return wantsText(path) ? value.source : value.value;
    if (typeof value === 'number' || typeof value === 'boolean') return wantsText(path) ? String(value) : value;
    if (Array.isArray(value)) {
      const list: unknown[] = [];
      for (let index = 0; index < value.length; index++) {
        path.push(index);
        list.push(visit(value[index], list, index));
        path.pop();
      }
      return list;
    }
    if (isMapping(value)) {
      const keepsNulls = inside(path, 'filters', 4) || isProcess(path, 'env') || isPart(path);
      const mapping: Mapping = {};
      for (const name of Object.keys(value)) {
        path.push(name);
        const entry = visit(value[name], mapping, name);
        // A backend of which nothing is said is still one, with something missing.
        if (entry === null && path.length === 2 && path[0] === 'backends') mapping[name] = {};
        else if (entry !== null || keepsNulls || (path.length === 1 && NULL_MEANS_OFF.has(name))) mapping[name] = entry;
        path.pop();
      }
      return mapping;
    }
    return value;
  };

  const expandText = (text: string, holder: Mapping | unknown[], key: string | number): string | number | boolean => {
    let expanded = false;
    const result = text.replace(
      /\$\$|\$\{([^}]*)(\}?)/g,
      (found, body: string | undefined, close: string | undefined) => {
        if (found === '$$') return '$';
        const match = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(body!);
        if (match === null || close !== '}') {
          problems.push({
            path: [...path],
            message: close === '}' ? `${found.slice(0, 40)} is not a variable` : '${ is not closed by }',
            hint: 'write ${NAME} or ${NAME:-default}, and $$ for a dollar',
          });
          return '';
        }
        const name = match[1]!;
        if (INSTANCE_VARIABLES.has(name) && path[0] === 'backends' && path[2] === 'process') {
          if (wantsText(path)) return `\${${name}}`;
          problems.push({
            path: [...path],
            message: `\${${name}} is known in command and env only`,
            hint: 'remove it here',
          });
          return '';
        }
        expanded = true;
        const value = env[name];
        if (value !== undefined && value !== '') expandedTexts.push({ written: `\${${name}}`, text: value });
        // As in a shell, the default stands in for an empty variable too.
        if (match[2] !== undefined) return value === undefined || value === '' ? match[2] : value;
        if (value !== undefined) return value;
        problems.push({
          path: [...path],
          message: `the environment variable ${name} is not set`,
          hint: `set it, or write \${${name}:-default}`,
        });
        return '';
      },
    );
    if (expanded && result !== text) expandedTexts.push({ written: text, text: result });
    if (!expanded || wantsText(path)) return result;
    const typed = readTyped(result);
    if (typed !== undefined) soft.push({ path: [...path], text: result, holder, key });
    return typed ?? result;
  };

  return { data: visit(data, [], 0), soft, expanded: expandedTexts, problems };
}

function readTyped(text: string): number | boolean | undefined {
  if (text === 'true') return true;
  if (text === 'false') return false;
  if (/^-?(?:0|[1-9]\d{0,14})(?:\.\d+)?$/.test(text)) return Number(text);
  return undefined;
}

/** Arguments and variables of a process are text whatever they look like. */
function wantsText(path: Path): boolean {
  return isProcess(path, 'command') || isProcess(path, 'env');
}

function isProcess(path: Path, key: string): boolean {
  return path[0] === 'backends' && path[2] === 'process' && path[3] === key;
}

/** An entry of a list of parts, where a name alone means all defaults: `- udp:`. */
function isPart(path: Path): boolean {
  return (
    (path[0] === 'backends' && path[2] === 'triggers' && path.length >= 4) ||
    (path[0] === 'telemetry' && path[1] === 'metricsSinks' && path.length >= 3)
  );
}

function inside(path: Path, key: string, depth: number): boolean {
  return path[0] === 'routes' && path[depth] === key;
}
