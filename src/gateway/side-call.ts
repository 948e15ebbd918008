import type { Duplex } from 'node:stream';
import type { ListenerConfig } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';
import type { GatewayBackend } from './backend.ts';
import type { ClientInfo, ClientSide, ListenerView } from './client-side.ts';
import { Exchange } from './exchange.ts';
import type { SideRequest, SideResponse } from './filters/filter.ts';
import { ForwardingContext } from './forwarding/forwarded.ts';
import type { RequestIds } from './forwarding/request-ids.ts';
import { headerPairs, pairValue } from './header-text.ts';
import type { Runtime } from './runtime.ts';

/** Bytes of a response that a filter asked for; beyond it the call fails. */
const RESPONSE_BYTES = 1_048_576;
/** Bytes of a mirrored request that may wait to be sent; beyond it the copy is dropped. */
const MIRROR_BYTES = 262_144;
/** Copies that are under way at once, per gateway. */
const MIRRORS = 1000;
const NOBODY: ClientInfo = Object.freeze({ peer: '', peerPort: 0, localAddress: '', localPort: 0, tls: null });

export interface SideCallDeps {
  /** null: the configuration has no such backend. */
  backend(name: string): GatewayBackend | null;
  runtime(): Runtime;
  nowMs(): number;
  ids: RequestIds;
}

/** A copy of a request that is told what comes of the original's body. */
export interface MirrorCopy {
  onBody(chunk: Buffer, start: number, end: number): void;
  onRequestEnd(): void;
  /** The original was broken off. */
  drop(): void;
}

/** Requests of the gateway itself: what filters ask of backends, and copies of requests. */
export class SideCalls {
  private readonly deps: SideCallDeps;
  private readonly view: ListenerView;
  private mirrors = 0;
  /** Copies that could not follow, or were too many. */
  mirrorsDropped = 0;

  constructor(deps: SideCallDeps) {
    this.deps = deps;
    this.view = {
      config: OWN_LISTENER,
      get runtime() {
        return deps.runtime();
      },
      draining: false,
      clients: null,
      fixedLines: '',
      nowMs: deps.nowMs,
    };
  }

  /** See FilterServices.call. */
  call(name: string, request: SideRequest, signal: AbortSignal): Promise<SideResponse> {
    const backend = this.deps.backend(name);
    if (backend === null) {
      return Promise.reject(
        new DormouseError('DORMOUSE_SIDE_CALL', `There is no backend "${name}" to ask.`, { userFault: true }),
      );
    }
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    const { method, target, host, headers, body, client } = request;
    const forwarded = client === '' ? '' : `X-Forwarded-For: ${client}\r\n`;
    const length = body === null ? '' : `Content-Length: ${body.length}\r\n`;
    const text = `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${headers}${forwarded}X-Request-Id: ${this.deps.ids.next()}\r\n${length}\r\n`;
    return new Promise((resolve, reject) => {
      const side = new SideCall(this.view, this.deps.ids, RESPONSE_BYTES, (error) => {
        signal.removeEventListener('abort', onAbort);
        if (error !== null) reject(error);
        else resolve(side.response());
      });
      const onAbort = (): void => side.fail(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      const question = target.indexOf('?');
      const path = question < 0 ? target : target.slice(0, question);
      side.exchange.beginSideCall(
        backend,
        { method, host, path, text, client, chunked: false },
        body ?? Buffer.alloc(0),
      );
    });
  }

  /** Begins a copy; null: its backend isn't awake, or too many are under way. */
  mirror(name: string, of: Exchange): MirrorCopy | null {
    const backend = this.deps.backend(name);
    if (backend === null || !backend.hasReady || backend.mustQueue) return null;
    if (this.mirrors >= MIRRORS) {
      this.mirrorsDropped++;
      return null;
    }
    this.mirrors++;
    const side = new SideCall(this.view, this.deps.ids, 0, (error) => {
      this.mirrors--;
      if (error !== null) this.mirrorsDropped++;
    });
    const { body } = of;
    side.pending = !body.done;
    side.exchange.beginSideCall(
      backend,
      {
        method: of.method,
        host: of.host,
        path: of.path,
        // A copy can't become a tunnel.
        text: of.upgrade === '' ? of.upstreamText : withoutUpgrade(of.upstreamText),
        client: of.client,
        chunked: body.chunked,
      },
      body.done ? Buffer.from(body.whole()) : null,
    );
    if (!body.done && body.keptBytes > 0) {
      const kept = body.whole();
      side.onBody(kept, 0, kept.length);
    }
    return side;
  }
}

/** The gateway as a client of its own backends. */
class SideCall implements ClientSide, MirrorCopy {
  readonly listener: ListenerView;
  readonly info = NOBODY;
  readonly peer = '';
  readonly trusted = false;
  readonly forwarding: ForwardingContext;
  readonly requestStartedMs: number;
  readonly acceptedMs = -1;
  readonly silent = true;
  readonly isHttp2 = false;
  readonly exchange: Exchange;
  closing = false;
  readonly halfClosed = false;
  destroyed = false;
  /** The body has not come yet. */
  pending = false;
  private paused = false;
  private waitingBytes = 0;
  private readonly limitBytes: number;
  private done: ((error: Error | null) => void) | null;
  private status = 0;
  private lines = '';
  private parts: Buffer[] = [];
  private received = 0;

  /** `limitBytes`: of the response's body; 0: it is thrown away. `done` is called once. */
  constructor(listener: ListenerView, ids: RequestIds, limitBytes: number, done: (error: Error | null) => void) {
    this.listener = listener;
    this.limitBytes = limitBytes;
    this.done = done;
    this.requestStartedMs = listener.nowMs();
    this.forwarding = new ForwardingContext({ address: '', trusted: false, scheme: 'http', port: 0 }, ids);
    this.exchange = new Exchange(this);
  }

  response(): SideResponse {
    const headers = headerPairs(this.lines);
    return {
      status: this.status,
      headers,
      header: (lowerName) => pairValue(headers, lowerName),
      body: Buffer.concat(this.parts),
    };
  }

  /** Ends it at once, whoever waits for it is told why. */
  fail(error: Error): void {
    if (this.done === null) return;
    const { done } = this;
    this.done = null;
    this.destroyed = true;
    this.exchange.onClientGone();
    done(error);
  }

  // ---- Copy of a request

  onBody(chunk: Buffer, start: number, end: number): void {
    if (this.done === null) return;
    if (this.paused) {
      this.waitingBytes += end - start;
      if (this.waitingBytes > MIRROR_BYTES) {
        this.drop();
        return;
      }
    }
    this.exchange.onBody(chunk, start, end);
  }

  onRequestEnd(): void {
    this.pending = false;
    if (this.done !== null) this.exchange.onRequestEnd('');
  }

  drop(): void {
    this.fail(new DormouseError('DORMOUSE_SIDE_CALL', 'The copy of a request was dropped.'));
  }

  // ---- ClientSide

  get bodyPending(): boolean {
    return this.pending;
  }

  get bodyMissing(): number {
    return this.pending ? -1 : 0;
  }

  /** Nothing is read here, so that nobody's departure could be overlooked. */
  get bodyPaused(): boolean {
    return false;
  }

  pauseBody(): void {
    this.paused = true;
  }

  resumeBody(): void {
    this.paused = false;
    this.waitingBytes = 0;
  }

  expectBody(): void {}
  keepHead(): void {}
  releaseHead(): void {}
  sendInterim(): void {}

  sendWhole(status: number, _reason: string, lines: string, body: Buffer, start: number, end: number): void {
    this.status = status;
    this.lines = lines;
    if (end > start) this.sendBody(Buffer.from(body.subarray(start, end)));
  }

  sendHead(status: number, _reason: string, lines: string): void {
    this.status = status;
    this.lines = lines;
  }

  sendBody(part: Buffer): boolean {
    if (this.limitBytes === 0 || this.done === null) return true;
    this.received += part.length;
    if (this.received > this.limitBytes)
      this.fail(new DormouseError('DORMOUSE_SIDE_CALL', `The answer has more than ${this.limitBytes} bytes.`));
    else this.parts.push(Buffer.from(part));
    return true;
  }

  sendEnd(): void {}

  sendSwitch(): { stream: Duplex; stash: Buffer | null } {
    throw new DormouseError('DORMOUSE_SIDE_CALL', 'A call of the gateway itself was switched to another protocol.');
  }

  endTunnel(): void {}

  get unsentBytes(): number {
    return 0;
  }

  exchangeDone(): void {
    this.destroyed = true;
    const { done } = this;
    this.done = null;
    done?.(null);
  }

  finish(): void {
    this.exchangeDone();
  }

  abort(): void {
    this.fail(new DormouseError('DORMOUSE_SIDE_CALL', 'The answer broke off.'));
  }

  destroy(): void {
    this.abort();
  }
}

function withoutUpgrade(text: string): string {
  return text.replace(/\r\nConnection: Upgrade\r\nUpgrade: [^\r\n]*/, '');
}

const OWN_LISTENER: ListenerConfig = Object.freeze<ListenerConfig>({
  name: '',
  address: { host: '', port: 0 },
  protocol: 'http',
  backend: null,
  tls: null,
  proxyProtocol: { acceptFrom: [] },
  clients: { allow: [], deny: [] },
  http2: { maxStreams: 1, maxResetsPerSecond: 1, windowBytes: 65_535 },
  limits: { connections: 0, headerBytes: 65_536, headers: 256, uriBytes: 65_536, bodyBytes: 0 },
  timeouts: { headerMs: 0, bodyMs: 0, idleMs: 0 },
});
