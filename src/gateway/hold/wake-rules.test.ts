import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultBackend } from '../../model/config.fixture.ts';
import type { MatchConfig, WakeAnswer, WakeConfig } from '../../model/config.ts';
import { requestView } from '../request-view.fixture.ts';
import { WakeRules } from './wake-rules.ts';

function rules(more: Partial<WakeConfig>): WakeRules | null {
  return WakeRules.compile({ ...defaultBackend('shop').wake, ...more }, 'shop');
}

function answer(match: Partial<MatchConfig>, more: Partial<WakeAnswer> = {}): WakeAnswer {
  return {
    match: { path: { kind: 'prefix', value: '/' }, methods: [], headers: [], query: [], ...match },
    status: 200,
    headers: {},
    body: 'ok',
    ...more,
  };
}

describe('wake.answers', () => {
  const compiled = rules({
    answers: [
      answer({ path: { kind: 'exact', value: '/healthz' } }, { body: 'asleep' }),
      answer({ path: { kind: 'prefix', value: '/static' }, methods: ['GET'] }, { status: 204, body: '' }),
      answer({ path: { kind: 'regex', value: '/v[0-9]+/ping' } }, { headers: { 'Content-Type': 'text/html' } }),
      answer({ headers: [{ name: 'x-probe', kind: 'exact', value: '1' }] }, { body: 'probe' }),
    ],
  })!;
  const cases: [string, Parameters<typeof requestView>[0], { status: number; headers: string; body: string } | null][] =
    [
      [
        'an exact path',
        { target: '/healthz' },
        { status: 200, headers: 'Content-Type: text/plain; charset=utf-8\r\n', body: 'asleep' },
      ],
      [
        'another spelling of it',
        { target: '/x/../%68ealthz?a=1' },
        { status: 200, headers: 'Content-Type: text/plain; charset=utf-8\r\n', body: 'asleep' },
      ],
      ['a longer path', { target: '/healthz/x' }, null],
      ['a prefix', { target: '/static/a.css' }, { status: 204, headers: '', body: '' }],
      ['a prefix with another method', { method: 'POST', target: '/static/a.css' }, null],
      ['no segment of the prefix', { target: '/statics' }, null],
      ['an expression', { target: '/v12/ping' }, { status: 200, headers: 'Content-Type: text/html\r\n', body: 'ok' }],
      [
        'a header',
        { target: '/any', headers: [['X-Probe', '1']] },
        { status: 200, headers: 'Content-Type: text/plain; charset=utf-8\r\n', body: 'probe' },
      ],
      ['nothing', { target: '/any' }, null],
      ['a path that servers disagree about', { target: '/static/..%2Fhealthz' }, null],
    ];
  for (const [what, parts, expected] of cases)
    test(`${what}: ${expected === null ? 'goes its way' : 'is answered'}`, () =>
      assert.deepEqual(compiled.answer(requestView(parts)), expected));
});

describe('wake.never', () => {
  const compiled = rules({
    never: {
      userAgents: [
        { name: 'user-agent', kind: 'exact', value: 'probe/1' },
        { name: 'user-agent', kind: 'regex', value: '(?i).*bot.*' },
      ],
      clients: ['10.0.0.0/8', '2001:db8::1'],
    },
  })!;
  const agent = (value: string) => requestView({ headers: [['User-Agent', value]] });
  test('refuses the listed clients and programs', () => {
    assert.equal(compiled.mayWake(agent('curl/8'), '10.1.2.3'), false);
    assert.equal(compiled.mayWake(agent('curl/8'), '2001:db8::1'), false);
    assert.equal(compiled.mayWake(agent('probe/1'), '192.0.2.1'), false);
    assert.equal(compiled.mayWake(agent('SomeBot/2.0'), '192.0.2.1'), false);
    assert.equal(compiled.mayWake(null, '10.1.2.3'), false);
  });
  test('lets everybody else wake', () => {
    assert.equal(compiled.mayWake(agent('probe/12'), '192.0.2.1'), true);
    assert.equal(compiled.mayWake(requestView({}), '192.0.2.1'), true);
    assert.equal(compiled.mayWake(null, '192.0.2.1'), true);
  });
});

test('without rules there is nothing to ask', () => assert.equal(rules({}), null));

test('what can’t be compiled is refused with its place', () => {
  assert.throws(
    () => rules({ never: { userAgents: [], clients: ['10.0.0'] } }),
    /backends\.shop\.wake\.never\.clients: "10\.0\.0"/,
  );
  assert.throws(
    () => rules({ never: { userAgents: [{ name: 'user-agent', kind: 'regex', value: '(?=x)' }], clients: [] } }),
    { code: 'DORMOUSE_ROUTE_PATTERN' },
  );
});
