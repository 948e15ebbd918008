/** Each example of docs/filters.md is accepted, and each exchange on the page happens as it is written there. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { defaultRegistry } from '../../src/commands/registry.ts';
import { parseConfig, toGatewayConfig } from '../../src/config/index.ts';
import { GatewayHarness } from '../../src/gateway/fixtures/gateway-harness.ts';
import { RawBackend, type RawRequest } from '../../src/gateway/fixtures/raw-backend.ts';
import { holds, partsOf, wire } from './fixtures/exchanges.ts';

const page = readFileSync(new URL('../../docs/filters.md', import.meta.url), 'utf8');
const FILE = { file: '/srv/dormouse.yaml', env: {}, registry: defaultRegistry(), cores: 1 };

interface Exchange {
  heading: string;
  filters: string;
  /** What stands under `# the client sends` and so on. */
  parts: Map<string, string>;
}

function exchanges(): Exchange[] {
  const found: Exchange[] = [];
  for (const section of page.split(/^## /m).slice(1)) {
    let filters = '';
    for (const [, kind, text] of section.matchAll(/```(yaml|http)\n([\s\S]*?)```/g)) {
      if (kind === 'yaml') filters = text!;
      else found.push({ heading: section.slice(0, section.indexOf('\n')), filters, parts: partsOf(text!) });
    }
  }
  return found;
}

async function play({ filters, parts }: Exchange): Promise<void> {
  const asked: RawRequest[] = [];
  const copies: RawRequest[] = [];
  let copied = (): void => {};
  const answer = wire(parts.get('the backend answers') ?? 'HTTP/1.1 200 OK\nContent-Length: 2\n\nok');
  const app = await RawBackend.start((request) => {
    asked.push(request);
    request.socket.write(answer, 'latin1');
  });
  const next = await RawBackend.start((request) => {
    copies.push(request);
    request.socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
    copied();
  });
  const file = `listeners: [{ address: 127.0.0.1:0 }]
backends: { app: { servers: [http://127.0.0.1:1] }, next: { servers: [http://127.0.0.1:1] } }
routes:
  - rules:
      - backends: [{ name: app }]
${filters.replaceAll(/^/gm, '        ')}`;
  const harness = await GatewayHarness.start(toGatewayConfig(parseConfig(file, FILE)));
  try {
    harness.update('app', [{ port: app.port }]);
    harness.update('next', [{ port: next.port }]);
    const client = await harness.connect();
    client.send(wire(parts.get('the client sends')!));
    const got = await client.response();
    for (const [name, shown] of parts) {
      if (name === 'the client gets') holds(shown, [got]);
      else if (name === 'the backend gets') holds(shown, [{ head: asked[0]!.head, body: asked[0]!.body() }]);
      else if (name === 'the backend gets nothing') assert.equal(asked.length, 0);
      else if (name === 'the mirror gets') {
        if (copies.length === 0) await new Promise<void>((resolve) => (copied = resolve));
        holds(shown, [{ head: copies[0]!.head, body: copies[0]!.body() }]);
      } else assert.ok(['the client sends', 'the backend answers'].includes(name), name);
    }
  } finally {
    await harness.close();
    await app.close();
    await next.close();
  }
}

for (const [index, exchange] of exchanges().entries())
  test(`${exchange.heading}, exchange ${index + 1}`, { timeout: 20_000 }, () => play(exchange));

test('every filter has a section, and every example is accepted', () => {
  const headings = [...page.matchAll(/^## (.*)$/gm)].flatMap((match) => match[1]!.split(/, | and /));
  assert.deepEqual(headings.sort(), Object.keys(FILE.registry.filters).sort());
  assert.ok(exchanges().length >= 12);
  for (const [, text] of page.matchAll(/```yaml\n([\s\S]*?)```/g)) {
    const file = `backends: { app: { servers: [http://127.0.0.1:1] }, next: { servers: [http://127.0.0.1:1] } }
routes:
  - rules:
      - backends: [{ name: app }]
${text!.replaceAll(/^/gm, '        ')}`;
    assert.doesNotThrow(() => parseConfig(file, FILE), text);
  }
});
