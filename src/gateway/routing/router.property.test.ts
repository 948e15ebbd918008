import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import type { MatchConfig, RouteConfig } from '../../model/config.ts';
import { requestView, type ViewParts } from '../request-view.fixture.ts';
import { normalPath } from './path.ts';
import { Router } from './router.ts';
import { route, type ShortMatch } from './routes.fixture.ts';

/** The same rules read off the Gateway API's text, without a thought for speed: everything in order of precedence, the first that matches. */
function naive(routes: RouteConfig[], parts: ViewParts): string | null {
  const [path = '', query = ''] = (parts.target ?? '/').split('?');
  const parameters = new URLSearchParams(query);
  const header = (name: string): string | null => {
    const values = (parts.headers ?? []).filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
    return values.length === 0 ? null : values.join(', ');
  };
  const hostMatches = (host: string): boolean =>
    host === '' || host === parts.host || (host.startsWith('*.') && parts.host!.endsWith(host.slice(1)));
  const pathMatches = ({ kind, value }: MatchConfig['path']): boolean => {
    if (kind === 'exact') return path === value;
    if (kind === 'regex') return new RegExp(`^(?:${value})$`).test(path);
    const wanted = value.split('/').filter(Boolean);
    const given = path.split('/').filter(Boolean);
    return wanted.every((segment, i) => given[i] === segment);
  };
  const holds = (kind: string, value: string, given: string | null): boolean =>
    given !== null && (kind === 'exact' ? value === given : new RegExp(`^(?:${value})$`).test(given));
  const entries = routes.flatMap((config, routeIndex) =>
    (config.hosts.length === 0 ? [''] : config.hosts).flatMap((host) =>
      config.rules.flatMap((rule) =>
        rule.matches.map((match, matchIndex) => ({ host, match, label: `${routeIndex}.${matchIndex}` })),
      ),
    ),
  );
  const rank = ({ host, match }: (typeof entries)[number]): number[] => [
    host !== '' && !host.startsWith('*.') ? 1 : 0,
    host.length,
    { exact: 2, regex: 1, prefix: 0 }[match.path.kind],
    match.path.kind === 'prefix' ? match.path.value.replace(/\/$/, '').length : match.path.value.length,
    match.methods.length > 0 ? 1 : 0,
    match.headers.length,
    match.query.length,
  ];
  entries.sort((a, b) => {
    const y = rank(b);
    return rank(a).reduce((order, value, i) => order || y[i]! - value, 0);
  });
  const found = entries.find(
    ({ host, match }) =>
      hostMatches(host) &&
      pathMatches(match.path) &&
      (match.methods.length === 0 || match.methods.includes(parts.method!)) &&
      match.headers.every(({ name, kind, value }) => holds(kind, value, header(name))) &&
      match.query.every(({ name, kind, value }) => holds(kind, value, parameters.get(name))),
  );
  return found?.label ?? null;
}

const segments = fc.array(fc.constantFrom('a', 'b', 'ab'), { maxLength: 4 });
const path = fc
  .tuple(segments, fc.boolean())
  .map(([parts, slash]) => '/' + parts.join('/') + (slash && parts.length > 0 ? '/' : ''));
const pathMatch: fc.Arbitrary<ShortMatch> = fc.oneof(
  path.map((exact) => ({ exact })),
  path.map((prefix) => ({ prefix })),
  path.map((prefix) => ({ prefix })),
  fc
    .constantFrom('/a.*', '/a/.*', '/(a|b)/.*', '/[^/]+', '/a?b', '/a/(b|ab)', '/ab/[ab]+', '.*b', '/a/b{1,2}')
    .map((regex) => ({ regex })),
);
const valueMatch = fc.constantFrom<Record<string, string | { regex: string }>>(
  {},
  {},
  { x: '1' },
  { x: { regex: '[12]' } },
  { x: '1', y: '1' },
);
const match = fc
  .tuple(pathMatch, fc.constantFrom<string[]>([], [], ['GET'], ['GET', 'POST']), valueMatch, valueMatch)
  .map(([at, methods, headers, query]): ShortMatch => ({ ...at, methods, headers, query }));
const host = fc.constantFrom('a.test', 'b.a.test', 'c.b.a.test', '*.test', '*.a.test', '*.b.a.test');
const routes = fc
  .array(fc.tuple(fc.uniqueArray(host, { maxLength: 2 }), fc.array(match, { minLength: 1, maxLength: 3 })), {
    minLength: 1,
    maxLength: 8,
  })
  .map((list) => list.map(([hosts, matches], i) => route(String(i), hosts, matches)));
const parameter = fc.constantFrom<[string, string]>(['x', '1'], ['x', '2'], ['y', '1']);
const request = fc.record({
  method: fc.constantFrom('GET', 'POST', 'PUT'),
  host: fc.constantFrom('a.test', 'b.a.test', 'c.b.a.test', 'd.c.b.a.test', 'x.test', 'test', 'other'),
  target: fc
    .tuple(path, fc.array(parameter, { maxLength: 3 }))
    .map(([at, query]) => (query.length === 0 ? at : `${at}?${query.map((pair) => pair.join('=')).join('&')}`)),
  headers: fc.array(parameter, { maxLength: 3 }),
});

test('chooses what a sorted list of all matches gives', () => {
  fc.assert(
    fc.property(routes, fc.array(request, { minLength: 1, maxLength: 20 }), (config, requests) => {
      const router = new Router({ routes: config, listeners: [{ name: 'web' }] });
      for (const parts of requests) {
        const target = router.match('web', requestView(parts));
        const label =
          target === null
            ? null
            : `${target.routeIndex}.${config[target.routeIndex]!.rules[0]!.matches.indexOf(target.match)}`;
        assert.equal(label, naive(config, parts), JSON.stringify(parts));
      }
    }),
    { numRuns: 1_000 },
  );
});

const escapes = fc.array(fc.nat({ max: 2 }), { minLength: 1, maxLength: 12 });

test('any spelling of a path gives the same rule', () => {
  fc.assert(
    fc.property(routes, request, escapes, escapes, (config, parts, percents, fillers) => {
      const router = new Router({ routes: config, listeners: [{ name: 'web' }] });
      const [at = '', ...query] = parts.target.split('?');
      let i = 0;
      const spelled = at.replace(/[^/]|\//g, (character) => {
        const k = i++;
        if (character === '/') return ['/', '//', '/./', '/zz/../'][fillers[k % fillers.length]!]!;
        return percents[k % percents.length] === 1 ? '%' + character.charCodeAt(0).toString(16) : character;
      });
      const other = router.match('web', requestView({ ...parts, target: [spelled, ...query].join('?') }));
      assert.equal(other, router.match('web', requestView(parts)), spelled);
    }),
  );
});

test('the normal form of a normal form is itself, and has no dot segments', () => {
  const rough = fc
    .array(fc.constantFrom('/', '.', '..', '%2e', '%2F', '%5c', 'a', ';', '%', '\\', '%41', '*'), { maxLength: 12 })
    .map((parts) => '/' + parts.join(''));
  fc.assert(
    fc.property(rough, (given) => {
      const normal = normalPath(given);
      if (normal === null) return;
      assert.equal(normalPath(normal), normal);
      assert.ok(
        normal.startsWith('/') &&
          !normal.includes('//') &&
          !normal.split('/').some((part) => part === '.' || part === '..'),
        normal,
      );
    }),
    { numRuns: 2_000 },
  );
});
