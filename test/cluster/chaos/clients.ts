/**
 * Clients of one Service, with an account of each request: GET and POST by turns on fresh connections and on kept ones, gRPC, and WebSockets with an echo. They can be told to stop
 * and to go on at any moment, which tests do at the edge of a sleep.
 */
import { Agent, request, type ClientRequest, type IncomingMessage } from 'node:http';
import { connect, constants } from 'node:http2';
import { connect as tcp, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { Ledger, type Kind, type Line } from './ledger.ts';

export interface Address {
  host: string;
  port: number;
  /** Where gRPC is spoken. */
  grpcPort: number;
}

export interface Pace {
  freshEveryMs?: number;
  kept?: { clients: number; everyMs: number };
  grpcEveryMs?: number;
  webSocketEveryMs?: number;
}

/** Longer than any wake that a test waits for. */
const ANSWER_MS = 120_000;
const REACHED_MS = 60_000;
/** Of one WebSocket: one that passes a gateway keeps its service awake. */
const MESSAGES = 10;
/** What an answer says of the program and of the way to it. */
interface Seen {
  /** Of the program. */
  name: string;
  headers?: Record<string, string>;
}

export class Clients implements AsyncDisposable {
  readonly ledger: Ledger;
  readonly #address: Address;
  readonly #run: string;
  readonly #running: Promise<void>[] = [];
  readonly #resumed = new Set<() => void>();
  readonly #sockets = new Set<WebSocket>();
  /** Kept connections on which something was answered, and those of them whose other end is the program itself. (`reusedSocket` of Node is not set for requests that waited for their connection.) */
  readonly #used = new WeakSet<Socket>();
  readonly #straight = new WeakSet<Socket>();
  #sends = true;
  #ended = false;

  /** `run`: the name that its program tells, and the beginning of the requests' own. */
  constructor(address: Address, run: string) {
    this.#address = address;
    this.#run = run;
    this.ledger = new Ledger(run);
  }

  /** Resolves when the Service's address leads to its program, for both of its protocols: kube-proxy has a pace of its own. None of this is in the account. */
  async reached(timeoutMs = REACHED_MS): Promise<void> {
    const endsAtMs = Date.now() + timeoutMs;
    const { host, port, grpcPort } = this.#address;
    for (const number of [port, grpcPort]) {
      while (!(await connects(host, number))) {
        if (Date.now() > endsAtMs) throw new Error(`nobody listens at ${host}:${number} after ${timeoutMs / 1000} s`);
        await pause(50);
      }
    }
  }

  /** Sends from now on. */
  start({ freshEveryMs, kept, grpcEveryMs, webSocketEveryMs }: Pace): void {
    if (freshEveryMs !== undefined) this.#running.push(this.#every(freshEveryMs, (turn) => this.fresh(byTurns(turn))));
    if (grpcEveryMs !== undefined) this.#running.push(this.#every(grpcEveryMs, () => this.grpc()));
    for (let left = kept?.clients ?? 0; left > 0; left--) this.#running.push(this.#keptClient(kept!.everyMs));
    if (webSocketEveryMs !== undefined) this.#running.push(this.#webSocketClient(webSocketEveryMs));
  }

  /** Nothing new is sent, and WebSockets are closed, those that are being opened as soon as they are. What is under way goes on. */
  pause(): void {
    this.#sends = false;
    this.#closeSockets();
  }

  #closeSockets(): void {
    for (const socket of this.#sockets) if (socket.readyState === WebSocket.OPEN) socket.close(1000);
  }

  resume(): void {
    this.#sends = true;
    for (const go of [...this.#resumed]) go();
    this.#resumed.clear();
  }

  /** Ends sending; resolves when everything has been answered or lost. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    this.#closeSockets();
    this.resume();
    await Promise.all(this.#running);
    await this.ledger.settled();
  }

  async #every(everyMs: number, send: (turn: number) => unknown): Promise<void> {
    for (let turn = 0; !this.#ended; turn++) {
      await this.#mayGo();
      if (this.#ended) return;
      void send(turn);
      await pause(everyMs);
    }
  }

  async #mayGo(): Promise<void> {
    if (!this.#sends && !this.#ended) await new Promise<void>((resolve) => this.#resumed.add(resolve));
  }

  // ---- HTTP/1.1

  fresh(method: Line['method']): Promise<Line> {
    return this.#exchange(this.ledger.begin('fresh', method), false);
  }

  /** One connection that is kept; `send` waits for the answer before. */
  keptConnection(): { send(method: Line['method']): Promise<Line>; end(): void } {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    return {
      send: (method) => this.#exchange(this.ledger.begin('kept', method), agent),
      end: () => agent.destroy(),
    };
  }

  async #keptClient(everyMs: number): Promise<void> {
    const connection = this.keptConnection();
    for (let turn = 0; !this.#ended; turn++) {
      await this.#mayGo();
      if (this.#ended) break;
      await connection.send(byTurns(turn));
      await pause(everyMs);
    }
    connection.end();
  }

  #exchange(line: Line, agent: Agent | false): Promise<Line> {
    return new Promise((resolve) => {
      const end = (lost: string | null): void => {
        this.ledger.end(line, lost);
        resolve(line);
      };
      let isReused = false;
      const { host, port } = this.#address;
      const outgoing: ClientRequest = request({
        host,
        port,
        method: line.method,
        path: line.method === 'POST' ? '/count' : '/',
        agent,
        headers: { 'x-id': line.id },
      });
      const timer = setTimeout(() => outgoing.destroy(new Error(`no answer within ${ANSWER_MS / 1000} s`)), ANSWER_MS);
      outgoing.once('close', () => clearTimeout(timer));
      outgoing.once('socket', (socket) => {
        line.pinned = this.#straight.has(socket);
        isReused = this.#used.has(socket);
      });
      outgoing.once('response', (answer) => void this.#read(answer, line, outgoing.socket).then(end));
      outgoing.once('error', (error: NodeJS.ErrnoException) => {
        const isRace = isReused && line.method === 'GET' && error.code === 'ECONNRESET' && !line.retried;
        if (!isRace) return end(`${error.code ?? ''} ${error.message}`.trim());
        line.retried = true;
        resolve(this.#exchange(line, false));
      });
      outgoing.end(line.method === 'POST' ? line.id : undefined);
    });
  }

  async #read(answer: IncomingMessage, line: Line, socket: Socket | null): Promise<string | null> {
    let text = '';
    try {
      for await (const chunk of answer.setEncoding('utf8')) text += String(chunk);
    } catch (error) {
      return `in the answer: ${(error as Error).message}`;
    }
    if (answer.statusCode !== 200) return `${answer.statusCode} ${text.slice(0, 200)}`;
    if (socket !== null) this.#used.add(socket);
    const { name, headers } = JSON.parse(text) as Seen;
    if (name !== this.#run) return `answered by another service: ${name}`;
    if (socket !== null && headers !== undefined && headers['x-forwarded-for'] === undefined)
      this.#straight.add(socket);
    return null;
  }

  // ---- gRPC

  /** One call on a connection of its own. */
  grpc(): Promise<Line> {
    const line = this.ledger.begin('grpc', 'POST');
    const { host, grpcPort } = this.#address;
    return new Promise((resolve) => {
      const session = connect(`http://${host}:${grpcPort}`);
      const end = (lost: string | null): void => {
        this.ledger.end(line, lost);
        clearTimeout(timer);
        session.close();
        resolve(line);
      };
      const fail = (error: NodeJS.ErrnoException): void => {
        session.destroy();
        end(`${error.code ?? ''} ${error.message}`.trim());
      };
      const timer = setTimeout(() => fail(new Error(`no answer within ${ANSWER_MS / 1000} s`)), ANSWER_MS);
      session.once('error', fail);
      const call = session.request({
        ':method': 'POST',
        ':path': '/chaos.Counter/Count',
        'content-type': 'application/grpc',
        te: 'trailers',
        'x-id': line.id,
      });
      let status = 'no grpc-status';
      let bytes = 0;
      call.once('error', fail);
      const told = (headers: Record<string, unknown>): void => {
        if (headers['grpc-status'] !== undefined)
          status = `grpc-status ${String(headers['grpc-status'])} ${String(headers['grpc-message'] ?? '')}`;
        else if (headers[':status'] !== 200) status = `:status ${String(headers[':status'])}`;
      };
      call.once('response', told);
      call.once('trailers', told);
      call.on('data', (chunk: Buffer) => (bytes += chunk.length));
      call.once('close', () => {
        if (status.startsWith('grpc-status 0') && bytes === MESSAGE.length) end(null);
        else end(call.rstCode === constants.NGHTTP2_NO_ERROR ? status : `stream reset with ${call.rstCode}`);
      });
      call.end(MESSAGE);
    });
  }

  // ---- WebSocket

  /** Opens one, has a message echoed, and closes it. */
  webSocket(): Promise<Line> {
    const line = this.ledger.begin('websocket', 'GET');
    return new Promise((resolve) => {
      const socket = this.#open();
      const end = (lost: string | null): void => {
        this.ledger.end(line, lost);
        resolve(line);
      };
      socket.on('message', (data) => {
        const text = String(data as Buffer);
        if (text.startsWith('{')) socket.send(line.id);
        else if (text === line.id) {
          end(null);
          socket.close(1000);
        }
      });
      socket.once('error', (error) => end(error.message));
      socket.once('close', (code) => end(`closed with ${code} before the echo`));
    });
  }

  #open(): WebSocket {
    const { host, port } = this.#address;
    const socket = new WebSocket(`ws://${host}:${port}/`, { handshakeTimeout: ANSWER_MS });
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    return socket;
  }

  /** A line for each handshake and for each message, echoed before the next. A new one when it was closed, which it is after some. */
  async #webSocketClient(everyMs: number): Promise<void> {
    while (!this.#ended) {
      await this.#mayGo();
      if (this.#ended) return;
      await this.#conversation(everyMs);
      await pause(everyMs);
    }
  }

  #conversation(everyMs: number): Promise<void> {
    let line = this.ledger.begin('websocket', 'GET');
    const socket = this.#open();
    let left = MESSAGES;
    const next = (): void => {
      if (socket.readyState !== WebSocket.OPEN || left-- === 0 || this.#ended || !this.#sends)
        return socket.close(1000);
      line = this.ledger.begin('websocket', 'GET');
      socket.send(line.id);
    };
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      socket.on('message', (data) => {
        const text = String(data as Buffer);
        if (!text.startsWith('{') && text !== line.id) return;
        this.ledger.end(line, null);
        timer = setTimeout(next, everyMs);
      });
      socket.once('error', (error) => this.ledger.end(line, error.message));
      socket.once('close', (code) => {
        clearTimeout(timer);
        // A program that goes away, or a client that stops, ends a conversation in order (RFC 6455, 7.4.1): a message on its way then is the protocol's to say again.
        this.ledger.end(line, code === 1000 || code === 1001 ? null : `closed with ${code}`);
        resolve();
      });
    });
  }
}

function connects(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = tcp({ host, port }, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** Length-prefixed, empty (gRPC over HTTP/2, "Length-Prefixed-Message"). */
const MESSAGE = Buffer.alloc(5);

function byTurns(turn: number): Line['method'] {
  return turn % 2 === 0 ? 'GET' : 'POST';
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export type { Kind };
