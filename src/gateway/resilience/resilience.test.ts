import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Logger } from '../../model/ports.ts';
import { backendConfig } from '../fixtures/gateway-harness.ts';
import { Resilience } from './resilience.ts';

function noting(): { lines: unknown[][]; logger: Logger } {
  const lines: unknown[][] = [];
  const note =
    (level: string) =>
    (message: string, fields?: Record<string, unknown>): void =>
      void lines.push([level, message, fields]);
  const logger: Logger = {
    debug: note('debug'),
    info: note('info'),
    warn: note('warn'),
    error: note('error'),
    child: () => logger,
  };
  return { lines, logger };
}

const breaker = {
  failurePercent: 50,
  windowMs: 10_000,
  minimumRequests: 4,
  openForMs: 1000,
  trials: 1,
  fallback: { status: 503, headers: {}, body: null },
};

test('each transition is logged with its reason and counted', () => {
  const { lines, logger } = noting();
  const resilience = new Resilience(backendConfig('shop', { breaker }), logger);
  const once = (kind: 'ok' | 'error', nowMs: number): void => {
    assert.ok(resilience.admit(nowMs));
    resilience.result(kind, nowMs);
  };
  for (let i = 0; i < 4; i++) once('error', 0);
  assert.equal(resilience.admit(10), false);
  once('ok', 1000);
  assert.deepEqual(lines, [
    ['warn', 'the circuit breaker is open', { from: 'closed', reason: '4 of 4 requests failed in 10 s' }],
    ['info', 'the circuit breaker is half-open', { from: 'open', reason: 'it was open for 1 s' }],
    ['info', 'the circuit breaker is closed', { from: 'half-open', reason: '1 of 1 trials went well' }],
  ]);
  assert.deepEqual(resilience.transitions, { closed: 1, open: 1, 'half-open': 1 });
  assert.equal(resilience.refused, 1);
});

test('ejections are logged and counted', () => {
  const { lines, logger } = noting();
  const resilience = new Resilience(backendConfig('shop'), logger);
  resilience.ejected('shop-1', 'failure-rate', 30_000);
  resilience.returned('shop-1');
  assert.deepEqual(lines, [
    ['warn', 'an endpoint was ejected', { endpoint: 'shop-1', reason: 'failure-rate', forMs: 30_000 }],
    ['info', 'an ejected endpoint is back', { endpoint: 'shop-1' }],
  ]);
  assert.deepEqual(resilience.ejections, { 'consecutive-errors': 0, 'failure-rate': 1 });
});

test('a reload may take the breaker away, and bring one', () => {
  const { logger } = noting();
  const resilience = new Resilience(backendConfig('shop', { breaker }), logger);
  for (let i = 0; i < 4; i++) resilience.result('error', 0);
  assert.equal(resilience.breakerState, 'open');
  resilience.reconfigure(backendConfig('shop'));
  assert.equal(resilience.breakerState, null);
  assert.ok(resilience.admit(0));
  assert.equal(resilience.fallback('shop', 0), null);
  resilience.reconfigure(backendConfig('shop', { breaker }));
  assert.equal(resilience.breakerState, 'closed');
});
