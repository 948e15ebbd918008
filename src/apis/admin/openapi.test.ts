/** openapi.json, the models and the routes hold each other. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { defaultRegistry } from '../../commands/registry.ts';
import { jsonSchema } from '../../config/index.ts';
import { Served, view } from './fixtures/served.ts';
import { backendList, backendView, event, problem } from './models.ts';
import { openApiText } from './openapi.ts';

const file = new URL('./openapi.json', import.meta.url);
const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
const text = openApiText(version, jsonSchema(defaultRegistry()));
// oxlint-disable-next-line typescript/no-explicit-any
const document: any = JSON.parse(readFileSync(file, 'utf8'));

test('the file is what is made of the models and of the configuration (npm run crd)', () => {
  assert.equal(readFileSync(file, 'utf8'), text);
});

test('it is valid OpenAPI 3.1', async () => {
  // By a name that the compiler does not follow: who has not installed it yet can still check the types of everything.
  const name: string = '@seriousme/openapi-schema-validator';
  const { Validator } = await import(name);
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  assert.ok(valid, JSON.stringify(errors));
  assert.match(document.openapi, /^3\.1\./);
});

test('every reference in it leads somewhere', () => {
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    for (const [key, inner] of Object.entries(value)) {
      if (key !== '$ref') visit(inner);
      else {
        const parts = String(inner).replace('#/', '').split('/');
        let at: unknown = document;
        for (const part of parts) at = (at as Record<string, unknown>)[part];
        assert.ok(at !== undefined, String(inner));
      }
    }
  };
  visit(document);
});

test('every operation in it is there, and no other', async () => {
  await using served = await Served.start();
  const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];
  for (const [path, operations] of Object.entries(document.paths as Record<string, Record<string, unknown>>)) {
    for (const method of methods) {
      if (method === 'GET' && path === '/v1/events') continue;
      const { status, json } = await served.ask(path.replace('{name}', 'shop'), { method, body: {} });
      const isThere = !['DORMOUSE_ADMIN_PATH', 'DORMOUSE_ADMIN_METHOD'].includes(json?.code);
      assert.equal(isThere, operations[method.toLowerCase()] !== undefined, `${method} ${path}: ${status}`);
    }
  }
});

test('what is answered fits the models', async () => {
  await using served = await Served.start();
  for (const name of ['a', 'b']) served.target.backends.set(name, view(name));
  backendList.parse((await served.ask('/v1/backends')).json);
  backendView.parse((await served.ask('/v1/backends/a')).json);
  problem.parse((await served.ask('/v1/backends/nobody')).json);
  assert.deepEqual((await served.ask('/v1/openapi.json')).json, document);
  event.parse({ atMs: 1, backend: 'a', kind: 'awake', message: 'a is awake', cause: {} });
});
