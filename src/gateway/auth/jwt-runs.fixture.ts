/** The filter jwt with keys of the test's own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FilterConfig } from '../../model/config.ts';
import { filter } from '../filters/filters.fixture.ts';
import { FilterRuns, HandClock } from './filter-runs.fixture.ts';
import { goodClaims, keySetText, signingPair, type SigningPair } from './issuer.fixture.ts';

/** For one test file. */
export class JwtRuns {
  readonly ec = signingPair('ec', 'ES256');
  readonly rsa = signingPair('rsa', 'RS256');
  /** Has the name of `ec` and is another one. */
  readonly other = signingPair('ec', 'ES256');
  readonly folder = mkdtempSync(join(tmpdir(), 'dormouse-jwt-'));
  readonly #open: { close(): unknown }[] = [];
  #files = 0;

  constructor() {
    process.on('exit', () => rmSync(this.folder, { recursive: true, force: true }));
  }

  /** Closed after the test. */
  keep<T extends { close(): unknown }>(thing: T): T {
    this.#open.push(thing);
    return thing;
  }

  async closeAll(): Promise<void> {
    for (const each of this.#open.splice(0).toReversed()) await each.close();
  }

  keyFile(text: string): { file: string } {
    const file = join(this.folder, `keys-${++this.#files}.json`);
    writeFileSync(file, text);
    return { file };
  }

  start(options: Record<string, unknown> = {}, pairs: SigningPair[] = [this.ec, this.rsa]) {
    const clock = new HandClock();
    const config = jwtFilter({ jwks: this.keyFile(keySetText(...pairs)), ...options });
    const filters = this.keep(new FilterRuns([config], { clock }));
    return { filters, clock, claims: (more: Record<string, unknown> = {}) => goodClaims(clock.ms, more) };
  }
}

/** The schema leaves the names of files and backends to the configuration; here a file's name is its path. */
export function jwtFilter(options: Record<string, unknown>): FilterConfig {
  const made = filter('jwt', { issuer: 'https://issuer.test', audience: 'api', ...options });
  const { jwks } = made.options as { jwks: { file?: unknown; backend?: unknown } };
  for (const key of ['file', 'backend'] as const) {
    const named = jwks[key] as { written?: string; name?: string } | undefined;
    if (named !== undefined) jwks[key] = named.written ?? named.name;
  }
  return made;
}
