import type { BackendConfig } from '../model/config.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';

/** What is allowed in an entry of `backends:` but probably not meant; `written` is the entry as its author wrote it. */
export function backendWarnings(backend: BackendConfig, written: Record<string, unknown>, at: Path): Problem[] {
  const warnings: Problem[] = [];
  if (backend.source.driver === 'static' && written['scale'] !== undefined) {
    warnings.push(problem([...at, 'scale'], 'has no effect on servers: that somebody else runs', 'remove it'));
  }
  const { hash, strategy } = backend.balance;
  if (hash !== null && strategy !== 'consistent-hash') {
    warnings.push(
      problem([...at, 'balance', 'hash'], `has no effect on ${strategy}`, 'write strategy: consistent-hash'),
    );
  }
  return warnings;
}
