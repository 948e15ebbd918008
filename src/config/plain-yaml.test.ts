import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { readPlainYaml } from './plain-yaml.ts';
import { readYamlDocument } from './yaml-document.ts';

const BOTH: [string, unknown][] = [
  ['a: 1\nb: two\nc: true\nd: null\ne:\n', { a: 1, b: 'two', c: true, d: null, e: null }],
  ['a:\n  b:\n    c: d\n  e: f\ng: h', { a: { b: { c: 'd' }, e: 'f' }, g: 'h' }],
  ['a:\n- 1\n- b: 2\n  c: 3\n-\n  - x\nd: 4\n', { a: [1, { b: 2, c: 3 }, ['x']], d: 4 }],
  ['a: [x, "y, z", { b: [1, -2.5] }, []]   # end\n# all\nc: {}', { a: ['x', 'y, z', { b: [1, -2.5] }, []], c: {} }],
  ["a: it's # not text\nb: 'q # t'\nc: x#y\nd: http://h:80/p", { a: "it's", b: 'q # t', c: 'x#y', d: 'http://h:80/p' }],
  [
    'a: 10s\nb: 127.0.0.1:80\nc: 200-399\nd: --flag\ne: .dormouse',
    { a: '10s', b: '127.0.0.1:80', c: '200-399', d: '--flag', e: '.dormouse' },
  ],
];

test('the fast reader and the full parser give the same data for what people write', () => {
  for (const [text, data] of BOTH) {
    assert.deepEqual(readPlainYaml(text), data, text);
    const full = readYamlDocument(text);
    assert.deepEqual('data' in full ? full.data : full.problems, data, text);
  }
});

test('the fast reader leaves to the full parser whatever it is not certain of', () => {
  const others = [
    'a: &x 1',
    'a: *x',
    'a: !t b',
    'a: |\n  b',
    'a: b\n  c',
    'a: [b,\n  c]',
    'a: "\\n"',
    'a: 0x10',
    'a: 1\na: 2',
    '- a',
    'a',
    '',
    '--- \na: 1',
    'a: b: c',
    'a: [b',
    '\ta: 1',
  ];
  for (const text of others) assert.equal(readPlainYaml(text), undefined, text);
});

test('wherever the fast reader answers, the full parser gives the same data (property)', () => {
  const piece = fc.constantFrom(
    ...[
      'a',
      'b',
      'key',
      'x-1',
      '0',
      '12',
      '-3',
      '1.5',
      '1.0',
      '1e3',
      '.5',
      'true',
      'null',
      '~',
      'off',
      '"q"',
      "'s'",
      '"',
      "'",
      "''",
    ],
    ...[
      ':',
      ': ',
      ':',
      ' ',
      '  ',
      '\n',
      '\n',
      '\n  ',
      '\n    ',
      '\n- ',
      '\n  - ',
      '- ',
      '-',
      '#',
      ' # c',
      ',',
      ', ',
      '[',
      ']',
      '{',
      '}',
    ],
    ...[
      'a: ',
      'b:',
      'c: 1',
      'd: x',
      '[1, 2]',
      '{ k: v }',
      '?',
      '!t',
      '&n ',
      '*n',
      '|',
      '>',
      '%',
      '@',
      '`',
      '\\',
      '<<: ',
      '---',
      '...',
      '=',
      'é',
      '\u2028',
      '\0',
    ],
  );
  const free = fc.array(piece, { maxLength: 24 }).map((pieces) => pieces.join(''));
  const lines = fc
    .array(
      fc.tuple(
        fc.nat(3),
        fc.constantFrom('', '- '),
        fc.constantFrom('', 'a: ', 'b: ', 'c:', 'd: ', '- '),
        fc.array(piece, { maxLength: 4 }),
      ),
      { maxLength: 8 },
    )
    .map((rows) => rows.map(([depth, dash, key, rest]) => '  '.repeat(depth) + dash + key + rest.join('')).join('\n'));
  let answered = 0;
  fc.assert(
    fc.property(
      fc.oneof(
        free,
        lines,
        free.map((text) => `a: ${text}`),
      ),
      (text) => {
        const data = readPlainYaml(text);
        if (data === undefined) return;
        answered++;
        const full = readYamlDocument(text);
        assert.deepEqual(data, 'data' in full ? full.data : full.problems);
      },
    ),
    { numRuns: 20_000 },
  );
  assert.ok(answered > 500, `only ${answered} texts were plain`);
});
