/** Memory of WebSockets that say nothing, through one worker. */
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchCase } from '../case.ts';
import { commandLine, processTree, rssBytes } from '../measure/process-tree.ts';
import { startProgram } from '../processes.ts';
import { withDormouse, type RunningDormouse } from './running-dormouse.ts';
import { startStreamApp, STREAM_CLIENTS } from './streams.ts';

/** What was garbage while they were opened is collected meanwhile. */
const SETTLE_MS = 10_000;
const MOST_KILOBYTES = 25;

export const idleWebSockets: BenchCase = {
  name: 'idle-websockets',
  summary: 'RSS of one worker per idle WebSocket, 5,000 of them',
  programs: ['taskset'],
  byDefault: true,
  async run(context) {
    const count = context.number('websockets', 5000);
    const limit = ['prlimit', `--nofile=${2 * count + 1000}`];
    const app = await startStreamApp(context, limit);
    const configuration = {
      backends: { streams: { servers: [`http://127.0.0.1:${app.port}`] } },
      routes: [{ backend: 'streams' }],
    };
    try {
      return await withDormouse(
        context,
        configuration,
        async (dormouse) => {
          await delay(3000);
          const before = workerRss(dormouse);
          let opened: () => void = () => {};
          const open = new Promise<void>((resolve) => (opened = resolve));
          const clients = startProgram(
            [...limit, process.execPath, STREAM_CLIENTS, 'idle', String(dormouse.port), String(count)],
            { core: context.loadCore, onLine: opened },
          );
          try {
            await Promise.race([open, clients.ended.then(() => Promise.reject(new Error(clients.errors())))]);
            context.progress(`${count} are open`);
            await delay(SETTLE_MS);
            const after = workerRss(dormouse);
            const kilobytes = (after - before) / count / 1000;
            return {
              tables: [
                {
                  id: 'idle-websockets',
                  title: 'Memory of idle WebSockets',
                  note: `RSS of one worker before and ${SETTLE_MS / 1000} s after ${count} WebSockets were opened, defaults (idle ones are followed, pinged and counted).`,
                  columns: ['WebSockets', 'before, MB', 'after, MB', 'kB each'],
                  rows: [[String(count), (before / 1e6).toFixed(1), (after / 1e6).toFixed(1), kilobytes.toFixed(1)]],
                },
              ],
              failures:
                kilobytes > MOST_KILOBYTES
                  ? [`${kilobytes.toFixed(1)} kB for each WebSocket, more than ${MOST_KILOBYTES}`]
                  : [],
            };
          } finally {
            await clients.stop();
          }
        },
        { openFiles: 2 * count + 1000 },
      );
    } finally {
      await app.program.stop();
    }
  },
};

function workerRss(dormouse: RunningDormouse): number {
  return rssBytes(processTree(dormouse.program.pid).filter((pid) => commandLine(pid).includes('worker')));
}
