import type { Socket } from 'node:net';
import type { ConnectionInfo } from '../connection-info.ts';
import type { UpstreamOptions } from '../upstream/connection.ts';
import type { UpstreamEndpoint } from '../upstream/endpoint.ts';
import { openUpstreamSocket } from '../upstream/socket.ts';

/** Connects that failed because this process has no more descriptors or ports: the endpoint is not to blame. */
export const OWN_FAULTS: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM', 'EADDRNOTAVAIL']);

export interface EndpointStreamOwner {
  onStreamOpen(stream: EndpointStream): void;
  /** It could not be opened. `reason`: a code of the system, or 'timeout'. */
  onStreamFailed(stream: EndpointStream, reason: string): void;
  /** The bytes are only good during the call. */
  onStreamData(chunk: Buffer, start: number, end: number): void;
  onStreamDrain(): void;
  onStreamEnd(): void;
  /** `broken`: by an error or a reset, not by the ends of both directions. */
  onStreamClosed(broken: boolean): void;
}

/** A raw connection to an endpoint. Its owner hears nothing more after `onStreamFailed`, `onStreamClosed` or its own `close`. */
export class EndpointStream {
  readonly endpoint: UpstreamEndpoint;
  readonly socket: Socket;
  private owner: EndpointStreamOwner | null;
  private opened = false;
  private failure = '';

  /** `client`: whom a PROXY header tells of. */
  constructor(
    endpoint: UpstreamEndpoint,
    options: UpstreamOptions,
    client: ConnectionInfo,
    owner: EndpointStreamOwner,
  ) {
    this.endpoint = endpoint;
    this.owner = owner;
    endpoint.open++;
    const { shared } = options.buffers;
    const source =
      options.security === null
        ? null
        : {
            address: client.peer,
            port: client.peerPort,
            localAddress: client.localAddress,
            localPort: client.localPort,
          };
    const reads = {
      buffer: () => shared,
      callback: (size: number, buffer: Buffer): boolean => {
        this.owner?.onStreamData(buffer, 0, size);
        return true;
      },
    };
    const begunMs = options.nowMs();
    const timer = setTimeout(() => {
      this.failure = 'timeout';
      this.socket.destroy();
    }, options.connectTimeoutMs);
    this.socket = openUpstreamSocket(endpoint.host, endpoint.port, options.security, source, reads, () => {
      clearTimeout(timer);
      this.opened = true;
      options.connectDuration.observe(options.nowMs() - begunMs);
      this.owner?.onStreamOpen(this);
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.failure = error.code ?? error.message;
    });
    this.socket.on('end', () => {
      if (this.opened) this.owner?.onStreamEnd();
      else this.socket.destroy();
    });
    this.socket.on('drain', () => this.owner?.onStreamDrain());
    this.socket.on('close', () => {
      clearTimeout(timer);
      endpoint.open--;
      const { owner: told } = this;
      this.owner = null;
      if (told === null) return;
      if (this.opened) told.onStreamClosed(this.failure !== '');
      else told.onStreamFailed(this, this.failure === '' ? 'closed' : this.failure);
    });
  }

  /** Closes at once; `broken`: by a reset where that can be said. */
  close(broken: boolean): void {
    this.owner = null;
    // A TLS connection can't be reset by itself: it ends without the close_notify that a complete one has.
    if (broken && this.opened && !('encrypted' in this.socket)) this.socket.resetAndDestroy();
    else if (broken || !this.opened) this.socket.destroy();
    else this.socket.destroySoon();
  }
}
