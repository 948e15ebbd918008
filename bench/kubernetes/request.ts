/** One GET on a connection of its own, with the wall clock at each step; and the same poll after poll until something answers. */
import { connect, type Socket } from 'node:net';

export interface Answered {
  /** Wall clock ms with a fraction: before the connection is opened, when the first byte of the request is given to the system, and when the answer begins. */
  beganAtMs: number;
  sentAtMs: number;
  firstByteAtMs: number;
  status: number;
  isCold: boolean;
}

export function nowMs(): number {
  return performance.timeOrigin + performance.now();
}

interface Attempt {
  answer: Promise<Answered>;
  socket: Socket;
}

function attempt(host: string, port: number): Attempt {
  const beganAtMs = nowMs();
  const socket = connect({ host, port, noDelay: true });
  const answer = new Promise<Answered>((resolve, reject) => {
    let sentAtMs = 0;
    let firstByteAtMs = 0;
    let text = '';
    socket.once('connect', () => {
      sentAtMs = nowMs();
      socket.write(`GET / HTTP/1.1\r\nhost: ${host}\r\nconnection: close\r\n\r\n`);
    });
    socket.setEncoding('latin1').on('data', (chunk: string) => {
      if (text === '') firstByteAtMs = nowMs();
      text += chunk;
    });
    socket.once('error', reject);
    socket.once('close', () => {
      const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1] ?? 0);
      if (status === 0) reject(new Error('the connection was closed without an answer'));
      else
        resolve({
          beganAtMs,
          sentAtMs,
          firstByteAtMs,
          status,
          isCold: /^x-cold-start: true\r$/im.test(text.split('\r\n\r\n')[0]!),
        });
    });
  });
  return { answer, socket };
}

/** Rejects when the connection fails, or when there is no answer within `boundMs`. */
export async function ask(host: string, port: number, boundMs: number): Promise<Answered> {
  const { answer, socket } = attempt(host, port);
  const bound = setTimeout(() => socket.destroy(new Error(`no answer within ${boundMs} ms`)), boundMs);
  try {
    return await answer;
  } finally {
    clearTimeout(bound);
  }
}

/** A new try every `everyMs`, whatever becomes of those before; the first 200 wins. */
export function poll(host: string, port: number, everyMs: number, boundMs: number): Promise<Answered> {
  return new Promise((resolve, reject) => {
    const open = new Set<Socket>();
    const end = (): void => {
      clearInterval(timer);
      clearTimeout(bound);
      for (const socket of open) socket.destroy();
    };
    const bound = setTimeout(() => {
      end();
      reject(new Error(`nothing answered within ${boundMs} ms`));
    }, boundMs);
    const once = (): void => {
      const { answer, socket } = attempt(host, port);
      open.add(socket);
      answer
        .then(
          (answered) => {
            if (answered.status !== 200) return;
            end();
            resolve(answered);
          },
          () => {},
        )
        .finally(() => open.delete(socket));
    };
    const timer = setInterval(once, everyMs);
    once();
  });
}
