/** etcd's own API, as JSON over HTTP. */
import { ETCD_URL } from './places.ts';

const TIMEOUT_MS = 10_000;

export async function isEtcdHealthy(): Promise<boolean> {
  try {
    return (await fetch(`${ETCD_URL}/health`, { signal: AbortSignal.timeout(1_000) })).ok;
  } catch {
    return false;
  }
}

/** Up to the newest revision, which is returned. */
export async function compactEtcd(): Promise<number> {
  const { header } = (await call('/v3/maintenance/status', {})) as { header: { revision: string } };
  await call('/v3/kv/compaction', { revision: header.revision, physical: true });
  return Number(header.revision);
}

async function call(path: string, body: object): Promise<unknown> {
  const answer = await fetch(new URL(path, ETCD_URL), {
    method: 'POST',
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!answer.ok) throw new Error(`etcd's ${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}
