import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const source = new URL('..', import.meta.url).pathname;
const read = (page: string): string => readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8');

function shippedText(folder: string): string {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.ts') && !/\.(test|contract|fixture)\.ts$|fixtures\//.test(path))
    .map((path) => readFileSync(join(folder, path), 'utf8'))
    .join('\n');
}

test('every metric of the program is in docs/metrics.md, and no other', () => {
  const named = new Set([...shippedText(source).matchAll(/'(dormouse_[a-z_]+)'/g)].map((match) => match[1]!));
  const documented = [...read('metrics.md').matchAll(/^\| `(dormouse_[a-z_]+)` \| (counter|gauge|histogram) \|/gm)].map(
    (match) => match[1]!,
  );
  assert.ok(named.size > 20);
  assert.deepEqual(documented.toSorted(), [...named].sort());
});

test('names follow the conventions: _total on counters only, base units', () => {
  for (const [, name, type] of read('metrics.md').matchAll(
    /^\| `(dormouse_[a-z_]+)` \| (counter|gauge|histogram) \|/gm,
  )) {
    assert.equal(name!.endsWith('_total'), type === 'counter', name!);
    assert.doesNotMatch(name!, /_(ms|milliseconds|kb|mb)(_|$)/);
  }
});

test('every outcome of a request is in docs/access-log.md, and no other', () => {
  const text = readFileSync(join(source, 'gateway/answers.ts'), 'utf8');
  const type = /export type Outcome =([^;]+);/.exec(text)![1]!;
  const outcomes = [...type.matchAll(/'([a-z-]+)'/g)].map((match) => match[1]!);
  const page = read('access-log.md');
  const table = page.slice(page.indexOf('## Outcomes'), page.indexOf('## What clients send'));
  const documented = [...table.matchAll(/^\| `([a-z-]+)` \|/gm)].map((match) => match[1]!);
  assert.ok(outcomes.length > 10);
  assert.deepEqual(documented.toSorted(), outcomes.toSorted());
});
