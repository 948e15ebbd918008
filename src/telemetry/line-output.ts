/**
 * Whole lines to a file, a pipe or a terminal, without ever waiting or throwing. Lines are gathered and written in batches; what the other side does not
 * take is kept up to a bound, then dropped and counted. Used by the access log (batched) and by the program log (every line at once).
 *
 * - A file is opened for appending and written by the thread pool: a slow disk doesn't stop the event loop, and O_APPEND keeps the batches of several
 *   workers apart. When the file was moved away (logrotate), it is opened again: on `reopen`, and by looking once a second while something is written.
 * - A pipe or terminal is opened anew through /proc/self/fd without blocking (our own open file description: the flag does not reach other programs that
 *   share the pipe). A write of at most PIPE_BUF bytes to a pipe is atomic, so lines of several workers never mix.
 */
import { close, closeSync, constants, fstatSync, openSync, stat, writeSync, writev } from 'node:fs';
import { DormouseError } from '../model/errors.ts';
import { systemClock, type Clock, type Logger } from '../model/ports.ts';

/** POSIX: a write of at most this many bytes to a pipe is atomic (Linux: 4096; macOS: 512, there lines up to that size are safe). */
const PIPE_BUF = 4096;
const NEWLINE = 10;
const BUFFER_BYTES = 64 * 1024;
/** No line may be longer: a batch buffer is written out before it could overflow. */
export const LONGEST_LINE_BYTES = 16 * 1024;
const CLOSE_BOUND_MS = 1000;
/** A full pipe is asked again soon (a reader that keeps up empties its 64 kB in a moment), a stuck one less and less often. */
const FIRST_RETRY_MS = 1;
const LAST_RETRY_MS = 50;
const LOOK_FOR_ROTATION_MS = 1000;
const COMPLAIN_EVERY_MS = 10_000;
const FILE_MODE = 0o640;

export interface LineOutputOptions {
  /** A descriptor that is open already (1: standard output), or a path. */
  target: number | string;
  /** Written out when so many bytes have gathered … */
  flushBytes?: number;
  /** … or so long after the first line; 0: every line at once, and synchronously. */
  flushMs?: number;
  /** Most bytes that wait for a slow reader or disk. */
  limitBytes?: number;
  /** Told (at most once in 10 s) that lines were dropped. */
  logger?: Logger;
  clock?: Clock;
}

interface Batch {
  buffer: Buffer;
  start: number;
  end: number;
}

export class LineOutput {
  readonly #path: string | null;
  readonly #flushBytes: number;
  readonly #flushMs: number;
  readonly #limitBytes: number;
  readonly #logger: Logger | null;
  readonly #clock: Clock;
  #fd: number;
  #ownsFd: boolean;
  #kind: 'file' | 'pipe' | 'other';
  /** Written by writeSync: it does not block, or every line has to go out at once. */
  #direct: boolean;
  #buffer: Buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES);
  #used = 0;
  /** What has gathered should go out as soon as the queue is empty. */
  #due = false;
  #spare: Buffer | null = null;
  #queue: Batch[] = [];
  #queuedBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #writing = false;
  #blocked = false;
  #retryMs = FIRST_RETRY_MS;
  /** The last batch was lost inside a line. */
  #torn = false;
  #reopenWanted = false;
  #lookedAtMs: number;
  #complainedAtMs = -Infinity;
  #closed = false;
  #whenEmpty: (() => void) | null = null;
  /** Lines that were lost because nobody took them. */
  dropped = 0;

  /** Throws DORMOUSE_LOG_FILE when the path cannot be opened. */
  constructor(options: LineOutputOptions) {
    this.#path = typeof options.target === 'string' ? options.target : null;
    this.#flushBytes = Math.min(options.flushBytes ?? 32 * 1024, BUFFER_BYTES - LONGEST_LINE_BYTES);
    this.#flushMs = options.flushMs ?? 200;
    this.#limitBytes = options.limitBytes ?? 1024 * 1024;
    this.#logger = options.logger ?? null;
    this.#clock = options.clock ?? systemClock;
    const opened = typeof options.target === 'string' ? openPath(options.target) : openInherited(options.target);
    this.#fd = opened.fd;
    this.#ownsFd = opened.owned;
    this.#kind = opened.kind;
    this.#direct = opened.nonBlocking || this.#flushMs === 0;
    this.#lookedAtMs = this.#clock.nowMs();
  }

  /** Longest line that stays in one piece when several processes write here. */
  get wholeLineBytes(): number {
    return this.#kind === 'file' ? LONGEST_LINE_BYTES : PIPE_BUF;
  }

  /** One line of ASCII with its newline, at most LONGEST_LINE_BYTES long. The cheap way: copied into a buffer that is used again. */
  writeAscii(line: string): void {
    if (this.#closed || this.#queuedBytes + this.#used > this.#limitBytes || line.length > LONGEST_LINE_BYTES) {
      this.#drop(1);
      return;
    }
    this.#used += this.#buffer.write(line, this.#used, 'latin1');
    if (this.#flushMs === 0) this.flush();
    else if (this.#used < this.#flushBytes) this.#timer ??= setTimeout(this.#onTimer, this.#flushMs);
    else {
      this.#takeGathered();
      this.flush();
    }
  }

  /** One line of any text with its newline, of any length within the bound. Written at once. */
  writeText(line: string): void {
    const bytes = Buffer.from(line, 'utf8');
    if (this.#closed || this.#queuedBytes + this.#used + bytes.length > this.#limitBytes) {
      this.#drop(1);
      return;
    }
    this.#takeGathered();
    this.#queue.push({ buffer: bytes, start: 0, end: bytes.length });
    this.#queuedBytes += bytes.length;
    this.flush();
  }

  /** Begins to write what has gathered. */
  flush(): void {
    this.#due = true;
    // A reader that takes nothing is asked again by the timer only, not at every line.
    if (this.#blocked) {
      this.#timer ??= setTimeout(this.#onTimer, this.#retryMs);
      return;
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#direct) this.#writeNow();
    else this.#writeNext();
  }

  /** Opens the path again before the next write: after a log rotation. Nothing for a descriptor. */
  reopen(): void {
    this.#reopenWanted = this.#path !== null;
    this.flush();
  }

  /** Writes what is left, for at most a second, and closes the file. What could not be written counts as dropped. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#blocked = false;
    this.#takeGathered();
    this.flush();
    if (this.#queue.length > 0) {
      await new Promise<void>((resolve) => {
        const bound = setTimeout(resolve, CLOSE_BOUND_MS);
        this.#whenEmpty = () => {
          clearTimeout(bound);
          resolve();
        };
      });
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const stuck = this.#writing;
    this.#dropQueue();
    // A descriptor that a thread still writes to must not be closed under it.
    if (this.#ownsFd && !stuck) closeSync(this.#fd);
  }

  readonly #onTimer = (): void => {
    this.#timer = null;
    this.#blocked = false;
    this.flush();
  };

  /** Puts what has gathered in the queue. Not done while something is queued, unless it is a full batch: small batches would cost a buffer each. */
  #takeGathered(): void {
    this.#due = false;
    if (this.#used === 0) return;
    this.#queue.push({ buffer: this.#buffer, start: 0, end: this.#used });
    this.#queuedBytes += this.#used;
    this.#used = 0;
    this.#buffer = this.#spare ?? Buffer.allocUnsafeSlow(BUFFER_BYTES);
    this.#spare = null;
  }

  #nextBatch(): Batch | null {
    if (this.#queue.length === 0 && this.#due) this.#takeGathered();
    const batch = this.#queue[0];
    if (batch === undefined) return null;
    if (!this.#torn || batch.buffer[0] === NEWLINE) return batch;
    // The last batch was lost inside a line: this one begins with the newline that is missing. (No line begins with one otherwise.)
    const whole = Buffer.concat([Buffer.from('\n'), batch.buffer.subarray(0, batch.end)]);
    this.#queue[0] = { buffer: whole, start: 0, end: whole.length };
    this.#queuedBytes++;
    return this.#queue[0];
  }

  /** Synchronously, until all is out or nobody takes more. */
  #writeNow(): void {
    this.#beforeWrite();
    for (let batch = this.#nextBatch(); batch !== null; batch = this.#nextBatch()) {
      try {
        this.#written(batch, writeSync(this.#fd, batch.buffer, batch.start, this.#endOfWrite(batch) - batch.start));
      } catch (error) {
        if (this.#isFull(error as Error)) return;
        this.#failed(batch, error as Error);
      }
    }
  }

  /** In the thread pool, one write after the other; to a file everything that is queued at once, since a write takes a turn of the event loop. */
  #writeNext(): void {
    if (this.#writing) return;
    this.#beforeWrite();
    const first = this.#nextBatch();
    if (first === null) return;
    this.#writing = true;
    const batches = this.#kind === 'file' ? [...this.#queue] : [first];
    const pieces = batches.map((batch) => batch.buffer.subarray(batch.start, this.#endOfWrite(batch)));
    writev(this.#fd, pieces, null, (error, bytes) => {
      this.#writing = false;
      // After close has given up, what was left is counted as dropped already.
      if (this.#queue[0] !== first) return;
      if (error !== null && this.#isFull(error)) return;
      let left = bytes;
      for (const batch of batches) {
        if (error !== null) this.#failed(batch, error);
        else {
          const taken = Math.min(left, batch.end - batch.start);
          if (taken > 0) this.#written(batch, taken);
          left -= taken;
        }
      }
      this.#writeNext();
    });
  }

  /** The reader takes nothing at present (a descriptor may be non-blocking because some other program made it so): asked again later. */
  #isFull(error: NodeJS.ErrnoException): boolean {
    if (error.code !== 'EAGAIN') return false;
    this.#blocked = true;
    this.#timer ??= setTimeout(this.#onTimer, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
    return true;
  }

  /** To a pipe or socket, as many whole lines as are written atomically (a longer line by itself); to a file all of it. */
  #endOfWrite(batch: Batch): number {
    if (this.#kind === 'file' || batch.end - batch.start <= PIPE_BUF) return batch.end;
    const newline = batch.buffer.lastIndexOf(NEWLINE, batch.start + PIPE_BUF - 1);
    if (newline >= batch.start) return newline + 1;
    const next = batch.buffer.indexOf(NEWLINE, batch.start);
    return next === -1 || next >= batch.end ? batch.end : next + 1;
  }

  #written(batch: Batch, bytes: number): void {
    this.#retryMs = FIRST_RETRY_MS;
    if (bytes > 0) this.#torn = false;
    batch.start += bytes;
    this.#queuedBytes -= bytes;
    if (batch.start === batch.end) this.#finish(batch);
  }

  #failed(batch: Batch, error: Error): void {
    if (batch.start > 0) this.#torn = batch.buffer[batch.start - 1] !== NEWLINE;
    this.#queuedBytes -= batch.end - batch.start;
    this.#drop(countLines(batch), error);
    this.#finish(batch);
  }

  #finish(batch: Batch): void {
    this.#queue.shift();
    if (batch.buffer.length === BUFFER_BYTES) this.#spare = batch.buffer;
    if (this.#queue.length === 0) this.#whenEmpty?.();
  }

  #dropQueue(): void {
    const batches = this.#queue;
    this.#queue = [];
    for (const batch of batches) this.#drop(countLines(batch));
    this.#queuedBytes = 0;
  }

  #drop(lines: number, error?: Error): void {
    this.dropped += lines;
    const now = this.#clock.nowMs();
    if (this.#logger === null || now - this.#complainedAtMs < COMPLAIN_EVERY_MS) return;
    this.#complainedAtMs = now;
    this.#logger.warn('log lines were dropped', {
      file: this.#path ?? 'stdout',
      dropped: this.dropped,
      reason: error?.message ?? 'the reader is too slow',
    });
  }

  #beforeWrite(): void {
    if (this.#path === null) return;
    if (this.#reopenWanted) this.#openAgain(this.#path);
    const now = this.#clock.nowMs();
    if (this.#kind !== 'file' || this.#closed || now - this.#lookedAtMs < LOOK_FOR_ROTATION_MS) return;
    this.#lookedAtMs = now;
    stat(this.#path, (error, found) => {
      if (this.#closed) return;
      const ours = fstatSync(this.#fd);
      if (error !== null ? error.code === 'ENOENT' : found.ino !== ours.ino || found.dev !== ours.dev)
        this.#reopenWanted = true;
    });
  }

  #openAgain(path: string): void {
    this.#reopenWanted = false;
    try {
      const opened = openPath(path);
      const old = this.#fd;
      this.#fd = opened.fd;
      this.#kind = opened.kind;
      this.#direct = opened.nonBlocking || this.#flushMs === 0;
      close(old, () => {});
    } catch (error) {
      // The old file is still good: better there than nowhere.
      this.#logger?.warn('the log file could not be opened again', { file: path, reason: (error as Error).message });
    }
  }
}

interface Opened {
  fd: number;
  owned: boolean;
  kind: 'file' | 'pipe' | 'other';
  nonBlocking: boolean;
}

function openPath(path: string): Opened {
  try {
    const fd = openSync(
      path,
      constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NOCTTY | constants.O_NONBLOCK,
      FILE_MODE,
    );
    const kind = kindOf(fd);
    return { fd, owned: true, kind, nonBlocking: kind !== 'file' };
  } catch (error) {
    const next =
      (error as NodeJS.ErrnoException).code === 'ENXIO'
        ? 'nobody reads this pipe yet; start its reader first'
        : 'check the folder and its rights';
    throw new DormouseError(
      'DORMOUSE_LOG_FILE',
      `cannot open the log file ${path}: ${(error as Error).message}; ${next}`,
      {
        cause: error,
        userFault: true,
      },
    );
  }
}

function openInherited(fd: number): Opened {
  const kind = kindOf(fd);
  if (kind === 'pipe') {
    try {
      const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_NOCTTY | constants.O_NONBLOCK;
      return { fd: openSync(`/proc/self/fd/${fd}`, flags), owned: true, kind, nonBlocking: true };
    } catch {
      // Not Linux, or a pipe of another user: then the thread pool does the waiting.
    }
  }
  return { fd, owned: false, kind, nonBlocking: false };
}

/** Sockets are `other`: /proc can't open them anew. */
function kindOf(fd: number): Opened['kind'] {
  try {
    const found = fstatSync(fd);
    if (found.isFile()) return 'file';
    return found.isFIFO() || found.isCharacterDevice() ? 'pipe' : 'other';
  } catch {
    // A descriptor that was closed (`>&-`): every write fails and is counted.
    return 'other';
  }
}

function countLines(batch: Batch): number {
  let lines = 0;
  // A batch begins with a newline only where one was put to end a torn line.
  const from = Math.max(batch.start, 1);
  for (
    let at = batch.buffer.indexOf(NEWLINE, from);
    at !== -1 && at < batch.end;
    at = batch.buffer.indexOf(NEWLINE, at + 1)
  )
    lines++;
  return lines;
}
