/** What the API server was asked to write, by its own counters. */
import { callApi } from '../../test/cluster/machine/api.ts';

const WRITING = new Set(['POST', 'PUT', 'PATCH', 'APPLY', 'DELETE', 'DELETECOLLECTION']);

/** Writing requests that it has answered so far, by `VERB resource/subresource`. Leases are left out: the API server writes its own. */
export async function apiWrites(): Promise<Map<string, number>> {
  const { status, body } = await callApi('GET', '/metrics', { timeoutMs: 30_000 });
  if (status !== 200) throw new Error(`the API server's metrics: ${status}`);
  const writes = new Map<string, number>();
  for (const line of body.split('\n')) {
    if (!line.startsWith('apiserver_request_total{')) continue;
    const label = (name: string): string => new RegExp(`[{,]${name}="([^"]*)"`).exec(line)?.[1] ?? '';
    if (!WRITING.has(label('verb')) || label('resource') === 'leases') continue;
    const subresource = label('subresource');
    const what = `${label('verb')} ${label('resource')}${subresource === '' ? '' : `/${subresource}`}`;
    writes.set(what, (writes.get(what) ?? 0) + Number(line.slice(line.lastIndexOf(' ') + 1)));
  }
  return writes;
}

/** What was written between the two, by kind of request. */
export function writesBetween(
  before: ReadonlyMap<string, number>,
  after: ReadonlyMap<string, number>,
): [string, number][] {
  return [...after]
    .map(([what, count]): [string, number] => [what, count - (before.get(what) ?? 0)])
    .filter(([, count]) => count > 0)
    .toSorted(([, a], [, b]) => b - a);
}
