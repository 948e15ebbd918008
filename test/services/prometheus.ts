/** A real Prometheus that scrapes one address every half second. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, startProgram, untilListening, type Program } from '../../bench/processes.ts';

export interface Sample {
  metric: Record<string, string>;
  /** NaN and infinities too. */
  value: number;
}

interface QueryAnswer {
  status: string;
  error?: string;
  data: { result: { metric: Record<string, string>; value: [number, string] }[] };
}

export class Prometheus {
  readonly #port: number;
  readonly #program: Program;
  readonly #folder: string;

  private constructor(port: number, program: Program, folder: string) {
    this.#port = port;
    this.#program = program;
    this.#folder = folder;
  }

  static async start(target: string): Promise<Prometheus> {
    const folder = mkdtempSync(join(tmpdir(), 'dormouse-prometheus-'));
    const file = join(folder, 'prometheus.yml');
    const scrapes = { job_name: 'dormouse', static_configs: [{ targets: [target] }] };
    writeFileSync(file, JSON.stringify({ global: { scrape_interval: '500ms' }, scrape_configs: [scrapes] }));
    const port = await freePort();
    const program = startProgram(
      [
        'prometheus',
        `--config.file=${file}`,
        `--storage.tsdb.path=${join(folder, 'data')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--log.level=warn',
      ],
      { core: null },
    );
    await untilListening(program, port, 30_000);
    return new Prometheus(port, program, folder);
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** What an expression gives now. Throws what Prometheus says of a wrong one. */
  async query(expression: string): Promise<Sample[]> {
    const response = await fetch(`http://127.0.0.1:${this.#port}/api/v1/query`, {
      method: 'POST',
      body: new URLSearchParams({ query: expression }),
    });
    const answer = (await response.json()) as QueryAnswer;
    if (answer.status !== 'success') throw new Error(`${expression}: ${answer.error}`);
    return answer.data.result.map(({ metric, value: [, text] }) => ({ metric, value: Number(text) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
