/** Broken and hostile files, at the start and at a reload. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ask } from './fixtures/client.ts';
import { backend, configuration } from './fixtures/configuration.ts';
import { Place, type Dormouse } from './fixtures/dormouse.ts';

const BOUND = { timeout: 60_000 };

const laughs = ['a: &a [x, x, x, x, x, x, x, x, x, x]'];
for (const [name, of] of [
  ['b', 'a'],
  ['c', 'b'],
  ['d', 'c'],
  ['e', 'd'],
  ['f', 'e'],
  ['g', 'f'],
]) {
  laughs.push(`${name}: &${name} [${Array.from({ length: 10 }, () => `*${of}`).join(', ')}]`);
}

/** Each file with what must stand in what the user is told; every line of it names the file and a place. */
const WRONG: { what: string; text: string | Buffer; told: RegExp[] }[] = [
  {
    what: 'misspelt keys and values that are none: all of them at once',
    text: [
      'wrokers: 2',
      'listeners:',
      '  - { name: web, address: "127.0.0.1:99999" }',
      'backends:',
      '  shop:',
      '    process: { command: [node], startTimeout: 5 }',
      '    scale: { idelAfter: 3s, max: -1 }',
      'routes: [{ backend: shopp }]',
      '',
    ].join('\n'),
    told: [
      /:1:1 wrokers: .*workers/,
      /:3:\d+ listeners\[0\]\.address: port 99999 does not exist/,
      /:6:\d+ backends\.shop\.process\.startTimeout: 5 has no unit/,
      /:7:\d+ backends\.shop\.scale\.idelAfter: .*idleAfter/,
      /:7:\d+ backends\.shop\.scale\.max: /,
      /:8:\d+ routes\[0\]\.backend: .*shopp.*shop/,
    ],
  },
  { what: 'no YAML', text: 'backends: {shop: [\n', told: [/:\d+:\d+: not valid YAML: /] },
  { what: 'tabs', text: 'backends:\n\tshop: {}\n', told: [/:2:1: not valid YAML: tabs/] },
  {
    what: 'aliases that multiply',
    text: `${laughs.join('\n')}\n`,
    told: [/:\d+:\d+: expands to more than \d+ values/],
  },
  { what: 'very deep nesting', text: `backends: ${'['.repeat(100_000)}\n`, told: [/:\d+:\d+:? .*deep|not valid YAML/] },
  { what: 'a key that every object has', text: '__proto__: { polluted: true }\n', told: [/:1:1 __proto__: /] },
  { what: 'bytes that are no text', text: Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x0a]), told: [/UTF-8/] },
  { what: 'a tag that would run code', text: 'backends: !!js/function "process.exit(7)"\n', told: [/:1:11/] },
  { what: 'an empty file', text: '', told: [/dormouse\.yaml/] },
];

describe('a file that is wrong, at the start', { concurrency: 2 }, () => {
  for (const { what, text, told } of WRONG) {
    it(`${what}: exit code 1, what and where, no stack, nothing left`, BOUND, async () => {
      await using place = new Place('');
      writeFileSync(place.file, text);
      const up = place.start();
      assert.deepEqual(await up.ended, { code: 1, signal: null });
      for (const expected of told) assert.match(up.text, expected);
      const lines = up.text.trimEnd().split('\n');
      assert.ok(lines.length >= told.length);
      for (const line of lines) assert.ok(line.includes(place.file), line);
      assert.doesNotMatch(up.text, /\n\s+at |heap|FATAL/);
      assert.deepEqual(up.log, []);
      assert.deepEqual(place.leftovers(), []);
    });
  }

  it('no such file, a folder: exit code 1 and a sentence', BOUND, async () => {
    await using place = new Place('');
    rmSync(place.file);
    const missing = place.start();
    assert.equal((await missing.ended).code, 1);
    assert.match(missing.text, /dormouse\.yaml.*(?:does not exist|no such file|there is no)/i);
    assert.equal(missing.text.trimEnd().split('\n').length, 1);
    chmodSync(place.path, 0o700);
    const { code, stderr } = await place.run('status');
    assert.equal(code, 1);
    assert.match(stderr, /there is no .*dormouse\.yaml/);
  });
});

describe('a file that is wrong, at a reload', () => {
  let place: Place;
  let up: Dormouse;
  let port = 0;
  let pid = '';
  const good = configuration({ backends: { shop: backend() } });
  const taken = net.createServer();

  before(async () => {
    taken.listen(0, '127.0.0.1');
    await once(taken, 'listening');
    place = new Place(good);
    up = await place.start().up();
    port = await up.port();
    pid = (await ask(port, '/shop/slow?ms=0')).body;
  });

  after(async () => {
    taken.close();
    await place[Symbol.asyncDispose]();
  });

  async function refused(write: () => void, why: RegExp): Promise<void> {
    const { version } = (await up.status()).config;
    const seen = up.log.length;
    write();
    const line = await up.line(/the configuration was not applied, the former one stays in force/, seen);
    assert.equal(line.level, 'error');
    assert.match(String(line.reason), why);
    const { config } = await up.status();
    assert.equal(config.version, version);
    assert.match(config.lastError ?? '', why);
    assert.match((await ask(await up.port('observe'), '/metrics')).body, /^dormouse_config_last_reload_successful 0$/m);
    // The same instance answers on the same port.
    assert.equal((await ask(port, '/shop/slow?ms=0')).body, pid);
  }

  for (const { what, text, told } of WRONG.slice(0, 8)) {
    it(`${what}: what is in force stays so, log and status say why`, BOUND, async () => {
      await refused(() => {
        // As editors do: beside it, then over it.
        writeFileSync(join(place.path, 'draft'), text);
        renameSync(join(place.path, 'draft'), place.file);
      }, told[0]!);
    });
  }

  it('a listener whose port is taken: nothing of the new file is in force', BOUND, async () => {
    const other = `127.0.0.1:${(taken.address() as net.AddressInfo).port}`;
    const next = configuration({
      backends: { shop: backend(), more: backend() },
      listeners: [
        { name: 'web', address: '127.0.0.1:0' },
        { name: 'other', address: other },
      ],
    });
    await refused(() => place.write(next), new RegExp(`Listener "other" cannot listen on ${other}: .* listens there`));
    assert.equal((await ask(port, '/more/pid')).status, 404);
    assert.deepEqual(
      (await up.status()).backends.map(({ name }) => name),
      ['shop'],
    );
  });

  it(
    'asked by command: exit code 1 and the same words; a repaired file is applied and the error is gone',
    BOUND,
    async () => {
      place.write(`${good}wrong: 1\n`);
      for (const command of ['reload', 'check']) {
        const failed = await place.run(command);
        assert.equal(failed.code, 1);
        assert.match(failed.stderr, /dormouse\.yaml:\d+:\d+/);
      }
      const { stdout } = await place.run('status');
      assert.match(stdout, /the last reload failed, the version before it is in force/);
      assert.match(stdout, /^ {2}.*dormouse\.yaml:\d+:\d+|is in force: .*dormouse\.yaml:\d+:\d+/m);
      place.write(configuration({ backends: { shop: backend(), more: backend() } }));
      await up.line(/"configuration applied"/);
      const { config, backends } = await up.status();
      assert.deepEqual({ version: config.version, lastError: config.lastError }, { version: 2, lastError: null });
      assert.deepEqual(
        backends.map(({ name }) => name),
        ['shop', 'more'],
      );
      assert.equal((await ask(port, '/shop/slow?ms=0')).body, pid);
      assert.equal((await ask(port, '/more/pid')).status, 200);
      assert.match(
        (await ask(await up.port('observe'), '/metrics')).body,
        /^dormouse_config_last_reload_successful 1$/m,
      );
    },
  );
});
