/** Free ports for instances, of all backends of this process: one allocator, so that none is handed out twice while two instances start. */
import { readFile } from 'node:fs/promises';
import net from 'node:net';
import type { Clock, RandomSource } from '../../model/ports.ts';

/**
 * Below the kernel's range for outgoing connections (32768 on Linux): a port from within it, as `listen(0)` gives, may be taken as the source port of any
 * outgoing connection before the application has bound it, and a gateway makes thousands of those.
 */
const LOWEST = 20_000;
const EPHEMERAL_FROM = 32_768;
const REMEMBER_MS = 60_000;
const ATTEMPTS = 50;

export class FreePorts {
  readonly #clock: Clock;
  readonly #random: RandomSource;
  /** Port -> until when it is not handed out again; in order of time, since every entry lives equally long. */
  readonly #recent = new Map<number, number>();
  #below: Promise<number> | null = null;

  constructor(clock: Clock, random: RandomSource) {
    this.#clock = clock;
    this.#random = random;
  }

  /** A port that nothing is bound to on any address, and that this allocator has not given to anyone for a minute. Rejects with the errno of the last attempt. */
  async take(): Promise<number> {
    this.#forget();
    this.#below ??= lowestEphemeral();
    const below = await this.#below;
    let last: unknown = null;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const port = LOWEST + Math.floor(this.#random() * (below - LOWEST));
      if (this.#recent.has(port)) continue;
      // Reserved before the look, which takes a moment in which another start may draw the same number.
      this.#reserve(port);
      try {
        await bindOnce(port);
        return port;
      } catch (error) {
        last = error;
        if ((error as NodeJS.ErrnoException).code === 'EMFILE') throw error;
      }
    }
    // So many are taken that drawing doesn't help: let the kernel choose.
    const port = await bindOnce(0).catch((error: unknown) => {
      throw last ?? error;
    });
    this.#reserve(port);
    return port;
  }

  #reserve(port: number): void {
    this.#recent.delete(port);
    this.#recent.set(port, this.#clock.nowMs() + REMEMBER_MS);
  }

  #forget(): void {
    const now = this.#clock.nowMs();
    for (const [port, untilMs] of this.#recent) {
      if (untilMs > now) return;
      this.#recent.delete(port);
    }
  }
}

async function lowestEphemeral(): Promise<number> {
  const text = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'latin1').catch(() => '');
  const low = Number.parseInt(text, 10);
  return Number.isInteger(low) && low > LOWEST + 1000 ? low : EPHEMERAL_FROM;
}

/** Binds `::` with both families, which fails when any address of either has the port; 0.0.0.0 where there is no IPv6. */
async function bindOnce(port: number): Promise<number> {
  try {
    return await bindTo(port, '::');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EAFNOSUPPORT' && code !== 'EADDRNOTAVAIL' && code !== 'EINVAL') throw error;
    return await bindTo(port, '0.0.0.0');
  }
}

function bindTo(port: number, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once('error', reject);
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address() as net.AddressInfo;
      server.close(() => resolve(address.port));
    });
  });
}
