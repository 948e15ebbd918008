/** docs/tracing.md: its configurations are valid, and its spans are those of the program. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { readServerTiming } from '../../src/commands/trace/server-timing.ts';
import { parseConfig } from '../../src/config/index.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');
const page = read('docs/tracing.md');
const BACKENDS = 'backends: { app: { process: { command: [app] } } }\n';

test('the configurations of docs/tracing.md are accepted', () => {
  const written = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1]!);
  assert.equal(written.length, 2);
  for (const text of written)
    parseConfig(BACKENDS + text, { file: '/srv/dormouse.yaml', env: {}, registry: defaultRegistry(), cores: 1 });
});

test('every span is in docs/tracing.md, and no other', () => {
  const source = read('src/gateway/tracing/request-tracer.ts');
  const calls = [...source.matchAll(/this\.span\(([^;]*?)'([a-z ]+)'(?: : '([a-z ]+)')?/g)];
  const spans = new Set(calls.flatMap(([, , one, other]) => (other === undefined ? [one!] : [one!, other])));
  const told = [...page.matchAll(/^\| `([a-z ]+?)(?: NAME)?` \| (?:internal|client) \|/gm)].map((match) => match[1]!);
  assert.deepEqual(told.toSorted(), [...spans].sort());
});

test('the Server-Timing line of docs/tracing.md can be read', () => {
  const [, line] = /^Server-Timing: (.*)$/m.exec(page)!;
  assert.deepEqual(
    readServerTiming(line!).map(({ name }) => name),
    ['dormouse', 'filter', 'connect', 'first-byte'],
  );
});
