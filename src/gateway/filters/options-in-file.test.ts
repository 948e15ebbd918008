/** What is wrong with a filter's options, and with the files that they name, is told with its place in dormouse.yaml. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { defaultRegistry } from '../../commands/registry.ts';
import { ConfigError, parseConfig, toGatewayConfig } from '../../config/index.ts';
import { GatewayHarness } from '../fixtures/gateway-harness.ts';

const folder = mkdtempSync(join(tmpdir(), 'dormouse-filters-'));
after(() => rmSync(folder, { recursive: true, force: true }));
writeFileSync(join(folder, 'user.json'), '{ "type": "object", "required": ["name"] }');
writeFileSync(join(folder, 'broken.json'), '{ "type": ');
writeFileSync(join(folder, 'wrong.json'), '{ "type": "objekt" }');
writeFileSync(join(folder, 'list.json'), '[]');
writeFileSync(join(folder, 'latin1.html'), Buffer.from([0x66, 0xfc]));
writeFileSync(join(folder, 'large.html'), 'x'.repeat(1_048_577));
writeFileSync(join(folder, 'page.html'), '<h1>Later</h1>');

function parse(filters: string) {
  const text = `listeners: [{ address: "127.0.0.1:0" }]
backends: { app: { servers: [http://127.0.0.1:1] } }
routes:
  - rules:
      - backends: [{ name: app }]
        filters:
          - ${filters}
`;
  return parseConfig(text, { file: join(folder, 'dormouse.yaml'), env: {}, registry: defaultRegistry(), cores: 1 });
}

const AT = 'routes[0].rules[0].filters[0]';

for (const [filters, key, message] of [
  ['validate: { json: { file: broken.json } }', 'validate.json.file', /broken\.json is not JSON/],
  ['validate: { json: { file: wrong.json } }', 'validate.json.file', /wrong\.json is not a JSON Schema: .*type/],
  ['validate: { json: { file: list.json } }', 'validate.json.file', /list\.json is not a JSON Schema: it is neither/],
  ['validate: { json: { file: none.json } }', 'validate.json.file', /there is no file .*none\.json/],
  ['validate: { json: { schema: { typ: object } } }', 'validate.json.schema', /unknown keyword: "typ"/],
  ['validate: { json: { schema: { pattern: "(?=a)" } } }', 'validate.json.schema', /linear time/],
  ['validate: { method: [GET] }', 'validate.method', /unknown key/],
  ['validate: { headers: { x: { regex: "(" } } }', 'validate.headers.x', /./],
  ['errorPages: { pages: [{ status: 404, file: none.html }] }', 'errorPages.pages[0].file', /there is no file/],
  ['errorPages: { pages: [{ status: 404, file: latin1.html }] }', 'errorPages.pages[0].file', /is not UTF-8/],
  ['errorPages: { pages: [{ status: 404, file: large.html }] }', 'errorPages.pages[0].file', /is larger than/],
  ['mirror: { backend: nobody }', 'mirror.backend', /nobody/],
  ['compress: { levels: { gzip: 11 } }', 'compress.levels.gzip', /a level of 1 to 9/],
  ['cors: { origins: ["*"], credentials: on }', 'cors.origins', /with credentials/],
  ['body: { request: { set: { "a..b": 1 } } }', 'body.request.set', /names no field/],
  ['rewrite: { query: { remove: [""] } }', 'rewrite.query.remove[0]', /./],
] as const) {
  test(`${filters}: ${key}`, () => {
    assert.throws(
      () => parse(filters),
      (error: ConfigError) => {
        assert.ok(error instanceof ConfigError, String(error));
        const [issue] = error.issues;
        assert.ok(issue!.key.startsWith(`${AT}.${key}`), `${issue!.key}: ${issue!.message}`);
        assert.equal(issue!.line, 7);
        assert.match(issue!.message, message);
        return true;
      },
    );
  });
}

test('files that are named are used by the gateway', async () => {
  const config = parse(
    'validate: { json: { file: user.json } }\n          - errorPages: { pages: [{ status: 5xx, file: page.html }] }',
  );
  const harness = await GatewayHarness.start(structuredClone(toGatewayConfig(config)));
  try {
    const client = await harness.connect();
    client.send('POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}');
    const refused = await client.response();
    assert.equal(refused.status, 422);
    assert.match(refused.body, /required property 'name'/);
    harness.update('app', [{ port: 1 }]);
    client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const failed = await client.response();
    assert.deepEqual([failed.status, failed.body], [502, '<h1>Later</h1>']);
  } finally {
    await harness.close();
  }
});
