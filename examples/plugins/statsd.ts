/** Sends all metrics to statsd by UDP: counters as what was added since the last time, gauges as they are. */
import { createSocket } from 'node:dgram';
import type { MetricFamily, MetricsSink, MetricsSinkDefinition } from 'dormouse/plugin';
import { address, mapping } from './options.ts';

interface StatsdOptions {
  host: string;
  port: number;
  prefix: string;
}

/** What fits into one packet nearly everywhere. */
const MAX_PACKET = 1400;

export const statsd: MetricsSinkDefinition = {
  options: (given): StatsdOptions => {
    const options = mapping(given, ['address', 'prefix']);
    return {
      ...address(options['address'], 'address'),
      prefix: typeof options['prefix'] === 'string' ? options['prefix'] : '',
    };
  },
  create: (options: StatsdOptions) => new Statsd(options),
};

class Statsd implements MetricsSink {
  readonly #options: StatsdOptions;
  readonly #socket = createSocket('udp4');
  /** Totals that were sent, by name. */
  #sent = new Map<string, number>();

  constructor(options: StatsdOptions) {
    this.#options = options;
    this.#socket.unref();
  }

  async write(families: readonly MetricFamily[]): Promise<void> {
    let packet = '';
    for (const line of this.#lines(families)) {
      if (packet.length + line.length > MAX_PACKET) {
        await this.#send(packet);
        packet = '';
      }
      packet += packet === '' ? line : `\n${line}`;
    }
    if (packet !== '') await this.#send(packet);
  }

  *#lines(families: readonly MetricFamily[]): Generator<string> {
    const totals = new Map<string, number>();
    for (const { name, type, series } of families) {
      for (const { labels, value, histogram } of series) {
        const full = [this.#options.prefix + name, ...Object.values(labels)].join('.').replaceAll(/[^\w.-]/g, '_');
        if (type === 'gauge') {
          yield `${full}:${value ?? 0}|g`;
          continue;
        }
        const total = histogram === undefined ? (value ?? 0) : histogram.counts.reduce((sum, one) => sum + one, 0);
        totals.set(full, total);
        const before = this.#sent.get(full) ?? 0;
        // A worker that was replaced takes its share along: a total may fall.
        const added = total >= before ? total - before : total;
        if (added > 0) yield `${full}:${added}|c`;
      }
    }
    // Only what there is now is remembered.
    this.#sent = totals;
  }

  #send(packet: string): Promise<void> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#socket.send(packet, port, host, (error) => (error === null ? resolve() : reject(error)));
    });
  }

  close(): Promise<void> {
    return new Promise((resolve) => void this.#socket.close(() => resolve()));
  }
}
