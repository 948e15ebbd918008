/**
 * h2spec against a running gateway, in the clear and over TLS. What fails is what docs/conformance.md names, no more and no less. Run by
 * `npm run test:conformance`.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { Authority } from '../../src/gateway/fixtures/certificates.ts';
import { backend, configuration } from '../e2e/fixtures/configuration.ts';
import { Place, type Dormouse } from '../e2e/fixtures/dormouse.ts';
import { ensureH2spec, runH2spec } from './h2spec.ts';

const CASES = 146;
const page = readFileSync(new URL('../../docs/conformance.md', import.meta.url), 'utf8');

/** Cases of this transport (h2c or TLS) that the page says stay. */
function documented(transport: string): string[] {
  return Array.from(page.matchAll(/^\| (h2c|TLS) \| `([^`]+)` \|/gm))
    .filter((row) => row[1] === transport)
    .map((row) => row[2]!)
    .toSorted();
}

describe('h2spec', { concurrency: 1 }, () => {
  let place: Place;
  let up: Dormouse;
  let program = '';

  before(async () => {
    program = ensureH2spec();
    const { cert, key } = await (await Authority.create()).issue({ names: ['localhost', '127.0.0.1'] });
    place = new Place(
      configuration({
        listeners: [
          { name: 'web', address: '127.0.0.1:0' },
          {
            name: 'tls',
            address: '127.0.0.1:0',
            protocol: 'https',
            tls: { certificates: [{ cert: 'cert.pem', key: 'key.pem' }] },
          },
        ],
        // An answer before the request's end would be followed by RST_STREAM, and what h2spec sends after it be ignored (RFC 9113, 5.1 and 8.1).
        backends: { app: backend({ afterBody: true }, { scale: { min: 1 } }) },
        routes: [{ backend: 'app' }],
      }),
    );
    writeFileSync(join(place.path, 'cert.pem'), cert);
    writeFileSync(join(place.path, 'key.pem'), key, { mode: 0o600 });
    up = await place.start().up();
  });

  after(async () => {
    await place[Symbol.asyncDispose]();
  });

  for (const transport of ['h2c', 'TLS']) {
    it(`finds nothing but what docs/conformance.md names (${transport})`, { timeout: 180_000 }, async () => {
      const port = await up.port(transport === 'TLS' ? 'tls' : 'web');
      const cases = await runH2spec(program, port, transport === 'TLS', join(place.path, `${transport}.xml`));
      const failed = cases.filter((one) => one.failed);
      console.log(`h2spec, ${transport}: ${cases.length - failed.length} of ${cases.length} passed`);
      for (const one of failed) console.log(`  ${one.name}\n    ${one.detail.replaceAll('\n', '\n    ')}`);
      assert.equal(cases.length, CASES);
      assert.deepEqual(failed.map((one) => one.name).toSorted(), documented(transport));
    });
  }
});
