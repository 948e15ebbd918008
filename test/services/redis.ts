/** A real Redis on a free port, that a test can stop, let go on, kill and start again. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, runProgram, startProgram, untilListening, type Program } from '../../bench/processes.ts';

export class RedisServer {
  readonly port: number;
  readonly password: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'dormouse-redis-'));
  #program: Program | null = null;

  readonly #more: readonly string[];

  private constructor(port: number, password: string, more: readonly string[]) {
    this.port = port;
    this.password = password;
    this.#more = more;
  }

  /** `more`: further arguments. */
  static async start(password = '', more: readonly string[] = []): Promise<RedisServer> {
    const server = new RedisServer(await freePort(), password, more);
    await server.start();
    return server;
  }

  get url(): string {
    const user = this.password === '' ? '' : `:${this.password}@`;
    return `redis://${user}127.0.0.1:${this.port}/0`;
  }

  async start(): Promise<void> {
    this.#program = startProgram(
      [
        'redis-server',
        ...['--bind', '127.0.0.1', '--port', String(this.port), '--dir', this.#folder],
        ...['--save', '', '--appendonly', 'no'],
        ...(this.password === '' ? [] : ['--requirepass', this.password]),
        ...this.#more,
      ],
      { core: null },
    );
    await untilListening(this.#program, this.port);
  }

  /** It hangs: the kernel still accepts for it. */
  stop(): void {
    this.#program!.child.kill('SIGSTOP');
  }

  goOn(): void {
    this.#program!.child.kill('SIGCONT');
  }

  async kill(): Promise<void> {
    this.#program!.child.kill('SIGKILL');
    await this.#program!.ended;
  }

  /** What redis-cli prints for a command. */
  async say(...command: string[]): Promise<string> {
    const auth = this.password === '' ? [] : ['-a', this.password, '--no-auth-warning'];
    return runProgram(['redis-cli', '-p', String(this.port), ...auth, ...command], { core: null }, 10_000);
  }

  /** Of gateways, not of redis-cli. */
  async connections(): Promise<number> {
    const clients = (await this.say('CLIENT', 'LIST')).split('\n').filter((line) => line.startsWith('id='));
    return clients.filter((line) => !line.includes('cmd=client')).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.goOn();
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
