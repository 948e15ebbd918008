/** charts/dormouse/crds is what the schema and docs/configuration.md make of it, and of a size that `kubectl apply` takes. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { parse } from 'yaml';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { ObjectCompiler, type SpecObject } from '../../src/config/index.ts';
import { resourceFiles } from '../../src/config/crd/index.ts';
import { HANDOVER_STEPS } from '../../src/model/handover-step.ts';
import type { BackendObjectStatus, HandoverStatus } from '../../src/operator/backend-object.ts';

const folder = new URL('../../charts/dormouse/crds/', import.meta.url);
const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
const files = resourceFiles(defaultRegistry(), page);

test('the custom resources are up to date: npm run crd', () => {
  assert.deepEqual(readdirSync(folder).sort(), files.map(({ file }) => file).sort());
  for (const { file, text } of files) assert.equal(readFileSync(new URL(file, folder), 'utf8'), text, file);
});

test('each is small enough for the annotation of kubectl apply, 256 KiB', () => {
  for (const { file, resource } of files) assert.ok(JSON.stringify(resource).length < 250_000, file);
});

test('all of it has a description that explains itself', () => {
  const bare: string[] = [];
  const visit = (schema: Record<string, unknown>, at: string): void => {
    for (const [key, child] of Object.entries((schema['properties'] ?? {}) as Record<string, typeof schema>)) {
      const place = `${at}.${key}`;
      if (child['description'] === undefined && child['properties'] !== undefined) bare.push(place);
      visit(child, place);
    }
    for (const inner of ['items', 'additionalProperties']) {
      if (typeof schema[inner] === 'object') visit(schema[inner] as typeof schema, at);
    }
  };
  for (const { resource } of files) {
    const [version] = (resource['spec'] as { versions: { schema: { openAPIV3Schema: Record<string, unknown> } }[] })
      .versions;
    const { properties } = version!.schema.openAPIV3Schema as { properties: Record<string, Record<string, unknown>> };
    visit(properties['spec']!, (resource['metadata'] as { name: string }).name);
  }
  assert.deepEqual(bare, []);
});

test('the examples of docs/custom-resources.md mean something to the program', () => {
  const text = readFileSync(new URL('../../docs/custom-resources.md', import.meta.url), 'utf8');
  const compiler = new ObjectCompiler(defaultRegistry());
  const kinds = new Set<string>();
  for (const [, example] of text.matchAll(/```yml\n([\s\S]*?)```/g)) {
    const object = parse(example!) as SpecObject & { kind: string };
    kinds.add(object.kind);
    const compile = { Backend: 'backend', RouteFilter: 'routeFilter', RoutePolicy: 'routePolicy' } as const;
    const result = compiler[compile[object.kind as keyof typeof compile]](object);
    assert.ok(!('problems' in result), JSON.stringify(result));
  }
  assert.deepEqual([...kinds], ['Backend', 'RouteFilter', 'RoutePolicy']);
});

test('the status of a Backend has what the operator writes', () => {
  // What the schema does not know is taken out by the API server without a word.
  const keys: Record<keyof BackendObjectStatus, true> = {
    observedGeneration: true,
    state: true,
    since: true,
    why: true,
    instances: true,
    desired: true,
    demand: true,
    lastWoken: true,
    lastSlept: true,
    handover: true,
    conditions: true,
  };
  const handover: Record<keyof HandoverStatus, true> = {
    step: true,
    since: true,
    message: true,
    ports: true,
    replicasBefore: true,
    pausedAutoscaler: true,
  };
  interface Node {
    properties: Record<string, Node & { enum?: string[] }>;
  }
  const { spec } = files.find(({ file }) => file.startsWith('backends.'))!.resource as {
    spec: { versions: { schema: { openAPIV3Schema: Node } }[] };
  };
  const { status } = spec.versions[0]!.schema.openAPIV3Schema.properties;
  assert.deepEqual(Object.keys(status!.properties), Object.keys(keys));
  assert.deepEqual(Object.keys(status!.properties['handover']!.properties), Object.keys(handover));
  assert.deepEqual(status!.properties['handover']!.properties['step']!.enum, [...HANDOVER_STEPS]);
});
