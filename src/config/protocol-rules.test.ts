import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { defaultRoute } from '../model/config.fixture.ts';
import type { RouteConfig } from '../model/config.ts';
import { limitsBeforeIdentity } from './protocol-rules.ts';

describe('limits by who the client is', () => {
  const rule = (...types: [type: string, by?: string][]): RouteConfig =>
    defaultRoute('app', {
      filters: types.map(([type, by]) => ({ type, options: by === undefined ? {} : { key: { by } } })),
    });
  const warned = (route: RouteConfig, plugins = false): string[] =>
    limitsBeforeIdentity([{ entry: route, index: 0 } as never], plugins).map(({ path }) => path.join('.'));

  it('before a filter that tells it are named', () => {
    assert.deepEqual(warned(rule(['rateLimit', 'identity'], ['jwt'], ['concurrency', 'claim'])), [
      'routes.0.rules.0.filters.0.rateLimit.key',
    ]);
    assert.deepEqual(warned(rule(['rateLimit', 'client'], ['concurrency', 'route'])), []);
    assert.deepEqual(warned(rule(['apiKey'], ['rateLimit', 'identity'])), []);
  });

  it("are left alone where a plugin's filter may tell it", () => {
    assert.deepEqual(warned(rule(['rateLimit', 'identity']), true), []);
  });
});
