/** The question of a look over HTTP/2. In a file of its own: node:http2 is loaded when a backend speaks it. */
import { connect } from 'node:http2';
import type { Socket } from 'node:net';

/** Sends a GET on a connection that is open. `told` is called at most once: with the status, or with what was wrong. */
export function askHttp2(
  socket: Socket,
  url: { scheme: 'http' | 'https'; authority: string; path: string },
  told: (status: number, problem: string) => void,
): void {
  const session = connect(`${url.scheme}://${url.authority}`, { createConnection: () => socket });
  let over = false;
  const once = (status: number, problem: string): void => {
    if (over) return;
    over = true;
    told(status, problem);
    session.close();
  };
  const request = session.request({ ':path': url.path, 'user-agent': 'dormouse-probe' }, { endStream: true });
  session.on('error', () => once(0, 'did not answer with HTTP/2'));
  request.on('error', () => once(0, 'did not answer with HTTP/2'));
  request.on('response', (headers) => once(Number(headers[':status'] ?? 0), ''));
  request.on('close', () => once(0, 'closed the connection without an answer'));
  request.resume();
}
