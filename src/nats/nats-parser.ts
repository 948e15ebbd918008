/** What a NATS server sends (https://docs.nats.io/reference/reference-protocols/nats-protocol): lines, and messages whose length their line tells. */

export interface NatsMessage {
  subject: string;
  /** Where an answer is expected; '' for none. */
  reply: string;
  /** Of its header's first line; 0: it has none. 503: nobody listens there. */
  status: number;
  description: string;
  data: Buffer;
}

export interface NatsEvents {
  onInfo(info: Record<string, unknown>): void;
  onMessage(sid: number, message: NatsMessage): void;
  onPing(): void;
  onPong(): void;
  /** The server's own words. */
  onError(reason: string): void;
}

/** INFO names all servers of a cluster. */
const LONGEST_LINE = 65_536;
const LARGEST_MESSAGE = 16 * 1024 * 1024;

interface OpenMessage {
  sid: number;
  subject: string;
  reply: string;
  headBytes: number;
  bytes: number;
}

export class NatsParser {
  readonly #events: NatsEvents;
  #rest: Buffer = Buffer.alloc(0);
  /** The message whose line has been read. */
  #open: OpenMessage | null = null;

  constructor(events: NatsEvents) {
    this.#events = events;
  }

  /** Throws when it is not NATS that speaks, or a message is larger than 16 MiB. The chunk may be used again afterwards. */
  execute(chunk: Buffer): void {
    const all = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (;;) {
      const open = this.#open;
      if (open !== null) {
        const end = at + open.bytes;
        if (all.length < end + 2) break;
        this.#open = null;
        this.#message(open, all, at);
        at = end + 2;
        continue;
      }
      const end = all.indexOf('\r\n', at, 'latin1');
      if (end < 0) {
        if (all.length - at > LONGEST_LINE) throw new Error('what answers is no NATS: its line does not end');
        break;
      }
      this.#line(all.toString('latin1', at, end));
      at = end + 2;
    }
    this.#rest = at === all.length ? Buffer.alloc(0) : Buffer.from(all.subarray(at));
  }

  #line(line: string): void {
    const [word = '', ...parts] = line.split(' ');
    switch (word) {
      case 'MSG':
      case 'HMSG':
        this.#open = opened(word, parts);
        return;
      case 'PING':
        return this.#events.onPing();
      case 'PONG':
        return this.#events.onPong();
      case '+OK':
        return;
      case '-ERR':
        return this.#events.onError(line.slice(5).replace(/^'|'$/g, ''));
      case 'INFO':
        return this.#events.onInfo(JSON.parse(line.slice(5)) as Record<string, unknown>);
      default:
        throw new Error(`what answers is no NATS: it says ${JSON.stringify(line.slice(0, 40))}`);
    }
  }

  #message({ sid, subject, reply, headBytes, bytes }: OpenMessage, all: Buffer, at: number): void {
    const [, code = '0', description = ''] =
      headBytes === 0
        ? []
        : (/^NATS\/1\.0(?: (\d{3}))?(?: ([^\r]*))?/.exec(all.toString('latin1', at, at + headBytes)) ?? []);
    const data = Buffer.from(all.subarray(at + headBytes, at + bytes));
    this.#events.onMessage(sid, { subject, reply, status: Number(code), description, data });
  }
}

/** `MSG subject sid [reply] bytes`, `HMSG subject sid [reply] headBytes bytes`. */
function opened(word: string, parts: readonly string[]): OpenMessage {
  const lengths = word === 'MSG' ? 1 : 2;
  const numbers = parts.slice(-lengths).map(Number);
  const bytes = numbers.at(-1)!;
  const headBytes = word === 'MSG' ? 0 : numbers[0]!;
  const [subject = '', sid = '', reply = ''] = parts.slice(0, -lengths);
  if (!(bytes >= 0 && bytes <= LARGEST_MESSAGE && headBytes >= 0 && headBytes <= bytes))
    throw new Error(`a message of ${bytes} bytes is too large`);
  return { sid: Number(sid), subject, reply, headBytes, bytes };
}
