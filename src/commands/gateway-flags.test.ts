import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readGatewayFlags } from './gateway-flags.ts';

const context = { env: { HOSTNAME: 'gateway-7d' }, cwd: '/srv' };
const least = { operator: 'dormouse-operator.ns.svc:8443', certificates: 'link' };

describe('flags of dormouse gateway', () => {
  it('have defaults for all but the operator and the certificates', () => {
    assert.deepEqual(readGatewayFlags(least, context), {
      operator: { host: 'dormouse-operator.ns.svc', port: 8443 },
      certificates: '/srv/link',
      name: 'gateway-7d',
      observe: { host: '127.0.0.1', port: 8082 },
      delayMs: 5000,
      drainMs: 30_000,
      watchSlices: false,
      level: 'info',
      format: 'json',
    });
    const all = { observe: '[::]:0', delay: '0s', drain: '1.5m', name: 'g', logLevel: 'debug', logFormat: 'pretty' };
    const flags = readGatewayFlags({ ...least, ...all, operator: '10.0.0.1:1' }, context);
    assert.deepEqual([flags.observe.host, flags.delayMs, flags.drainMs], ['::', 0, 90_000]);
    assert.deepEqual(flags.operator, { host: '10.0.0.1', port: 1 });
  });

  it('that are wrong are named, with what is right', () => {
    const wrong: [object, RegExp][] = [
      [{ operator: undefined }, /--operator is missing/],
      [{ operator: 'dormouse-operator' }, /--operator: "dormouse-operator" is no address with a port/],
      [{ operator: 'a_b:1' }, /--operator/],
      [{ operator: 'a:0' }, /--operator: the port/],
      [{ operator: '::1:8443' }, /--operator/],
      [{ operator: '[localhost]:8443' }, /--operator/],
      [{ operator: '999.1.1.1:70000' }, /--operator/],
      [{ certificates: undefined }, /--certificates is missing/],
      [{ name: 'a b' }, /--name: a gateway's name/],
      [{ observe: '8082' }, /--observe/],
      [{ delay: '5' }, /--delay takes a duration from 0s to 10m/],
      [{ delay: '11m' }, /--delay/],
      [{ drain: '-1s' }, /--drain/],
      [{ logLevel: 'loud' }, /--log-level takes debug, info, warn, error, not "loud"/],
      [{ logFormat: 'xml' }, /--log-format/],
    ];
    for (const [more, message] of wrong)
      assert.throws(() => readGatewayFlags({ ...least, ...more }, context), { code: 'DORMOUSE_USAGE', message });
    assert.throws(() => readGatewayFlags(least, { ...context, env: {} }), { message: /HOSTNAME/ });
  });
});
