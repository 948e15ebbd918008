import { strict as assert } from 'node:assert';
import { it } from 'node:test';
import { checkSummary, parseLog } from './h2load.ts';
import { parseWrk } from './wrk.ts';

it('wrk: counts of a clean run, and an error for a run with failed requests', () => {
  const clean = '  120301 requests in 3.00s, 20.1MB read\nRequests/sec:  40093.11\nTransfer/sec: 6.70MB\n';
  assert.deepEqual(parseWrk(clean), { requests: 120301, requestsPerSecond: 40093.11 });
  assert.throws(() => parseWrk(`${clean}  Non-2xx or 3xx responses: 12\n`), /Non-2xx or 3xx responses: 12/);
});

it('h2load: the times of all requests, a failed request is an error', () => {
  const log = '1000000\t200\t150\n2500000\t200\t120\n';
  assert.deepEqual(parseLog(log), [150, 120]);
  assert.throws(() => parseLog('1000000\t502\t150\n'), /1 of 1 requests failed, the first with status 502/);
});

it('h2load: a run is good when every request got 2xx by HTTP/2', () => {
  const good = 'Application protocol: h2c\n\nstatus codes: 100 2xx, 0 3xx, 0 4xx, 0 5xx\n';
  checkSummary(good, 100);
  assert.throws(() => checkSummary(good, 101), /status codes/);
  assert.throws(() => checkSummary(good.replace('h2c', 'http/1.1'), 100), /http\/1\.1/);
});
