import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultRegistry } from '../commands/registry.ts';
import { parseConfig, toGatewayConfig } from './index.ts';

test('workers are told whether each request is an event, and nothing of the bus: its password stays in the supervisor', () => {
  const config = parseConfig(
    'backends: { app: { servers: ["http://10.0.0.1"] } }\nevents: { bus: "redis://user:${SECRET}@10.0.0.2:6379", each: on }\n',
    { file: '/srv/dormouse.yaml', env: { SECRET: 'hunter2' }, registry: defaultRegistry() },
  );
  assert.match(JSON.stringify(config), /hunter2/);
  const told = toGatewayConfig(config);
  assert.doesNotMatch(JSON.stringify(told), /hunter2|10\.0\.0\.2/);
  assert.equal(told.events.each, true);
});
