/** A real NATS with JetStream on a free port, that a test can stop, let go on, kill and start again. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, startProgram, untilListening, type Program } from '../../bench/processes.ts';

export interface NatsOptions {
  /** Whether it offers JetStream; yes when left out. */
  jetStream?: boolean;
  /** Where it listens; 127.0.0.1 when left out. */
  host?: string;
  /** Further lines of its configuration file: users, accounts, TLS. */
  config?: string;
  /** What stands before the host in `url`. */
  login?: string;
}

export class NatsServer {
  readonly port: number;
  /** Where its monitoring answers: what KEDA's scaler asks. */
  readonly monitorPort: number;
  readonly folder = mkdtempSync(join(tmpdir(), 'dormouse-nats-'));
  readonly #options: NatsOptions;
  #program: Program | null = null;

  private constructor(port: number, monitorPort: number, options: NatsOptions) {
    this.port = port;
    this.monitorPort = monitorPort;
    this.#options = options;
  }

  static async start(options: NatsOptions = {}): Promise<NatsServer> {
    const server = new NatsServer(await freePort(), await freePort(), options);
    await server.start();
    return server;
  }

  get url(): string {
    const { login } = this.#options;
    return `nats://${login === undefined ? '' : `${login}@`}127.0.0.1:${this.port}`;
  }

  /** With what it had stored before. */
  async start(): Promise<void> {
    const { jetStream = true, host = '127.0.0.1', config = '' } = this.#options;
    const file = join(this.folder, 'nats.conf');
    const store = jetStream ? `jetstream { store_dir: ${JSON.stringify(join(this.folder, 'store'))} }` : '';
    const place = `listen: "${host}:${this.port}"\nhttp: "${host}:${this.monitorPort}"`;
    writeFileSync(file, `${place}\n${store}\n${config}\n`);
    this.#program = startProgram(['nats-server', '-c', file], { core: null });
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

  /** Loses what it had stored, too. */
  async wipe(): Promise<void> {
    await this.kill();
    rmSync(join(this.folder, 'store'), { recursive: true, force: true });
  }

  /** What its monitoring says, such as `/jsz?streams=true&consumers=true&config=true`. */
  async look<A>(path: string): Promise<A> {
    const answer = await fetch(`http://127.0.0.1:${this.monitorPort}${path}`);
    return (await answer.json()) as A;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.goOn();
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
