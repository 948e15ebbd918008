/**
 * Load for a long time while things happen: reloads, killed workers, crashing instances, backends that fall asleep and wake. Nothing may be lost that was not inside a
 * killed process: a worker is killed while no request is in flight (fresh connections are opened into its accept queue at that very moment), an instance is crashed
 * by a request of its own, and only its own backend's requests may fail meanwhile, told as such (502, 503).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import type { BenchCase, BenchContext } from '../case.ts';
import { STAMPING_APP, stampingBackend, type Stamp } from '../apps/stamp.ts';
import { Connection } from '../load/request.ts';
import { commandLine, processTree, rssBytes } from '../measure/process-tree.ts';
import { median } from '../measure/statistics.ts';
import { Gate } from '../load/gate.ts';
import { withDormouse, type RunningDormouse } from './running-dormouse.ts';

const TIMEOUT_MS = 30_000;
const STEADY_LOOPS = 16;
const ACTION_EVERY_MS = 2000;

interface Tally {
  requests: number;
  lost: string[];
  /** Answers of the crashing backend that told of its crash. */
  toldOfCrash: number;
  reloads: number;
  workerKills: number;
  crashes: number;
}

export const soak: BenchCase = {
  name: 'soak',
  summary: 'load with reloads, worker kills and crashing instances (--duration=600, in seconds)',
  programs: ['taskset'],
  byDefault: false,
  async run(context) {
    const seconds = context.number('duration', 600);
    const configuration = {
      workers: 2,
      backends: {
        steady: stampingBackend({ scale: { min: 1, max: 2, idleAfter: '1h' } }),
        sleepy: stampingBackend({ scale: { idleAfter: '300ms' } }),
        crashy: stampingBackend({
          process: { crash: { backoff: '100ms', maxBackoff: '500ms' } },
          scale: { idleAfter: '1h' },
        }),
      },
      routes: ['steady', 'sleepy', 'crashy'].map((name) => ({ hosts: [name], backend: name })),
    };
    return await withDormouse({ ...context, proxyCore: null }, configuration, (dormouse) =>
      run(context, dormouse, seconds),
    );
  },
};

async function run(context: BenchContext, dormouse: RunningDormouse, seconds: number): ReturnType<BenchCase['run']> {
  const tally: Tally = { requests: 0, lost: [], toldOfCrash: 0, reloads: 0, workerKills: 0, crashes: 0 };
  const gate = new Gate();
  const over = new AbortController();
  const memory: { supervisor: number; workers: number }[] = [];
  const watch = setInterval(() => memory.push(memoryOf(dormouse)), 1000);
  const loops = [
    ...Array.from({ length: STEADY_LOOPS }, () =>
      loop(dormouse.port, 'steady', gate, over.signal, tally, () => 3 + Math.random() * 10),
    ),
    loop(dormouse.port, 'sleepy', gate, over.signal, tally, () => 200 + Math.random() * 300),
    loop(dormouse.port, 'crashy', gate, over.signal, tally, () => 20 + Math.random() * 50),
  ];
  const actions = [reload, killWorker, crash];
  const endAt = performance.now() + seconds * 1000;
  try {
    for (let turn = 0; performance.now() < endAt; turn++) {
      await delay(ACTION_EVERY_MS);
      await actions[turn % actions.length]?.(dormouse, gate, tally, turn);
      if (turn % 15 === 0)
        context.progress(
          `${tally.requests} requests, ${tally.lost.length} lost, ${Math.round((endAt - performance.now()) / 1000)} s to go`,
        );
    }
  } finally {
    clearInterval(watch);
    over.abort();
    gate.open();
    await Promise.all(loops);
  }
  return resultOf(tally, memory, seconds);
}

async function loop(
  port: number,
  host: string,
  gate: Gate,
  over: AbortSignal,
  tally: Tally,
  gapMs: () => number,
): Promise<void> {
  const connection = new Connection(port);
  const leave = gate.join();
  for (let number = 0; !over.aborted; number++) {
    await gate.pass(() => connection.close());
    const body = Math.random() < 0.3 ? 'b'.repeat(Math.floor(Math.random() * 20_000)) : null;
    const id = `${host}-${number}`;
    tally.requests++;
    try {
      const answer = await connection.send(
        { method: body === null ? 'GET' : 'POST', path: '/', host, id, body: body ?? undefined },
        TIMEOUT_MS,
      );
      const stamp = answer.status === 200 ? (JSON.parse(answer.body) as Stamp) : null;
      if (host === 'crashy' && (answer.status === 502 || answer.status === 503)) tally.toldOfCrash++;
      else if (stamp?.echo !== id || stamp.bodyBytes !== (body?.length ?? 0)) {
        tally.lost.push(`${id}: ${answer.status} ${answer.body.slice(0, 200)}`);
      }
    } catch (error) {
      tally.lost.push(`${id}: ${error instanceof Error ? error.message : String(error)}`);
    }
    await delay(gapMs());
  }
  leave();
  connection.close();
}

/** Adds or takes away a backend and changes a header filter; what is not changed must not notice. */
async function reload(dormouse: RunningDormouse, _gate: Gate, tally: Tally, turn: number): Promise<void> {
  const configuration = parse(readFileSync(dormouse.file, 'utf8')) as { backends: Record<string, unknown> };
  if ('extra' in configuration.backends) delete configuration.backends['extra'];
  else configuration.backends['extra'] = { process: { command: ['sleep', '1d'], env: { TURN: String(turn) } } };
  writeFileSync(dormouse.file, stringify(configuration));
  await dormouse.control.reload();
  tally.reloads++;
}

/** SIGKILL to a worker while nothing is in flight; the requests behind the gate go out at the same moment. */
async function killWorker(dormouse: RunningDormouse, gate: Gate, tally: Tally): Promise<void> {
  await gate.close();
  const running = (await dormouse.control.status()).workers.filter((worker) => worker.state === 'running');
  const victim = running[tally.workerKills % Math.max(1, running.length)];
  if (victim) {
    process.kill(victim.pid, 'SIGKILL');
    tally.workerKills++;
  }
  gate.open();
}

/** A POST, so that nobody repeats it. It gets no answer of the application: that is the point. */
async function crash(dormouse: RunningDormouse, _gate: Gate, tally: Tally): Promise<void> {
  const connection = new Connection(dormouse.port);
  try {
    await connection.send({ method: 'POST', path: '/crash', host: 'crashy' }, TIMEOUT_MS);
  } catch {
    // Closed without an answer is as good as 502 here.
  } finally {
    connection.close();
  }
  tally.crashes++;
}

function memoryOf(dormouse: RunningDormouse): { supervisor: number; workers: number } {
  const workers = processTree(dormouse.program.pid)
    .slice(1)
    .filter((pid) => !commandLine(pid).includes(STAMPING_APP) && commandLine(pid).includes('worker'));
  return { supervisor: rssBytes([dormouse.program.pid]) / 1e6, workers: rssBytes(workers) / 1e6 };
}

function resultOf(
  tally: Tally,
  memory: readonly { supervisor: number; workers: number }[],
  seconds: number,
): Awaited<ReturnType<BenchCase['run']>> {
  const quarter = Math.max(1, Math.floor(memory.length / 4));
  const early = memory.slice(quarter, 2 * quarter);
  const late = memory.slice(-quarter);
  const megabytes = (part: typeof early, of: 'supervisor' | 'workers'): string =>
    median(part.map((one) => one[of])).toFixed(0);
  return {
    tables: [
      {
        id: 'soak',
        title: `${seconds} s of load with reloads, worker kills and crashes`,
        note: 'Two workers; 16 connections on a backend that runs, one on a backend that falls asleep after 300 ms, one on a backend whose process is crashed now and then (its 502 and 503 are told, not lost). Memory: medians of the second and of the last quarter of the time, MB.',
        columns: ['requests', 'lost', 'told of a crash', 'reloads', 'worker kills', 'crashes', 'supervisor', 'workers'],
        rows: [
          [
            ...[
              tally.requests,
              tally.lost.length,
              tally.toldOfCrash,
              tally.reloads,
              tally.workerKills,
              tally.crashes,
            ].map(String),
            `${megabytes(early, 'supervisor')} -> ${megabytes(late, 'supervisor')}`,
            `${megabytes(early, 'workers')} -> ${megabytes(late, 'workers')}`,
          ],
        ],
      },
    ],
    failures: tally.lost,
  };
}
