/**
 * Makes dist/ from src/: the modules that the commands reach, with their types stripped in place (lines and columns stay, so that a
 * stack trace of the package fits the sources) and `.ts` in relative names turned into `.js`. `npm pack` runs it.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync, globSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { stripTypeScriptTypes } from 'node:module';

const root = join(import.meta.dirname, '..');
const source = join(root, 'src');
const target = join(root, 'dist');

/** A string that names a file beside this one, as imports, `import()` and `new URL('./worker.ts', import.meta.url)` write it. */
const RELATIVE_NAME = /(?<quote>['"])(?<path>\.{1,2}\/[^'"\n]*?)\.ts\k<quote>/g;
/** A file that is read at run time, from its place beside the module. */
const ASSET = /new URL\(\s*['"](?<path>\.{1,2}\/[^'"\n]+\.(?:html|css|svg|json|txt|proto))['"],\s*import\.meta\.url/g;

export function build(): string[] {
  rmSync(target, { recursive: true, force: true });
  const written = new Set<string>();
  const commands = globSync('commands/**/*.ts', { cwd: source }).filter((path) => !/\.(test|contract)\.ts$/.test(path));
  const queue = [...commands, PLUGIN_TYPES];
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    if (written.has(path)) continue;
    written.add(path);
    const typescript = readFileSync(join(source, path), 'utf8');
    const javascript = stripTypeScriptTypes(typescript);
    write(path.replace(/\.ts$/, '.js'), javascript.replace(RELATIVE_NAME, '$<quote>$<path>.js$<quote>'));
    for (const match of javascript.matchAll(RELATIVE_NAME)) queue.push(beside(path, `${match.groups?.['path']}.ts`));
    for (const match of javascript.matchAll(ASSET)) copy(beside(path, match.groups?.['path'] ?? ''));
  }
  declarePluginTypes();
  return [...written].toSorted();
}

/** What authors of plugins import types from: with declarations, and those of what it refers to. */
const PLUGIN_TYPES = 'plugins/plugin.ts';

function declarePluginTypes(): void {
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  const options = [
    ...['--ignoreConfig', '--declaration', '--emitDeclarationOnly', '--rootDir', source, '--outDir', target],
    ...['--target', 'es2024', '--lib', 'es2024,esnext.disposable', '--module', 'nodenext', '--types', 'node'],
    ...['--strict', '--skipLibCheck', '--allowImportingTsExtensions', '--noImplicitOverride'],
  ];
  const { status, stdout } = spawnSync(process.execPath, [compiler, ...options, join(source, PLUGIN_TYPES)], {
    cwd: root,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the declarations of plugins can't be written:\n${stdout}`);
  for (const path of globSync('**/*.d.ts', { cwd: target })) {
    const file = join(target, path);
    writeFileSync(file, readFileSync(file, 'utf8').replace(RELATIVE_NAME, '$<quote>$<path>.js$<quote>'));
  }
}

function beside(path: string, name: string): string {
  return join(dirname(path), name).split(sep).join('/');
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(target, path)), { recursive: true });
  writeFileSync(join(target, path), text);
}

/** Files outside src/ (package.json) are in the package at the same distance from dist/ as from src/. */
function copy(path: string): void {
  if (path.startsWith('../')) return;
  mkdirSync(dirname(join(target, path)), { recursive: true });
  cpSync(join(source, path), join(target, path));
}

// Stripping is marked experimental; nothing else in here warns, and a package is built by people who can't act on it.
process.removeAllListeners('warning');
const modules = build();
console.error(`${modules.length} modules built into ${relative(process.cwd(), target) || '.'}`);
