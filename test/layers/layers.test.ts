import { strict as assert } from 'node:assert';
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { importsOf, reachedFrom, readEdges, sourcesBelow, type ImportEdge } from './imports.ts';
import { FOR_SCHEMAS, LAYERS, NOT_AT_ONCE_IN_WORKERS, NOT_IN_WORKERS, PACKAGES } from './table.ts';

const root = join(import.meta.dirname, '../..');
const WORKER = 'src/commands/worker.ts';
/** Tests and what only tests import are not shipped: they may reach for a neighbour. */
const forTests = (path: string): boolean => /\.(test|contract|fixture)\.ts$|\/(fixtures|testing)\//.test(path);
const shipped = sourcesBelow(root, 'src').filter((path) => !forTests(path));
const place = (edge: ImportEdge): string => `${edge.from}:${edge.line} imports ${edge.specifier}`;

/** Why this import is against the table, or null. */
function againstLayers(edge: ImportEdge): string | null {
  if (edge.target === null) return null;
  const folder = edge.from.split('/')[1] ?? '';
  const allowed = LAYERS[folder];
  if (allowed === undefined) return `${place(edge)}: src/${folder} is not in the table`;
  if (!edge.target.startsWith('src/')) return `${place(edge)}: it leaves src/`;
  const target = edge.target.slice('src/'.length);
  if (target.startsWith(`${folder}/`)) return null;
  if (edge.from.endsWith('.schema.ts') && FOR_SCHEMAS.includes(target)) return null;
  if (allowed.some((name) => (name.endsWith('.ts') ? target === name : target.startsWith(`${name}/`)))) return null;
  return `${place(edge)}: ${folder} may import ${allowed.length === 0 ? 'nothing' : allowed.join(', ')}`;
}

function againstPackages(edge: ImportEdge): string | null {
  if (edge.target !== null || edge.specifier.startsWith('node:')) return null;
  const name = edge.specifier
    .split('/')
    .slice(0, edge.specifier.startsWith('@') ? 2 : 1)
    .join('/');
  const path = edge.from.slice('src/'.length);
  if ((PACKAGES[name] ?? []).some((where) => path.startsWith(where) || path.endsWith(where))) return null;
  return `${place(edge)}: ${name} may be imported in ${PACKAGES[name]?.join(', ') ?? 'no folder of the table'}`;
}

describe('layers of src/', () => {
  const edges = readEdges(root, shipped);

  it('imports point only where the table allows', () => {
    assert.ok(edges.length > 10, 'the reader of imports found next to nothing');
    assert.deepEqual(edges.map(againstLayers).filter(Boolean), []);
  });

  it('packages are imported only where the table allows', () => {
    assert.deepEqual(edges.map(againstPackages).filter(Boolean), []);
  });

  it('relative imports name files that exist, with their extension', () => {
    const dangling = edges.filter((edge) => edge.target !== null && !existsSync(join(root, edge.target)));
    assert.deepEqual(dangling.map(place), []);
  });

  it('shipped files import no file that only tests use', () => {
    assert.deepEqual(edges.filter((edge) => edge.target !== null && forTests(edge.target)).map(place), []);
  });

  it('a worker process loads no configuration, driver or controller code and no package of theirs', () => {
    assert.ok(existsSync(join(root, WORKER)), `${WORKER} is missing`);
    const among = (list: readonly string[], name: string): boolean =>
      list.some((banned) => (banned.endsWith('/') ? name.startsWith(banned) : name.split('/')[0] === banned));
    const chains = [
      ...[...reachedFrom(root, WORKER)].filter(([name]) => among(NOT_IN_WORKERS, name)),
      ...[...reachedFrom(root, WORKER, false)].filter(([name]) => among(NOT_AT_ONCE_IN_WORKERS, name)),
    ];
    assert.deepEqual(
      chains.map(([, chain]) => chain.join(' -> ')),
      [],
    );
  });

  it('environment and arguments are read in commands/ only', () => {
    const readers = shipped.filter(
      (path) =>
        !path.startsWith('src/commands/') && /\bprocess\.(env|argv)\b/.test(readFileSync(join(root, path), 'utf8')),
    );
    assert.deepEqual(readers, []);
  });

  it('files are named after their subject', () => {
    const names = /^(utils?|helpers?|common|misc|managers?)\b/;
    assert.deepEqual(
      shipped.filter((path) => path.split('/').some((part) => names.test(basename(part, '.ts')))),
      [],
    );
  });
});

describe('the reader of imports', () => {
  it('finds every form of import, with its line, and tells types from values', () => {
    const source = [
      "import net from 'node:net';",
      "import type { A } from '../model/a.ts';",
      'import {',
      '  b,',
      "} from './b.ts';",
      "export * from './c.ts';",
      "import './d.ts';",
      "const e = await import('./e.ts');",
      "// import f from './f.ts';",
      "/* import g from './g.ts'; */",
      "const text = 'from nowhere';",
    ].join('\n');
    assert.deepEqual(
      importsOf('src/link/x.ts', source).map((edge) => [edge.line, edge.target ?? edge.specifier, edge.typeOnly]),
      [
        [1, 'node:net', false],
        [2, 'src/model/a.ts', true],
        [3, 'src/link/b.ts', false],
        [6, 'src/link/c.ts', false],
        [7, 'src/link/d.ts', false],
        [8, 'src/link/e.ts', false],
      ],
    );
  });

  it('an arrow against the table is named with its place', () => {
    const [upwards] = importsOf('src/model/a.ts', "import { Gateway } from '../gateway/gateway.ts';");
    const [interfaceOnly] = importsOf('src/controller/a.ts', "import type { Driver } from '../drivers/driver.ts';");
    const [implementation] = importsOf('src/controller/a.ts', "import { x } from '../drivers/process/x.ts';");
    const [zod] = importsOf('src/gateway/a.ts', "import { z } from 'zod';");
    assert.ok(upwards && interfaceOnly && implementation && zod);
    assert.equal(againstLayers(upwards), 'src/model/a.ts:1 imports ../gateway/gateway.ts: model may import nothing');
    assert.equal(againstLayers(interfaceOnly), null);
    assert.match(againstLayers(implementation) ?? '', /controller may import/);
    assert.match(againstPackages(zod) ?? '', /zod may be imported in config\//);
  });
});
