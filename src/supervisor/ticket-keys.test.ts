import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TICKET_KEYS_BYTES, TicketKeys } from './ticket-keys.ts';

test('keys are made at once and anew after their time', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const told: string[] = [];
  const keys = new TicketKeys((made) => told.push(made), 1000);
  assert.equal(told.length, 1);
  t.mock.timers.tick(3000);
  assert.equal(told.length, 4);
  assert.equal(new Set(told).size, 4);
  for (const made of told) assert.equal(Buffer.from(made, 'base64').length, TICKET_KEYS_BYTES);
  keys.close();
  t.mock.timers.tick(3000);
  assert.equal(told.length, 4);
});
