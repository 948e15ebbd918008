/** What speaks as Prometheus, on a real socket, in a test's hands: time, values and faults. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Asked {
  path: string;
  form: URLSearchParams;
  authorization: string | undefined;
}

type Reply = { status?: number; body: unknown } | 'hang' | 'break';

/** Seconds of its clock to one value, or to samples with labels; undefined: nothing. */
export type Series = (atSeconds: number) => number | undefined | Record<string, number>;

export class FakePrometheus {
  readonly asked: Asked[] = [];
  readonly queries = new Map<string, Series>();
  startedMs: number;
  /** Answers this in place of what it would say. */
  reply: ((path: string, form: URLSearchParams) => Reply | null) | null = null;
  type: 'vector' | 'scalar' = 'vector';
  /** Requests that it will never answer and that are still waited for. */
  hanging = 0;
  mostHanging = 0;
  readonly #server: http.Server;
  readonly #nowMs: () => number;

  private constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
    this.startedMs = nowMs() - 86_400_000;
    this.#server = http.createServer((request, response) => void this.#answer(request, response));
  }

  /** `nowMs`: its clock. */
  static async start(nowMs: () => number): Promise<FakePrometheus> {
    const made = new FakePrometheus(nowMs);
    made.#server.listen(0, '127.0.0.1');
    await once(made.#server, 'listening');
    return made;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How often each path was asked. */
  count(path: string, query?: string): number {
    return this.asked.filter((one) => one.path === path && (query === undefined || one.form.get('query') === query))
      .length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const path = request.url!;
    const form = new URLSearchParams(body);
    this.asked.push({ path, form, authorization: request.headers.authorization });
    const reply = this.reply?.(path, form) ?? { body: { status: 'success', data: this.#data(path, form) } };
    if (reply === 'hang') {
      this.mostHanging = Math.max(this.mostHanging, ++this.hanging);
      return void request.socket.once('close', () => this.hanging--);
    }
    if (reply === 'break') return void request.socket.destroy();
    const status = reply.status ?? 200;
    response.writeHead(status, { 'content-type': 'application/json', location: '/login' });
    response.end(typeof reply.body === 'string' ? reply.body : JSON.stringify(reply.body));
  }

  #data(path: string, form: URLSearchParams): unknown {
    if (path.endsWith('/status/runtimeinfo')) return { startTime: new Date(this.startedMs).toISOString() };
    const series = this.queries.get(form.get('query')!) ?? (() => undefined);
    const samples = (at: number): [string, [number, string]][] => {
      const value = series(at);
      const named = value === undefined ? {} : typeof value === 'number' ? { '': value } : value;
      return Object.entries(named).map(([name, one]) => [name, [at, written(one)]]);
    };
    const metric = (name: string): object => (name === '' ? {} : { pod: name });
    if (path.endsWith('/query')) {
      const now = samples(this.#nowMs() / 1000);
      if (this.type === 'scalar') return { resultType: 'scalar', result: now[0]![1] };
      return { resultType: 'vector', result: now.map(([name, value]) => ({ metric: metric(name), value })) };
    }
    const [start, end, step] = ['start', 'end', 'step'].map((name) => Number(form.get(name))) as [
      number,
      number,
      number,
    ];
    const values = new Map<string, [number, string][]>();
    for (let at = start; at <= end + 1e-6; at += step) {
      for (const [name, sample] of samples(at)) values.set(name, [...(values.get(name) ?? []), sample]);
    }
    return {
      resultType: 'matrix',
      result: [...values].map(([name, list]) => ({ metric: metric(name), values: list })),
    };
  }
}

function written(value: number): string {
  if (value === Infinity) return '+Inf';
  return value === -Infinity ? '-Inf' : String(value);
}
