import { strict as assert } from 'node:assert';
import { execFile } from 'node:child_process';
import { it } from 'node:test';
import { promisify } from 'node:util';
import { runProgram } from '../../bench/processes.ts';
import { startExample } from './example.ts';

const run = promisify(execFile);

it('promtool finds nothing wrong with the metrics of a gateway that woke and served', async () => {
  await using example = await startExample();
  for (const path of ['/', '/api/users/123', '/api/nothing', '/elsewhere'])
    await (await fetch(example.url + path)).text();
  const metrics = await (await fetch(`${example.observeUrl}/metrics`)).text();
  assert.match(metrics, /^dormouse_requests_total\{/m);
  const child = run('promtool', ['check', 'metrics']);
  child.child.stdin?.end(metrics);
  const { stdout, stderr } = await child;
  assert.equal(stdout + stderr, '');
});

it('curl waits for the application to wake, and is told so', async () => {
  await using example = await startExample();
  const { stdout } = await run('curl', ['-sS', '-i', '--max-time', '30', `${example.url}/api/users/123`]);
  assert.match(stdout, /^HTTP\/1\.1 200 /);
  assert.match(stdout, /^x-cold-start: true\r?$/im);
  assert.match(stdout, /"id":123/);
  const second = await run('curl', ['-sS', '-i', '--max-time', '30', `${example.url}/api/users/123`]);
  assert.doesNotMatch(second.stdout, /^x-cold-start: true/im);
});

it('curl posts, sends HEAD, pipes an upload of unknown length and speaks HTTP/1.0', async () => {
  await using example = await startExample();
  const curl = async (...args: string[]): Promise<string> =>
    (await run('curl', ['-sS', '--max-time', '30', ...args])).stdout;
  const json = ['-H', 'content-type: application/json', '-d', '{"name":"A","email":"a@example.org"}'];
  assert.match(await curl(...json, `${example.url}/api/users`), /"email":"a@example.org"/);
  assert.match(
    await curl('-H', 'transfer-encoding: chunked', ...json, `${example.url}/api/users`),
    /"email":"a@example.org"/,
  );
  assert.match(await curl('-I', `${example.url}/`), /^HTTP\/1\.1 200 /);
  assert.match(await curl('-0', '-i', `${example.url}/api/users/123`), /^HTTP\/1\.[01] 200 /);
});

it('wrk and h2load are answered without an error, from the first request for a sleeping backend on', async () => {
  await using example = await startExample();
  const wrk = await runProgram(
    ['wrk', '-t1', '-c20', '-d3s', '--timeout', '20s', `${example.url}/`],
    { core: null },
    60_000,
  );
  assert.doesNotMatch(wrk, /Non-2xx|Socket errors/);
  const h2load = await runProgram(
    ['h2load', '--h1', '-c10', '-n2000', `${example.url}/api/users/123`],
    { core: null },
    60_000,
  );
  assert.match(h2load, /2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout/);
});
