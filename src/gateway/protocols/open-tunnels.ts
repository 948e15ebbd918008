import type { Tunnel } from './tunnel.ts';

/** The open tunnels of a gateway, looked at together: a timer for each would cost more memory than all the rest of an idle one. */
export class OpenTunnels {
  private readonly open = new Set<Tunnel>();

  get size(): number {
    return this.open.size;
  }

  add(tunnel: Tunnel): void {
    this.open.add(tunnel);
  }

  delete(tunnel: Tunnel): void {
    this.open.delete(tunnel);
  }

  sweep(nowMs: number): void {
    for (const tunnel of this.open) tunnel.sweep(nowMs);
  }
}
