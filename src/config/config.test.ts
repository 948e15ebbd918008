import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Ajv2020 } from 'ajv/dist/2020.js';
import fc from 'fast-check';
import { parse } from 'yaml';
import { z } from 'zod';
import { ConfigError, jsonSchema, loadConfig, parseConfig, toGatewayConfig } from './index.ts';
import type { Config } from '../model/config.ts';
import type { OptionsSchema } from '../model/options-schema.ts';
import { MAX_FILE_BYTES } from './load.ts';
import { Authority, writePem } from '../gateway/fixtures/certificates.ts';
import { readPlainYaml } from './plain-yaml.ts';

const folder = mkdtempSync(join(tmpdir(), 'dormouse-config-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const registry = {
  filters: { requestHeaders: z.strictObject({ set: z.record(z.string(), z.string()).optional() }) },
  strategies: ['round-robin', 'consistent-hash'],
};
const options = { file: '/srv/dormouse.yaml', env: {}, registry, cores: 2 };

/** Nobody writes to it: opening it would wait for ever. */
function namedPipe(name: string): string {
  const path = join(folder, name);
  execFileSync('mkfifo', [path]);
  return path;
}

async function refusal(promise: Promise<unknown>): Promise<ConfigError> {
  const error = await promise.then(
    () => assert.fail('was accepted'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof ConfigError, String(error));
  assert.equal(error.userFault, true);
  return error;
}

test('a file that can not be read is a sentence with a next step', async () => {
  const file = (name: string, content?: string | Buffer): string => {
    const path = join(folder, name);
    if (content !== undefined) writeFileSync(path, content);
    return path;
  };
  mkdirSync(join(folder, 'dir'));
  const cases: [string, RegExp][] = [
    [file('missing.yaml'), /missing\.yaml: there is no such file; create missing\.yaml, or name another with -c$/],
    [file('dir'), /dir: is a folder; name the file in it/],
    [join(file('plain.yaml', 'a: 1'), 'x'), /a part of this path is a file/],
    [
      file('latin1.yaml', Buffer.from('a: 1\nb: gr\xfc\xdfe\n', 'latin1')),
      /latin1\.yaml:2:6: is not UTF-8 text; save the file as UTF-8$/,
    ],
    [file('cut.yaml', Buffer.from([0x61, 0x3a, 0x20, 0xc3])), /cut\.yaml:1:\d: is not UTF-8 text/],
    [file('large.yaml', Buffer.alloc(MAX_FILE_BYTES + 1, 0x23)), /is larger than 16 MiB/],
    ['nul\0.yaml', /can't be read/],
    [namedPipe('pipe.yaml'), /pipe\.yaml: is a pipe, a socket or a device; name a regular file, or \/dev\/stdin$/],
  ];
  if (process.getuid?.() !== 0) {
    const secret = file('secret.yaml', 'a: 1');
    chmodSync(secret, 0);
    cases.push([secret, /may not be read; allow it with chmod/]);
  }
  for (const [path, expected] of cases) {
    const error = await refusal(loadConfig(path, { env: {}, registry }));
    assert.equal(error.code, 'DORMOUSE_CONFIG_UNREADABLE');
    assert.match(error.message, expected);
  }
});

test('a file is loaded, relative to its own folder, frozen to the last leaf', async () => {
  const path = join(folder, 'dormouse.yaml');
  writeFileSync(path, '\ufeffbackends: { app: { process: { command: [node, s.js], cwd: app } } }\n');
  const config = await loadConfig(path, { env: {}, registry });
  assert.equal(config.stateDir, join(folder, '.dormouse'));
  assert.ok(config.workers >= 1);
  const { source } = config.backends[0]!;
  assert.ok(source.driver === 'process' && source.process.cwd === join(folder, 'app'));
  const open: unknown[] = [config];
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value !== 'object' || value === null) continue;
    assert.ok(Object.isFrozen(value));
    open.push(...Object.values(value));
  }
});

test('gateways are told nothing of how backends are run', () => {
  const config = parseConfig(
    'backends: { app: { process: { command: [node], env: { SECRET: hidden } }, health: { http: / } } }',
    options,
  );
  const share = toGatewayConfig(config);
  assert.deepEqual(Object.keys(share.backends[0]!).sort(), [
    'balance',
    'breaker',
    'clients',
    'driver',
    'ejection',
    'endpoints',
    'idle',
    'name',
    'proxyProtocol',
    'scale',
    'tls',
    'wake',
  ]);
  assert.doesNotMatch(JSON.stringify(share), /hidden|stateDir/);
});

test('an expansion is a number where a number is wanted and text where text is wanted', () => {
  const text = `
workers: \${N}
telemetry: { log: { level: "\${LEVEL:-warn}" } }
stateDir: \${N}
backends: { app: { process: { command: [run, "\${N}", "$$N"], env: { A: "\${T}" } }, scale: { max: "\${N}" } } }
routes: [{ rules: [{ backends: [{ name: app }], filters: [{ requestHeaders: { set: { x-a: "\${N}", x-b: "\${T}", x-c: "a\${N}" } } }] }] }]
`;
  const config = parseConfig(text, { ...options, env: { N: '3', T: 'true', LEVEL: '' } });
  assert.equal(config.workers, 3);
  assert.equal(config.stateDir, '/srv/3');
  assert.equal(config.telemetry.log.level, 'warn');
  const { source, scale } = config.backends[0]!;
  assert.ok(source.driver === 'process');
  assert.deepEqual(source.process.command, ['run', '3', '$N']);
  assert.deepEqual(source.process.env, { A: 'true' });
  assert.equal(scale.max, 3);
  assert.deepEqual(config.routes[0]!.rules[0]!.filters[0]!.options, {
    set: { 'x-a': '3', 'x-b': 'true', 'x-c': 'a3' },
  });
});

test('gateways report more often for a backend that falls asleep soon', () => {
  const interval = (idleAfter: string): number =>
    parseConfig(`backends: { app: { process: { command: [node] }, scale: { idleAfter: ${idleAfter} } } }`, options)
      .reportIntervalMs;
  assert.deepEqual(['60s', '4s', '300ms', '0s'].map(interval), [1000, 1000, 75, 50]);
});

test('an error hides no other: broken entries do not keep the good ones from being checked', () => {
  const text = `
backends:
  a: { process: { command: 5 } }
  b: { process: { command: [node] }, scale: { min: 3 } }
routes:
  - { backend: c }
  - { host: x }
`;
  assert.throws(
    () => parseConfig(text, options),
    (error: ConfigError) => {
      assert.deepEqual(
        error.issues.map(({ line, key }) => [line, key]),
        [
          [3, 'backends.a.process.command'],
          [4, 'backends.b.scale.min'],
          [6, 'routes[0].backend'],
          [7, 'routes[1].host'],
        ],
      );
      return true;
    },
  );
});

test('at most 20 issues are listed, the rest is counted', () => {
  const text = `backends:\n${Array.from({ length: 50 }, (_, i) => `  b${i}: { servers: [ftp://x] }`).join('\n')}`;
  assert.throws(
    () => parseConfig(text, options),
    (error: ConfigError) => error.issues.length === 20 && error.message.endsWith('\nand 30 more'),
  );
});

test('deep nesting, many keys and odd names end in an error, not in a stack overflow or a changed prototype', () => {
  const texts = [
    `a: ${'['.repeat(5000)}`,
    `a: ${'{a: '.repeat(5000)}`,
    `a:\n  ${'- '.repeat(5000)}`,
    Array.from({ length: 2000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
    Array.from({ length: 150_000 }, (_, i) => `k${i}: 1`).join('\n'),
    '__proto__: { workers: 2 }\nbackends: { a: { servers: [http://x] } }',
    'backends: { a: { process: { command: [node], env: { __proto__: x } } } }',
    'backends: { constructor: 1, toString: 2, __proto__: 3 }',
    'a: &x { b: *x }',
    '? [a, b]\n: c',
    '%YAML 1.1\n---\nworkers: 2001-01-01\nbackends: !!set { a, b }',
  ];
  for (const text of texts) assert.throws(() => parseConfig(text, options), ConfigError, text.slice(0, 60));
  assert.equal(({} as { workers?: number }).workers, undefined);
});

test('whatever stands in the file, the answer is a configuration or a ConfigError (property)', () => {
  const word = fc.constantFrom(
    ...[
      'workers',
      'stateDir',
      'listeners',
      'backends',
      'routes',
      'observe',
      'telemetry',
      'security',
      'name',
      'address',
      'process',
      'command',
      'env',
      'servers',
    ],
    ...[
      'scale',
      'min',
      'max',
      'by',
      'target',
      'wake',
      'with',
      'balance',
      'strategy',
      'hash',
      'health',
      'rules',
      'matches',
      'path',
      'filters',
      'requestHeaders',
    ],
    ...['app', 'x', 'tls', 'triggers', 'kubernetes', 'limits', 'timeouts', '__proto__', '', 'héllo'],
  );
  const leaf = fc.oneof(
    word,
    fc.constantFrom(
      '${X}',
      '${X:-1}',
      '$$',
      '${',
      '30s',
      '1MiB',
      ':80',
      'http://h:80',
      '/',
      '200-399',
      'off',
      '*.a',
      '10.0.0.0/8',
      '1h30m',
    ),
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.string(),
  );
  const { tree } = fc.letrec((tie) => ({
    tree: fc.oneof({ maxDepth: 6 }, leaf, tie('map'), tie('list')),
    map: fc.dictionary(word, tie('tree'), { maxKeys: 5 }),
    list: fc.array(tie('tree'), { maxLength: 4 }),
  }));
  const section = fc.dictionary(word, tree, { maxKeys: 4 });
  const file = fc.record(
    {
      workers: tree,
      listeners: fc.array(section, { maxLength: 3 }),
      backends: fc.dictionary(word, section, { maxKeys: 4 }),
      routes: fc.array(section, { maxLength: 3 }),
    },
    { requiredKeys: [] },
  );
  const noise = fc.array(
    fc.oneof(
      word,
      fc.constantFrom(
        ': ',
        '\n',
        '\n  ',
        '- ',
        '[',
        ']',
        '{',
        '}',
        ', ',
        '&a ',
        '*a',
        '!x',
        '|',
        '"',
        '#',
        '\t',
        '<<: ',
      ),
    ),
    { maxLength: 40 },
  );
  const text = fc.oneof(
    file.map((value) => JSON.stringify(value)),
    tree.map((value) => JSON.stringify(value) ?? ''),
    noise.map((pieces) => pieces.join('')),
    fc.string({ unit: 'binary' }),
  );
  fc.assert(
    fc.property(text, (yaml) => {
      try {
        parseConfig(yaml, options);
      } catch (error) {
        assert.ok(error instanceof ConfigError, String((error as Error).stack));
        for (const issue of error.issues) assert.ok(issue.message !== '' && issue.line >= 0);
      }
    }),
    { numRuns: 1500 },
  );
});

test('5,000 backends and routes are read by the fast reader and compiled in less than two seconds', () => {
  let text = 'backends:\n';
  for (let i = 0; i < 5000; i++)
    text += `  app-${i}:\n    process:\n      command: [node, server.js, "--id=${i}"]\n    scale: { max: 3, idleAfter: 30s }\n`;
  text += 'routes:\n';
  for (let i = 0; i < 5000; i++) text += `  - { hosts: [app-${i}.example.com], backend: app-${i} }\n`;
  assert.notEqual(readPlainYaml(text), undefined);
  const before = performance.now();
  assert.equal(parseConfig(text, options).routes.length, 5000);
  const elapsedMs = performance.now() - before;
  assert.ok(elapsedMs < 2000, `took ${Math.round(elapsedMs)} ms`);
});

test('an alias without anchor is reported, merged or not', () => {
  for (const text of ['<<: *a', 'a: *a', '<<: [*a, { b: 1 }]'])
    assert.throws(() => parseConfig(text, options), /no anchor &a stands before/);
  assert.throws(() => parseConfig('<<: 5', options), /expected a mapping to merge, got 5/);
});

test('the JSON Schema for editors knows keys, kinds, defaults and the filters of the registry', () => {
  const schema = JSON.stringify(jsonSchema(registry));
  assert.match(schema, /"idleAfter":\{"default":"60s","type":\["string","integer"\]/);
  assert.match(schema, /"oneOf":\[\{"type":"object","properties":\{"requestHeaders":/);
  assert.match(schema, /"interval":\{"default":"10s"/, 'metrics sinks, though only plugins bring any');
  assert.doesNotMatch(schema, /partSchemas|beside/);
});

test('options of plugins are checked by their own schema, with the place of what is wrong', () => {
  const part = (options: OptionsSchema | undefined) => ({ options, version: '1' });
  const plugins = {
    filters: {
      tenant: part(z.strictObject({ names: z.array(z.string()).default(['blue']), since: z.number().optional() })),
      plain: part(undefined),
      byHand: part((given: unknown) => {
        if ((given as { ok?: unknown }).ok !== true) throw new Error('ok: expected true');
        return { since: undefined, ok: true };
      }),
      odd: part(() => new Map()),
      slow: part(z.object({}).refine(async () => true)),
      mirror: { ...part(undefined), answers: true },
    },
    strategies: { own: { ...part(z.object({ n: z.number().default(3) })), version: 'abc' } },
    triggers: { queue: part(z.object({ length: z.number() })) },
    metricsSinks: { push: part(undefined) },
  };
  const read = (rule: string, more = ''): Config =>
    parseConfig(
      `backends: { app: { process: { command: [node] }, ${more} } }\nroutes: [{ rules: [{ ${rule} }] }]\ntelemetry: { metricsSinks: [{ push: , interval: 1s }] }`,
      { ...options, registry: { ...registry, plugins }, plugins: [{ path: '/srv/x.ts', version: '1' }] },
    );
  const config = read(
    'backends: [{ name: app }], filters: [{ tenant: }, { plain: {} }, { byHand: { ok: true } }]',
    'balance: { strategy: own }, triggers: [{ queue: { length: 5 } }, { queue: { length: 6 }, name: b }]',
  );
  assert.deepEqual(
    config.routes[0]!.rules[0]!.filters.map((filter) => filter.options),
    [{ names: ['blue'] }, {}, { ok: true }],
  );
  assert.deepEqual(config.backends[0]!.balance.options, { n: 3 });
  assert.equal(config.backends[0]!.balance.plugin, 'abc');
  assert.deepEqual(config.backends[0]!.triggers, [
    { name: 'queue', type: 'queue', options: { length: 5 } },
    { name: 'b', type: 'queue', options: { length: 6 } },
  ]);
  assert.deepEqual(config.telemetry.metricsSinks, [{ type: 'push', options: {}, intervalMs: 1000 }]);
  assert.deepEqual(config.plugins, [{ path: '/srv/x.ts', version: '1' }]);
  assert.deepEqual(toGatewayConfig(config).telemetry.metricsSinks, []);
  assert.doesNotThrow(() => read('filters: [{ mirror: }]'), 'it answers, so that no backend is needed');
  const faults: [string, string, RegExp][] = [
    [
      'filters: [{ tenant: { names: [1] } }]',
      '',
      /:2:\d+ routes\[0\]\.rules\[0\]\.filters\[0\]\.tenant\.names\[0\]: Invalid input/,
    ],
    ['filters: [{ plain: { a: 1 } }]', '', /filters\[0\]\.plain: takes no options/],
    ['filters: [{ byHand: }]', '', /filters\[0\]\.byHand: ok: expected true/],
    ['filters: [{ odd: }]', '', /filters\[0\]\.odd: what the plugin's schema made of it is not plain data/],
    ['filters: [{ slow: }]', '', /filters\[0\]\.slow: the plugin's schema answers by a promise/],
    ['', 'balance: { strategy: own, options: { n: x } }', /:1:\d+ backends\.app\.balance\.options\.n: /],
    ['', 'balance: { options: {} }', /backends\.app\.balance\.options: round-robin has no options; remove it/],
    [
      '',
      'triggers: [{ queue: { length: 1 } }, { queue: { length: 2 } }]',
      /triggers\[1\]: queue is the name of another trigger/,
    ],
    ['', 'triggers: [{ queue: {} }]', /triggers\[0\]\.queue\.length: /],
    ['', 'triggers: [{ queu: {} }]', /triggers\[0\]\.queu: unknown trigger; did you mean "queue"\?/],
  ];
  for (const [rule, more, expected] of faults)
    assert.throws(() => read(`backends: [{ name: app }], ${rule}`, more), { message: expected });
});

test('what comes out of the environment is never shown', () => {
  const env = { SECRET: 'open-sesame', LONG: 'x'.repeat(100), NUMBER: '12345' };
  const messages = (text: string): string => {
    try {
      parseConfig(text, { ...options, env });
    } catch (error) {
      return (error as ConfigError).message + JSON.stringify((error as ConfigError).issues);
    }
    return '';
  };
  const text = `
workers: \${SECRET}
stateDir: {}
shutdown: { drain: "\${NUMBER}" }
listeners: [{ address: "\${LONG}" }]
backends:
  a: { servers: ["ftp://user:\${SECRET}@host"], balance: { strategy: "\${SECRET}" } }
telemetry: { traces: { otlp: "\${SECRET}", headers: { authorization: "a\\n\${SECRET}" } } }
routes: [{ backend: "\${SECRET}" }]
`;
  const shown = messages(text);
  assert.match(shown, /expected a whole number from 1 to 1024, got "\$\{SECRET\}"/);
  for (const value of Object.values(env)) assert.ok(!shown.includes(value.slice(0, 50)), value);
});

test('files that the configuration names are looked at: missing, a folder, a pipe, too large, no text', () => {
  const at = (path: string): string => JSON.stringify(join(folder, path));
  writeFileSync(join(folder, 'page.html'), 'sorry');
  writeFileSync(join(folder, 'latin1.html'), Buffer.from('gr\xfc\xdfe', 'latin1'));
  writeFileSync(join(folder, 'large.html'), Buffer.alloc(1_048_577));
  const pipe = namedPipe('page.pipe');
  const read = (file: string): Config =>
    parseConfig(`backends: { a: { process: { command: [x] }, breaker: { fallback: { file: ${file} } } } }`, {
      ...options,
      file: join(folder, 'dormouse.yaml'),
    });
  assert.equal(read('page.html').backends[0]!.breaker!.fallback.body, 'sorry');
  assert.equal(read(at('page.html')).backends[0]!.breaker!.fallback.body, 'sorry');
  const faults: [string, RegExp][] = [
    ['none.html', /:1:\d+ backends\.a\.breaker\.fallback\.file: there is no file \S+none\.html; relative paths start/],
    ['.', /is not a file; name a regular file/],
    [JSON.stringify(pipe), /is not a file; name a regular file/],
    ['latin1.html', /is not UTF-8 text/],
    ['large.html', /is larger than 1048576 bytes/],
    ['page.html/x', /a part of the path .* is a file/],
  ];
  for (const [file, expected] of faults) assert.throws(() => read(file), { message: expected });
});

test('a certificate that has expired is a warning, one without its key an error', async () => {
  const authority = await Authority.create();
  writePem(folder, 'old', await authority.issue({ names: ['a.example.com'], fromDays: -9, toDays: -1 }));
  writePem(folder, 'new', await authority.issue({ names: ['a.example.com'] }));
  const read = (pair: string): string[] => {
    const warnings: string[] = [];
    parseConfig(
      `listeners: [{ address: ":8443", protocol: https, tls: { certificates: [${pair}] } }]\nbackends: { a: { servers: [http://x] } }`,
      {
        ...options,
        file: join(folder, 'x.yaml'),
        onWarning: ({ key, message }) => warnings.push(`${key}: ${message}`),
      },
    );
    return warnings;
  };
  assert.deepEqual(read('{ cert: new.crt, key: new.key }'), []);
  assert.match(
    read('{ cert: old.crt, key: old.key }').join(),
    /^listeners\[0\]\.tls\.certificates\[0\]\.cert: \S+old\.crt: the certificate expired on \d{4}-\d\d-\d\d; clients will refuse it$/,
  );
  assert.throws(() => read('{ cert: new.crt, key: old.key }'), {
    message: /the key is not the one of the certificate/,
  });
});

test('the JSON Schema for editors accepts what the program accepts, and what plugins bring', () => {
  const check = new Ajv2020({ strict: false }).compile(jsonSchema(registry));
  for (const name of ['everything.yaml', 'smallest.yaml', 'off.yaml']) {
    const text = readFileSync(new URL(`./golden/${name}`, import.meta.url), 'utf8');
    check(parse(text));
    // Text that an expansion makes a number is none for an editor, and numbers are text in commands and environments.
    const wrong = (check.errors ?? []).filter(
      ({ instancePath }) => !/\/(?:min|command\/\d+|env\/\w+)$/.test(instancePath),
    );
    assert.deepEqual(wrong, [], name);
  }
  const brought = {
    backends: {
      a: {
        process: { command: ['x'] },
        balance: { strategy: 'mine', options: { n: 1 } },
        triggers: [{ queue: { n: 1 } }],
      },
    },
    routes: [{ rules: [{ filters: [{ mine: { a: 1 } }], backends: [{ name: 'a' }] }] }],
    telemetry: { metricsSinks: [{ statsd: {}, interval: '5s' }] },
  };
  check(brought);
  assert.deepEqual(check.errors, null);
  for (const wrong of [
    { worker: 1 },
    { listeners: [{ address: ':1', protocol: 'ftp' }] },
    { routes: [{ rules: [{ filters: [{ requestHeaders: { st: {} } }] }] }] },
  ])
    assert.equal(check(wrong), false, JSON.stringify(wrong));
});

// A timer of Node that is given 2^31 ms or more fires at once: each request of a route with `request: 30d` was answered 504, each start had failed.
test('what timers wait for is no longer than they can', async () => {
  const file = (backend: object, rule: object, top: object = {}): string =>
    JSON.stringify({
      listeners: [{ name: 'web', address: '127.0.0.1:0' }],
      backends: { app: { process: { command: ['app'] }, ...backend } },
      routes: [{ rules: [{ ...rule, backends: [{ name: 'app' }] }] }],
      ...top,
    });
  const command = ['app'];
  const cases = (time: string): string[] => [
    file({}, { timeouts: { request: time } }),
    file({}, { timeouts: { perTry: time } }),
    file({ endpoints: { connectTimeout: time } }, {}),
    file({ process: { command, startTimeout: time } }, {}),
    file({ process: { command, stopGrace: time } }, {}),
    file({ process: { command, crash: { maxBackoff: time } } }, {}),
    file({}, {}, { shutdown: { drain: time } }),
  ];
  for (const text of cases('25d')) {
    const error = await refusal(Promise.resolve().then(() => parseConfig(text, options)));
    assert.match(error.message, /expected at most 576h/, text);
  }
  for (const text of cases('24d')) await parseConfig(text, options);
  await parseConfig(file({ scale: { idleAfter: '300d' } }, {}), options);
});
