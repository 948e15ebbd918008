/** The way from a client to the API server, which can be closed for this client alone: other tests use the same API server. */
import net from 'node:net';

export class Road implements AsyncDisposable {
  readonly #port: number;
  readonly #host: string;
  #own = 0;
  #server: net.Server;
  #silent = false;
  readonly #sockets = new Set<net.Socket>();

  private constructor(server: string) {
    const { hostname, port } = new URL(server);
    this.#host = hostname;
    this.#port = Number(port || 443);
    this.#server = this.#newServer();
  }

  static async to(server: string): Promise<Road> {
    const road = new Road(server);
    await road.#listen();
    return road;
  }

  get url(): string {
    return `https://127.0.0.1:${this.#own}`;
  }

  /** refused: connections are reset, and new ones refused. silent: nothing passes in either direction; those that are open then never pass anything again. */
  async close(mode: 'refused' | 'silent'): Promise<void> {
    if (mode === 'silent') {
      this.#silent = true;
      for (const socket of this.#sockets) socket.unpipe().pause();
      return;
    }
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.resetAndDestroy();
    await closed;
  }

  async open(): Promise<void> {
    this.#silent = false;
    if (this.#server.listening) return;
    this.#server = this.#newServer();
    await this.#listen();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #listen(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.listen(this.#own, '127.0.0.1', () => {
        this.#own = (this.#server.address() as net.AddressInfo).port;
        resolve();
      });
    });
  }

  #newServer(): net.Server {
    return net.createServer((near) => {
      this.#keep(near);
      if (this.#silent) {
        near.pause();
        return;
      }
      const far = net.connect({ host: this.#host, port: this.#port, noDelay: true });
      this.#keep(far);
      near.pipe(far).pipe(near);
      near.once('close', () => far.destroy());
      far.once('close', () => near.destroy());
    });
  }

  #keep(socket: net.Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => this.#sockets.delete(socket));
  }
}
