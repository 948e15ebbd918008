/** A message by UDP wakes the backend and keeps it awake for a while; many messages ask for more instances. */
import { createSocket } from 'node:dgram';
import type { TriggerDefinition } from 'dormouse/plugin';
import { address, mapping, whole } from './options.ts';

interface UdpOptions {
  host: string;
  port: number;
  /** Active for this long after a message, ms. */
  keepMs: number;
  /** Messages in that time for each instance. */
  perInstance: number;
}

export const udp: TriggerDefinition = {
  options: (given): UdpOptions => {
    const { listen, keepMs = 10_000, perInstance = 10 } = mapping(given, ['listen', 'keepMs', 'perInstance']);
    return {
      ...address(listen, 'listen'),
      keepMs: whole(keepMs, 'keepMs', 1, 3_600_000),
      perInstance: whole(perInstance, 'perInstance', 1, 1_000_000),
    };
  },
  async start({ host, port, keepMs, perInstance }: UdpOptions, signal, report, { clock, logger }) {
    const socket = createSocket('udp4');
    let times: number[] = [];
    let timer: NodeJS.Timeout | undefined;
    const tell = (): void => {
      const nowMs = clock.nowMs();
      times = times.filter((time) => time > nowMs - keepMs).slice(-10_000);
      const active = times.length > 0;
      const reason = active ? `${times.length} messages in ${keepMs} ms` : 'no message';
      report({ active, desired: times.length / perInstance, reason });
      clearTimeout(timer);
      if (active) timer = setTimeout(tell, times[0]! + keepMs - nowMs + 1);
    };
    socket.on('message', () => {
      times.push(clock.nowMs());
      tell();
    });
    // What it holds is given back when it is to end, and when it fails.
    await new Promise<void>((resolve, reject) => {
      const over = (): void => {
        clearTimeout(timer);
        socket.close(() => resolve());
      };
      socket.on('error', (error) => {
        clearTimeout(timer);
        socket.close();
        reject(error);
      });
      socket.bind(port, host, () => {
        logger.info('listening for messages', { port: socket.address().port });
        tell();
        if (signal.aborted) over();
        else signal.addEventListener('abort', over, { once: true });
      });
    });
  },
};
