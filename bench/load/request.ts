/** One request at a time over a connection that may be kept, on a bare socket: what was lost, and when, is seen without a client's own retries. */
import { connect, type Socket } from 'node:net';

export interface Answer {
  status: number;
  headers: Map<string, string>;
  body: string;
  /** Monotonic clock: the first byte sent, and the first and last byte of the answer. */
  sentNs: bigint;
  firstByteNs: bigint;
  lastByteNs: bigint;
}

export interface Outgoing {
  method: 'GET' | 'POST';
  path: string;
  id?: string;
  body?: string;
  host?: string;
}

const LONGEST_ANSWER_BYTES = 4 * 1024 * 1024;

export class Connection {
  readonly #port: number;
  #socket: Socket | null = null;
  #received: Buffer = Buffer.alloc(0);
  #wake: (() => void) | null = null;
  #end: Error | null = null;
  #firstByteNs = 0n;

  constructor(port: number) {
    this.#port = port;
  }

  get open(): boolean {
    return this.#socket !== null && this.#end === null;
  }

  async connect(): Promise<void> {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true });
    this.#socket = socket;
    this.#end = null;
    this.#received = Buffer.alloc(0);
    socket.on('data', (chunk: Buffer) => {
      if (this.#firstByteNs === 0n) this.#firstByteNs = process.hrtime.bigint();
      this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
      this.#wake?.();
    });
    const finish = (error: Error): void => {
      this.#end ??= error;
      this.#wake?.();
    };
    socket.on('error', finish);
    socket.on('close', () => finish(new Error('the connection was closed')));
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
  }

  /** Opens the connection when it is not open. Rejects when it breaks before the answer's end or `timeoutMs` passes. */
  async send(request: Outgoing, timeoutMs: number): Promise<Answer> {
    if (!this.open) await this.connect();
    const body = request.body ?? '';
    const length = request.method === 'POST' ? `content-length: ${Buffer.byteLength(body)}\r\n` : '';
    const id = request.id === undefined ? '' : `x-bench-id: ${request.id}\r\n`;
    this.#firstByteNs = 0n;
    const sentNs = process.hrtime.bigint();
    this.#socket?.write(
      `${request.method} ${request.path} HTTP/1.1\r\nhost: ${request.host ?? 'bench'}\r\n${id}${length}\r\n${body}`,
    );
    const bound = setTimeout(() => {
      this.#end ??= new Error(`no answer within ${timeoutMs} ms`);
      this.#wake?.();
    }, timeoutMs);
    try {
      const answer = await this.#answer();
      return { ...answer, sentNs, firstByteNs: this.#firstByteNs, lastByteNs: process.hrtime.bigint() };
    } catch (error) {
      this.close();
      throw error;
    } finally {
      clearTimeout(bound);
    }
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = null;
  }

  async #answer(): Promise<Pick<Answer, 'status' | 'headers' | 'body'>> {
    for (;;) {
      const parsed = parseAnswer(this.#received);
      if (parsed) {
        this.#received = this.#received.subarray(parsed.length);
        if (parsed.answer.headers.get('connection') === 'close') this.close();
        return parsed.answer;
      }
      if (this.#end) throw this.#end;
      if (this.#received.length > LONGEST_ANSWER_BYTES) throw new Error('an endless answer');
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = null;
    }
  }
}

/** Answers with a Content-Length only: all that the bench's application and the gateway's own answers have. */
function parseAnswer(bytes: Buffer): { answer: Pick<Answer, 'status' | 'headers' | 'body'>; length: number } | null {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return null;
  const [statusLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n');
  const headers = new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
  );
  const length = headers.get('content-length');
  if (length === undefined) throw new Error(`an answer without Content-Length: ${statusLine}`);
  const total = end + 4 + Number(length);
  if (bytes.length < total) return null;
  return {
    answer: { status: Number(statusLine.split(' ')[1]), headers, body: bytes.toString('utf8', end + 4, total) },
    length: total,
  };
}
