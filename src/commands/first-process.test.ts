import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import { endEarly } from './first-process.ts';

test('the first process of a container ends by a signal as long as no command listens to it', () => {
  const signals = new EventEmitter();
  const codes: number[] = [];
  endEarly(signals, (code) => codes.push(code));
  signals.emit('SIGTERM');
  assert.deepEqual(codes, [143]);
  let heard = 0;
  signals.once('SIGTERM', () => heard++);
  signals.emit('SIGTERM');
  assert.deepEqual([codes, heard], [[143], 1]);
  signals.emit('SIGINT');
  signals.emit('SIGTERM');
  assert.deepEqual(codes, [143, 130, 143]);
});
