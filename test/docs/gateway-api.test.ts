/** The objects of docs/gateway-api.md are accepted as they stand there, and its list of RouteFilters is the one of the schema. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { resourceFiles } from '../../src/config/crd/index.ts';
import type { KubernetesObject } from '../../src/kubernetes/client.ts';
import { secret, service, settings, snapshot } from '../../src/operator/gateway-api/snapshot.fixture.ts';
import { translate } from '../../src/operator/gateway-api/translate.ts';
import type { GatewayApiSnapshot } from '../../src/operator/gateway-api/translation.ts';
import { Authority } from '../../src/gateway/fixtures/certificates.ts';

const read = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');
const page = read('gateway-api.md');

const objects = [...page.matchAll(/```yml\n(apiVersion[\s\S]*?)```/g)].flatMap(([, text]) =>
  parseAllDocuments(text!).map((document) => {
    const object = document.toJS() as KubernetesObject;
    return { ...object, metadata: { ...object.metadata, generation: 1, creationTimestamp: '2026-01-01T00:00:00Z' } };
  }),
);
// oxlint-disable-next-line typescript/no-explicit-any -- whatever kind is asked for
const of = (kind: string): any[] => objects.filter((object) => object.kind === kind);

test('the objects are accepted', async () => {
  const authority = await Authority.create();
  const pair = await authority.issue({ names: ['*.shop.example'] });
  const given: GatewayApiSnapshot = snapshot({
    gateways: of('Gateway'),
    services: [service('default/shop', [{ port: 80 }])],
    secrets: [secret('default/shop-tls', { 'tls.crt': pair.cert, 'tls.key': pair.key })],
    routeFilters: of('RouteFilter'),
    routePolicies: of('RoutePolicy'),
    backends: [{ namespace: 'default', name: 'shop', service: 'shop', backend: 'default/shop', ports: [] }],
  });
  const routes = of('HTTPRoute');
  assert.equal(routes.length, 2);
  for (const route of routes) {
    const { statuses, routes: made } = translate({ ...given, httpRoutes: [route] }, settings());
    const bad = statuses.flatMap(({ kind, status }) => {
      const text = JSON.stringify(status);
      return /"type":"(Accepted|Programmed|ResolvedRefs)","status":"False"/.test(text) ? [`${kind} ${text}`] : [];
    });
    assert.deepEqual(bad, []);
    assert.equal(made[0]!.rules[0]!.backends[0]!.name, 'default/shop');
  }
});

test('every kind of RouteFilter is named', () => {
  const { resource } = resourceFiles(defaultRegistry(), read('configuration.md')).find(({ file }) =>
    file.startsWith('routefilters.'),
  )!;
  // oxlint-disable-next-line typescript/no-explicit-any -- a schema
  const { properties } = (resource as any).spec.versions[0].schema.openAPIV3Schema.properties.spec;
  const list = /one kind of filter in each: ([\s\S]*?)\.\n/.exec(page)![1]!;
  assert.deepEqual(
    Array.from(list.matchAll(/`(\w+)`/g), (match) => match[1]),
    Object.keys(properties as object),
  );
});
