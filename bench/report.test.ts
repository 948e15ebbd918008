import { strict as assert } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { printTable, writeTables, type Table } from './report.ts';

const table = (id: string, value: string): Table => ({
  id,
  title: id,
  note: 'A note.',
  columns: ['what', 'us'],
  rows: [['x', value]],
});

it('a table that is written again replaces only itself', () => {
  const dir = mkdtempSync(join(tmpdir(), 'dormouse-report-'));
  const path = join(dir, 'benchmarks.md');
  try {
    writeTables(path, [table('a', '1'), table('b', '2')], ['a machine']);
    writeTables(path, [table('a', '3')], ['another machine']);
    const text = readFileSync(path, 'utf8');
    assert.match(text, /^# Benchmarks/);
    assert.equal(text.match(/bench:a/g)?.length, 2);
    assert.match(text, /\| x \| 3 \|[\s\S]*another machine[\s\S]*\| x \| 2 \|[\s\S]*a machine/);
    assert.doesNotMatch(text, /\| x \| 1 \|/);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

it('the printed table lines its columns up', () => {
  assert.match(printTable(table('a', '12.5')), /what {2} {2}us\n-{4} {2}-{4}\nx {5}12\.5/);
});
