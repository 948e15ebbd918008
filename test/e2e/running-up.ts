/** `dormouse up` as a process of its own, as a user starts it, in a folder of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const main = join(import.meta.dirname, '../../src/commands/main.ts');
const PATIENCE_MS = 20_000;

export interface LogLine {
  level: string;
  msg: string;
  [field: string]: unknown;
}

/** The application of these tests: /slow answers after 300 ms, /wait when a file named `go` appears, anything else at once, with its pid. */
const APPLICATION = `
import { createServer } from 'node:http';
import { existsSync } from 'node:fs';
const server = createServer((request, response) => {
  const answer = () => response.end(String(process.pid));
  if (request.url === '/slow') return setTimeout(answer, 300);
  if (request.url !== '/wait') return answer();
  const timer = setInterval(() => { if (existsSync('go')) { clearInterval(timer); answer(); } }, 10);
});
server.listen(Number(process.env.PORT), '127.0.0.1');
process.on('SIGTERM', () => server.close(() => process.exit(0)));
`;

export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), 'dormouse-up-'));
  readonly file = join(this.path, 'dormouse.yaml');

  constructor(config: string) {
    writeFileSync(join(this.path, 'app.mjs'), APPLICATION);
    this.write(config);
  }

  write(config: string): void {
    writeFileSync(this.file, config);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export class RunningUp {
  readonly child: ChildProcess;
  readonly lines: LogLine[] = [];
  /** What is no JSON line. */
  text = '';
  readonly ended: Promise<{ code: number | null; signal: string | null }>;
  #waiting: (() => void)[] = [];
  #isOver = false;

  constructor(folder: Folder, env: Record<string, string> = {}) {
    this.child = spawn(process.execPath, [main, 'up', '-c', folder.file], {
      cwd: folder.path,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout!, this.child.stderr!]) {
      let rest = '';
      stream.setEncoding('utf8').on('data', (part: string) => {
        const parts = (rest + part).split('\n');
        rest = parts.pop()!;
        for (const line of parts) this.#take(line);
        this.#tell();
      });
    }
    this.ended = once(this.child, 'close').then(([code, signal]) => {
      this.#isOver = true;
      this.#tell();
      return { code, signal };
    });
  }

  #tell(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #take(line: string): void {
    try {
      this.lines.push(JSON.parse(line) as LogLine);
    } catch {
      this.text += `${line}\n`;
    }
  }

  /** The first line of the log, from `from` on, of which this is true. */
  async line(what: (line: LogLine) => boolean, from = 0): Promise<LogLine> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = this.lines.slice(from).find(what);
      if (found !== undefined) return found;
      if (this.#isOver || performance.now() > deadline) {
        throw new Error(
          `no such line in the log:\n${this.lines.map((line) => JSON.stringify(line)).join('\n')}\n${this.text}`,
        );
      }
      await Promise.race([new Promise<void>((resolve) => this.#waiting.push(resolve)), pause(1000)]);
    }
  }

  async up(): Promise<this> {
    await this.line((line) => line.msg === 'dormouse is up');
    return this;
  }

  /** Port of a listener, or of observe. */
  port(name: string): number {
    const line = this.lines.findLast(({ msg }) => msg === 'dormouse is up' || msg === 'configuration applied')!;
    if (name === 'observe') return (line.observe as { port: number }).port;
    const listeners = line.listeners as ({ name: string; address: string } | string)[];
    const text = listeners.map((each) => (typeof each === 'string' ? each : `${each.name} ${each.address}`));
    return Number(
      text
        .find((each) => each.startsWith(`${name} `))!
        .split(':')
        .at(-1),
    );
  }

  /** Pids of the children that are workers. */
  workers(): number[] {
    const { pid } = this.child;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
    return children.filter((child) => readFileSync(`/proc/${child}/cmdline`, 'utf8').startsWith('dormouse worker-'));
  }

  async stop(): Promise<number | null> {
    this.child.kill('SIGTERM');
    return (await this.ended).code;
  }
}

export interface Answer {
  status: number;
  body: string;
  headers: http.IncomingHttpHeaders;
}

/** Status 0: the connection was lost, `body` says how. */
export function get(port: number, path = '/', agent: http.Agent | false = false): Promise<Answer> {
  return new Promise((resolve) => {
    const request = http.get({ host: '127.0.0.1', port, path, agent }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (part) => (body += part));
      response.on('end', () => resolve({ status: response.statusCode!, body, headers: response.headers }));
      response.on('error', (error) => resolve({ status: 0, body: error.message, headers: {} }));
    });
    request.on('error', (error) => resolve({ status: 0, body: error.message, headers: {} }));
  });
}

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.[0] !== 'Z';
  } catch {
    return false;
  }
}

export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${PATIENCE_MS} ms: ${what}`);
    await pause(20);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
