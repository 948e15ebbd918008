/** Three candidates in processes of their own, one Lease of a real API server. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, describe, it } from 'node:test';
import type { KubernetesObject } from '../../../src/kubernetes/client.ts';
import { LEASES } from '../../../src/kubernetes/resources.ts';
import { connectToCluster } from './connect.ts';

interface Lease extends KubernetesObject {
  spec: { holderIdentity: string; leaseTransitions: number };
}

interface Candidate {
  identity: string;
  process: ChildProcess;
  /** What it said, when (ms). */
  said: { word: string; atMs: number }[];
}

const candidates: Candidate[] = [];

function start(kubeconfig: string, namespace: string, identity: string, heard: () => void): Candidate {
  const script = join(import.meta.dirname, 'candidate.ts');
  const child = spawn(process.execPath, [script, kubeconfig, namespace, 'leader', identity], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const candidate: Candidate = { identity, process: child, said: [] };
  createInterface({ input: child.stdout! }).on('line', (word) => {
    candidate.said.push({ word, atMs: performance.now() });
    heard();
  });
  candidates.push(candidate);
  return candidate;
}

after(() => {
  for (const { process: child } of candidates) child.kill('SIGKILL');
});

describe('leader election', () => {
  it('one leads; the next comes within 2 s of a release and after the lease of one that was killed', async () => {
    await using test = await connectToCluster();
    await using namespace = await test.cluster.namespace('leader');
    let heard = (): void => {};
    const spoken = (): void => heard();
    const leaders = (): Candidate[] => candidates.filter(({ said }) => said.at(-1)?.word === 'leads');
    const untilLeads = async (others: readonly Candidate[], timeoutMs: number): Promise<Candidate> => {
      const timeout = AbortSignal.timeout(timeoutMs);
      for (;;) {
        const found = leaders().find((candidate) => !others.includes(candidate));
        if (found !== undefined) return found;
        await new Promise<void>((resolve, reject) => {
          heard = resolve;
          timeout.addEventListener('abort', () => reject(new Error('nobody leads')), { once: true });
        });
      }
    };
    for (const identity of ['one', 'two', 'three'])
      start(test.cluster.kubeconfigPath, namespace.name, identity, spoken);
    const lock = { namespace: namespace.name, name: 'leader' };

    const first = await untilLeads([], 20_000);
    assert.equal((await test.client.get<Lease>(LEASES, lock))!.spec.holderIdentity, first.identity);

    first.process.kill('SIGTERM');
    await once(first.process, 'exit');
    const releasedAtMs = performance.now();
    assert.deepEqual(
      first.said.map(({ word }) => word),
      ['leads', 'ended'],
    );
    const second = await untilLeads([first], 10_000);
    const afterRelease = second.said[0]!.atMs - releasedAtMs;
    assert.ok(afterRelease < 2100, `it took ${afterRelease} ms after the release`);

    second.process.kill('SIGKILL');
    await once(second.process, 'exit');
    const killedAtMs = performance.now();
    const third = await untilLeads([first, second], 30_000);
    const afterKill = third.said[0]!.atMs - killedAtMs;
    // It must be left alone for what is left of 15 s since its last renewal, at most 2 s before.
    assert.ok(afterKill > 12_000 && afterKill < 19_500, `it took ${afterKill} ms after the kill`);
    const { spec } = (await test.client.get<Lease>(LEASES, lock))!;
    // Each of the three has taken it once; the one that made it is not counted.
    assert.deepEqual([spec.holderIdentity, spec.leaseTransitions], [third.identity, 2]);
    third.process.kill('SIGTERM');
    await once(third.process, 'exit');
    assert.equal((await test.client.get<Lease>(LEASES, lock))!.spec.holderIdentity, '');
  });
});
