/** Requests to the API server as the cluster's administrator. */
import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { API_SERVER_URL, CERTIFICATES } from './places.ts';

export interface ApiAnswer {
  status: number;
  body: string;
}

export interface ApiOptions {
  body?: unknown;
  contentType?: string;
  timeoutMs?: number;
}

const TIMEOUT_MS = 10_000;

/** Certificates as files of the run folder name them; read anew each time, since a test may outlive a cluster. */
export function adminCredentials(): { ca: string; cert: string; key: string } {
  const read = (file: string): string => readFileSync(join(CERTIFICATES, file), 'utf8');
  return { ca: read('ca.crt'), cert: read('admin.crt'), key: read('admin.key') };
}

/** Any answer of the server; rejects when there is none within the bound. */
export function callApi(method: string, path: string, options: ApiOptions = {}): Promise<ApiAnswer> {
  const { body, contentType = 'application/json', timeoutMs = TIMEOUT_MS } = options;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      new URL(path, API_SERVER_URL),
      {
        method,
        ...adminCredentials(),
        agent: false,
        signal: AbortSignal.timeout(timeoutMs),
        headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': contentType }) },
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on('data', (chunk: Buffer) => chunks.push(chunk));
        answer.once('error', reject);
        answer.once('end', () =>
          resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
        );
      },
    );
    outgoing.once('error', reject);
    outgoing.end(body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body));
  });
}

/** An object of the API, null when there is none. Throws on every other answer that is no success. */
export async function readObject<T = Record<string, unknown>>(path: string): Promise<T | null> {
  const { status, body } = await callApi('GET', path);
  if (status === 404) return null;
  if (status !== 200) throw new Error(`GET ${path}: ${status} ${body.slice(0, 500)}`);
  return JSON.parse(body) as T;
}

/** Whether the API server says that it is ready. */
export async function isApiReady(timeoutMs = 2_000): Promise<boolean> {
  try {
    return (await callApi('GET', '/readyz', { timeoutMs })).status === 200;
  } catch {
    return false;
  }
}
