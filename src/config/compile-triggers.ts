/** Triggers of a backend, what http: among them says of its scale, and the formula over them. */
import type { CredentialName, CredentialSources } from '../model/credentials.ts';
import { SECRET_CREDENTIALS } from '../model/credentials.ts';
import type { BackendConfig, FormulaConfig, ScaleConfig } from '../model/config.ts';
import type { NamedFile } from '../model/named-file.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import { formulaName, readFormula } from './formula.ts';
import type { NamedFiles } from './named-files.ts';
import { isMapping } from './plain-data.ts';
import type { BackendEntry } from './schema/backend.ts';
import type { PluginParts } from './schema/file.ts';

/** The name that requests have among triggers, and the trigger that says how they count. */
const HTTP = 'http';

export interface TriggersContext {
  files: NamedFiles;
  plugins: PluginParts | undefined;
  inCluster: boolean;
  problems: Problem[];
}

export function compileTriggers(entry: BackendEntry, at: Path, context: TriggersContext): BackendConfig['triggers'] {
  const { problems, plugins } = context;
  const seen = new Set<string>();
  if (entry.triggers.length > 0 && entry.servers !== undefined) {
    const hint = 'remove it: triggers start and stop what dormouse runs';
    problems.push(problem([...at, 'triggers'], 'has no effect on servers: that somebody else runs', hint));
  }
  if (entry.triggers.filter(({ type }) => type === HTTP).length > 1)
    problems.push(problem([...at, 'triggers'], 'has http more than once', 'keep one of them'));
  return entry.triggers.map(({ name = '', type, options }, index) => {
    const path = [...at, 'triggers', index];
    const called = name === '' ? type : name;
    const own = plugins?.triggers[type] === undefined;
    if (seen.has(formulaName(called))) {
      const message = `${called} is the name of another trigger`;
      problems.push(problem(path, message, 'give each a name: of its own'));
    } else if (called === HTTP && type !== HTTP)
      problems.push(problem([...path, 'name'], 'http is the name of what requests ask for', 'write another name'));
    seen.add(formulaName(called));
    if (!own) return { name: called, type, options };
    compileCredentials(options, [...path, type], context);
    return { name: called, type, options };
  });
}

/** Paths become absolute (in place). What many may read holds no secret, and a file names no Secret. */
function compileCredentials(options: unknown, at: Path, { files, inCluster, problems }: TriggersContext): void {
  if (!isMapping(options)) return;
  const holder = isMapping(options['server']) ? options['server'] : options;
  const credentials = holder['credentials'] as CredentialSources | undefined;
  if (credentials === undefined) return;
  for (const [name, file] of Object.entries(credentials.files) as [CredentialName, unknown][])
    credentials.files[name] = files.path((file as NamedFile).written, [...at, `${name}File`]);
  if (!inCluster && credentials.secret !== null) {
    const hint = 'it is for objects of a cluster: write password: ${NAME} or passwordFile here';
    problems.push(problem([...at, 'authentication'], 'names a Secret of a cluster', hint));
  }
  for (const name of inCluster ? SECRET_CREDENTIALS : []) {
    if (credentials.given[name] === undefined) continue;
    const hint = 'put it into a Secret and name that: authentication: { secret: NAME }';
    problems.push(problem([...at, name], 'has no place in an object that others may read', hint));
  }
}

/** scale.target, or what an http trigger says in its place. */
export function httpTarget(entry: BackendEntry, at: Path, problems: Problem[]): ScaleConfig['target'] | null {
  const http = entry.triggers.find(({ type }) => type === HTTP);
  if (http === undefined) return null;
  const { concurrency, rps } = entry.scale.target;
  if (concurrency !== undefined || rps !== undefined) {
    const hint = 'keep one of them';
    problems.push(problem([...at, 'scale', 'target'], 'says the same as the trigger http', hint));
  }
  return http.options as ScaleConfig['target'];
}

export function compileFormula(entry: BackendEntry, at: Path, problems: Problem[]): FormulaConfig | null {
  const { formula } = entry.scale;
  if (formula === undefined) return null;
  const path: Path = [...at, 'scale', 'formula', ...(typeof formula === 'string' ? [] : ['expression'])];
  const written = typeof formula === 'string' ? { expression: formula } : formula;
  if (written.activationTarget !== undefined && written.target === undefined) {
    const hint = 'add target: what one instance is meant to have';
    problems.push(problem([...path.slice(0, -1), 'activationTarget'], 'has no meaning without target', hint));
  }
  const names: Record<string, string> = {};
  for (const { name = '', type } of entry.triggers) {
    const called = name === '' ? type : name;
    names[formulaName(called)] = called;
  }
  if (!entry.triggers.some(({ type }) => type === HTTP)) names[HTTP] = HTTP;
  const expression = readFormula(written.expression, Object.keys(names));
  if ('message' in expression) {
    problems.push(problem(path, expression.message, expression.hint));
    return null;
  }
  return {
    text: written.expression.replaceAll(/\s+/g, ' ').trim(),
    expression,
    names,
    target: written.target ?? null,
    activationTarget: written.activationTarget ?? 0,
  };
}
