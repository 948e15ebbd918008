import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { errorName, FrameType, PREFACE } from '../../../http2/constants.ts';
import { FrameOutput } from '../../../http2/frame-output.ts';
import { FrameReader } from '../../../http2/frame-reader.ts';
import { DecoderScratch, HpackDecoder } from '../../../http2/hpack-decoder.ts';

export interface Frame {
  type: number;
  flags: number;
  id: number;
  payload: Buffer;
}

/** A client that sends whatever frames a test wants. */
export class RawPeer {
  readonly socket: Socket;
  readonly output = new FrameOutput();
  readonly frames: Frame[] = [];
  closed = false;
  private changed: (() => void)[] = [];
  private readonly decoder = new HpackDecoder(new DecoderScratch());

  private constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true });
    const wake = (): void => {
      for (const go of this.changed.splice(0)) go();
    };
    const reader = new FrameReader({
      stopped: false,
      onFrameTooLarge: () => this.socket.destroy(),
      onFrame: (type, flags, id, bytes, start, end) => {
        this.frames.push({ type, flags, id, payload: Buffer.from(bytes.subarray(start, end)) });
      },
    });
    this.socket.on('data', (chunk: Buffer) => {
      reader.execute(chunk);
      wake();
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.closed = true;
      wake();
    });
  }

  /** Connects and sends preface and SETTINGS. */
  static async open(port: number, settings: readonly (readonly [number, number])[] = []): Promise<RawPeer> {
    const peer = new RawPeer(port);
    await new Promise<void>((resolve, reject) => peer.socket.once('connect', resolve).once('error', reject));
    peer.output.raw(PREFACE);
    peer.output.settings(settings);
    peer.output.settingsAck();
    peer.flush();
    return peer;
  }

  flush(): void {
    for (const piece of this.output.take()) this.socket.write(piece);
  }

  /** A frame that `output` has no words for. */
  frame(type: number, flags: number, id: number, payload: Buffer): void {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(id, 5);
    this.flush();
    this.socket.write(Buffer.concat([head, payload]));
  }

  /** A request's head; fields beyond the pseudo-header ones as literals. */
  request(id: number, path: string, endStream: boolean, fields: Record<string, string> = {}, method = 'GET'): void {
    const block = literals({
      ':method': method,
      ':scheme': 'http',
      ':path': path,
      ':authority': 'app.test',
      ...fields,
    });
    this.output.headers(id, block, block.length, endStream);
  }

  /** Waits until the condition holds, at most 10 s. */
  async until(condition: () => boolean): Promise<void> {
    const give = AbortSignal.timeout(10_000);
    while (!condition()) {
      await new Promise<void>((resolve, reject) => {
        const stop = (): void => reject(new Error(`gave up waiting; frames: ${this.summary()}`));
        give.addEventListener('abort', stop, { once: true });
        this.changed.push(() => {
          give.removeEventListener('abort', stop);
          resolve();
        });
      });
    }
  }

  of(type: number, id?: number): Frame[] {
    return this.frames.filter((frame) => frame.type === type && (id === undefined || frame.id === id));
  }

  /** The connection's end: the name of the error in its GOAWAY. */
  async goaway(): Promise<string> {
    await this.until(() => this.closed || this.of(FrameType.GOAWAY).length > 0);
    const [frame] = this.of(FrameType.GOAWAY);
    return frame === undefined ? 'closed' : errorName(frame.payload.readUInt32BE(4));
  }

  /** The lines of the first head of a stream. */
  async response(id: number): Promise<string[]> {
    await this.until(() => this.of(FrameType.HEADERS, id).length > 0 || this.closed);
    return this.decode(this.of(FrameType.HEADERS, id)[0]!.payload);
  }

  decode(block: Buffer): string[] {
    const lines: string[] = [];
    this.decoder.decode(block, 0, block.length, {
      onField: (bytes, _nameEnd, end) => void lines.push(Buffer.from(bytes.subarray(0, end - 2)).toString('latin1')),
    });
    return lines;
  }

  private summary(): string {
    return JSON.stringify(
      this.frames.slice(-20).map(({ type, flags, id, payload }) => [type, flags, id, payload.length]),
    );
  }

  destroy(): void {
    this.socket.destroy();
  }
}

/** A header block of literals that are in no table. */
export function literals(fields: Record<string, string>): Buffer {
  const parts: Buffer[] = [];
  const string = (text: string): void => {
    const bytes = Buffer.from(text, 'latin1');
    if (bytes.length < 127) parts.push(Buffer.from([bytes.length]), bytes);
    else {
      const length: number[] = [127];
      let rest = bytes.length - 127;
      for (; rest >= 128; rest >>= 7) length.push((rest & 127) | 128);
      parts.push(Buffer.from([...length, rest]), bytes);
    }
  };
  for (const [name, value] of Object.entries(fields)) {
    parts.push(Buffer.from([0]));
    string(name);
    string(value);
  }
  return Buffer.concat(parts);
}
