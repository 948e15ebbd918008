import assert from 'node:assert/strict';
import { it } from 'node:test';
import { Reloads } from './reloads.ts';

it('runs one reload at a time, and one more for all that were asked for meanwhile', async () => {
  const begun: PromiseWithResolvers<number>[] = [];
  const reloads = new Reloads(() => {
    const run = Promise.withResolvers<number>();
    begun.push(run);
    return run.promise;
  });
  const first = reloads.request();
  const meanwhile = [reloads.request(), reloads.request(), reloads.request()];
  assert.equal(begun.length, 1);
  begun[0]!.reject(new Error('wrong'));
  await assert.rejects(first, /wrong/);
  while (begun.length < 2) await Promise.resolve();
  begun[1]!.resolve(2);
  assert.deepEqual(await Promise.all(meanwhile), [2, 2, 2]);
  assert.equal(begun.length, 2);
  await reloads.idle();
});
