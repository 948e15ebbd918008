import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { startProgram, untilListening, type Program } from '../processes.ts';
import type { Peer } from './peer.ts';

const root = join(import.meta.dirname, '../..');

/** Writes `configuration` (the shape of dormouse.yaml) into `dir` and runs `dormouse up` on it. Ready when `port` is listened on. */
export async function startDormouse(
  dir: string,
  configuration: Record<string, unknown>,
  options: { port: number; core: number | null; timeoutMs?: number; openFiles?: number },
): Promise<Program> {
  const file = join(dir, 'dormouse.yaml');
  writeFileSync(file, stringify(configuration));
  const limit =
    options.openFiles === undefined ? [] : ['prlimit', `--nofile=${options.openFiles}:${options.openFiles}`];
  const program = startProgram([...limit, 'sh', join(root, 'dormouse'), 'up', '-c', file], {
    core: options.core,
    stdout: join(dir, 'stdout.log'),
  });
  await untilListening(program, options.port, options.timeoutMs);
  return program;
}

export const dormousePeer: Peer = {
  name: 'dormouse',
  start: ({ dir, port, metricsPort, backendPort, core, tls }) =>
    startDormouse(
      dir,
      {
        workers: 1,
        stateDir: join(dir, 'state'),
        listeners: [
          {
            name: 'web',
            address: `127.0.0.1:${port}`,
            ...(tls === undefined
              ? {}
              : { protocol: 'https', tls: { certificates: [{ cert: tls.certFile, key: tls.keyFile }] } }),
          },
        ],
        backends: { static: { servers: [`http://127.0.0.1:${backendPort}`] } },
        routes: [{ backend: 'static' }],
        observe: { address: `127.0.0.1:${metricsPort}` },
        telemetry: { accessLog: { format: 'json', file: join(dir, 'access.log') } },
      },
      { port, core },
    ),
};
