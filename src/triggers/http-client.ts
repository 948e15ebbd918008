/** One HTTP request of a trigger: bounded in time and size, over its own connection, following nowhere. */
import type { IncomingMessage } from 'node:http';
import type { ConnectionOptions } from 'node:tls';

export interface HttpAsk {
  url: URL;
  headers: Readonly<Record<string, string>>;
  /** Sent as a form by POST; null: GET. */
  form: URLSearchParams | null;
  tls: ConnectionOptions;
  boundMs: number;
}

export interface HttpAnswer {
  status: number;
  body: string;
}

const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** Rejects with an Error that says what failed, without naming whom: `(ECONNREFUSED)`, `within 5 s`. */
export async function ask(request: HttpAsk, signal: AbortSignal): Promise<HttpAnswer> {
  const { url, headers, form, tls, boundMs } = request;
  const secure = url.protocol === 'https:';
  const { request: send } = secure ? await import('node:https') : await import('node:http');
  signal.throwIfAborted();
  const body = form === null ? null : form.toString();
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
  const outgoing = send(url, {
    method: body === null ? 'GET' : 'POST',
    // A connection that was kept may be closed by the time of the next question.
    agent: false,
    headers: {
      accept: 'application/json',
      'user-agent': 'dormouse',
      ...headers,
      ...(body === null
        ? {}
        : { 'content-type': 'application/x-www-form-urlencoded', 'content-length': String(Buffer.byteLength(body)) }),
    },
    ...(secure ? tls : {}),
  });
  const timer = setTimeout(() => outgoing.destroy(new Error(`within ${boundMs / 1000} s`)), boundMs);
  const aborted = (): void => void outgoing.destroy(signal.reason as Error);
  signal.addEventListener('abort', aborted, { once: true });
  outgoing.once('error', (error: NodeJS.ErrnoException) =>
    reject(
      error.message.startsWith('within ') ? error : new Error(`(${error.code ?? error.message})`, { cause: error }),
    ),
  );
  outgoing.once('response', (response) => void collect(response).then(resolve, reject));
  outgoing.end(body ?? undefined);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
    outgoing.destroy();
  }
}

async function collect(response: IncomingMessage): Promise<HttpAnswer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) throw new Error('(more than 4 MiB)');
    chunks.push(chunk);
  }
  return { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString() };
}
