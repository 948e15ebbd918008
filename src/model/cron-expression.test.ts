import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cronNames, parseCron } from './cron-expression.ts';

function parsed(text: string): Exclude<ReturnType<typeof parseCron>, { fault: string }> {
  const cron = parseCron(text);
  assert.ok(!('fault' in cron), `${text}: ${'fault' in cron ? cron.fault : ''}`);
  return cron;
}

const numbers = (set: ReadonlySet<number>): number[] => [...set].sort((a, b) => a - b);

test('each field is the set of its numbers', () => {
  const cron = parsed('*/20 20-6 1,15 jan-Mar 1-5');
  assert.deepEqual(numbers(cron.minutes), [0, 20, 40]);
  assert.deepEqual(numbers(cron.hours), [0, 1, 2, 3, 4, 5, 6, 20, 21, 22, 23]);
  assert.deepEqual(numbers(cron.days), [1, 15]);
  assert.deepEqual(numbers(cron.months), [1, 2, 3]);
  assert.deepEqual(numbers(cron.weekdays), [1, 2, 3, 4, 5]);
  assert.deepEqual(numbers(parsed('5/10 * * * *').minutes), [5, 15, 25, 35, 45, 55]);
  assert.deepEqual(numbers(parsed('50-10/10 * * * *').minutes), [0, 10, 50]);
  assert.deepEqual(numbers(parsed('0 22-2/2 * nov-feb *').months), [1, 2, 11, 12]);
});

test('Sunday is 0 and 7', () => {
  assert.deepEqual(numbers(parsed('* * * * 7').weekdays), [0]);
  assert.deepEqual(numbers(parsed('* * * * 0-7').weekdays), [0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual(numbers(parsed('* * * * 5-7').weekdays), [0, 5, 6]);
  assert.deepEqual(numbers(parsed('* * * * 7-1').weekdays), [0, 1]);
  assert.deepEqual(numbers(parsed('* * * * fri-mon').weekdays), [0, 1, 5, 6]);
  assert.deepEqual(numbers(parsed('* * * * 7-7').weekdays), [0]);
});

test('either day is enough when both are restricted', () => {
  const at = { minute: 0, hour: 8, day: 13, month: 5, weekday: 2 };
  assert.equal(cronNames(parsed('0 8 13 * 5'), at), true);
  assert.equal(cronNames(parsed('0 8 14 * 2'), at), true);
  assert.equal(cronNames(parsed('0 8 14 * 5'), at), false);
  assert.equal(cronNames(parsed('0 8 13 * *'), at), true);
  assert.equal(cronNames(parsed('0 8 * * 5'), at), false);
  assert.equal(cronNames(parsed('0 8 */2 * 2'), at), true, 'a step of * is no restriction by itself, but it counts');
  assert.equal(cronNames(parsed('1 8 * * *'), at), false);
});

test('what is wrong is told with the field', () => {
  for (const [text, expected] of [
    ['', 'has 0 fields in place of five'],
    ['0 8 * *', 'has 4 fields in place of five'],
    ['0 0 8 * * *', 'has 6 fields in place of five'],
    ['@daily', '"@daily" stands for five fields, which have to be written'],
    ['60 * * * *', 'its minute, "60": 60 is not from 0 to 59'],
    ['* 8-24 * * *', 'its hour, "8-24": 24 is not from 0 to 23'],
    ['* * 0 * *', 'its day of the month, "0": 0 is not from 1 to 31'],
    ['* * * 13 *', 'its month, "13": 13 is not from 1 to 12'],
    ['* * * * mo', 'its day of the week, "mo": mo is not from 0 to 6'],
    ['* * L * *', 'its day of the month, "L": L is not from 1 to 31'],
    ['* * * * 5#2', 'its day of the week, "5#2": "5#2" is no such thing'],
    ['*/0 * * * *', 'its minute, "*/0": a step is at least 1'],
    ['1,,2 * * * *', 'its minute, "1,,2": something is missing beside a comma'],
    ['0 0 30 2 *', 'names no day that exists'],
    [`${'1,'.repeat(200)}1 * * * *`, 'is longer than 256 characters'],
  ] as const) {
    const cron = parseCron(text);
    assert.ok('fault' in cron, text);
    assert.equal(cron.fault, expected);
    assert.notEqual(cron.hint, '');
  }
});
