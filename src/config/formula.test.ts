import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { evaluateFormula } from '../model/formula.ts';
import { readFormula } from './formula.ts';

const NAMES = ['http', 'jobs', 'redis_list'];
const VALUES: Record<string, number> = { http: 2, jobs: 7.5, redis_list: 0 };

function result(text: string, values = VALUES): number {
  const read = readFormula(text, NAMES);
  assert.ok('kind' in read, JSON.stringify(read));
  return evaluateFormula(read, (name) => values[name]!);
}

test('arithmetic, comparisons, choices and functions', () => {
  for (const [text, expected] of [
    ['max(http, jobs)', 7.5],
    ['max([http, jobs, 10])', 10],
    ['min(http, jobs) + 1', 3],
    ['jobs > 5 ? jobs * 2 : http', 15],
    ['jobs > 5 && http < 1 ? 1 : -1', -1],
    ['!redis_list || http', 1],
    ['2 ** 3 ** 1 % 5', 3],
    ['mean(http, jobs) + median(1, 5, 3) + sum(1, 2)', 4.75 + 3 + 3],
    ['median(1, 2, 3, 4)', 2.5],
    ['ceil(jobs) - floor(jobs) + abs(-2) + round(jobs)', 8 - 7 + 2 + 8],
    ['(http + jobs) / 2', 4.75],
    ['http == 2 ? 3 : 4', 3],
    ['1 + 2 * 3 - -1', 8],
    ['true ? 1 : 0', 1],
  ] as const)
    assert.equal(result(text), expected, text);
  assert.equal(result('http / redis_list'), Infinity);
  assert.ok(Number.isNaN(result('redis_list / redis_list')));
});

test('everything else is refused, with its place and what to do', () => {
  for (const [text, message, hint] of [
    ['', /is empty/, /max\(http, jobs \/ 2\)/],
    ['max(http, jbos)', /"jbos" at position 11 is no trigger of this backend/, /did you mean jobs\?/],
    ['redis-list', /"redis" at position 1 is no trigger/, /written _/],
    ['maxi(http)', /"maxi" at position 1 that is no function/, /did you mean max\?/],
    ['http.constructor', /no arithmetic \(MemberExpression\)/, /./],
    ['http["a"]', /no arithmetic/, /./],
    ['constructor(http)', /"constructor" at position 1 that is no function/, /there are max/],
    ['process', /"process" at position 1 is no trigger/, /./],
    ['http; jobs', /more than one expression/, /./],
    ['"a"', /is no number/, /./],
    ['(http', /can't be read at position/, /./],
    ['http +', /can't be read at position/, /./],
    ['http & jobs', /is no operator of formulas/, /there are \+/],
    ['~http', /is no operator/, /./],
    ['max()', /takes at least one number/, /./],
    ['ceil(1, 2)', /takes one number/, /./],
    ['this', /./, /./],
    ['((x) => x)(http)', /./, /./],
    ['`${http}`', /./, /./],
    [`${'('.repeat(100)}1${')'.repeat(100)}`, /nested deeper than 64/, /simpler/],
    [`${'-'.repeat(100)}1`, /nested deeper than 64/, /simpler/],
    ['1 + '.repeat(400), /longer than 1000/, /shorter/],
  ] as const) {
    const read = readFormula(text, NAMES);
    assert.ok('message' in read, `${text} was taken`);
    assert.match(read.message, message, text);
    assert.match(read.hint, hint, text);
  }
});

test('whatever is written, it is read or refused, and never throws', () => {
  const piece = fc.constantFrom(
    'http',
    'jobs',
    'max',
    '(',
    ')',
    ',',
    '+',
    '-',
    '?',
    ':',
    '1',
    '.',
    '[',
    ']',
    '"',
    ' ',
    '!',
    '`',
    '=>',
    '{',
    '}',
    ';',
    'new ',
    '=',
    '__proto__',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(piece, { maxLength: 40 }).map((parts) => parts.join('')),
        fc.string({ maxLength: 60 }),
      ),
      (text) => {
        const read = readFormula(text, NAMES);
        if ('kind' in read) assert.equal(typeof evaluateFormula(read, () => 1), 'number');
        else assert.ok(read.message.length > 0 && read.hint.length > 0);
      },
    ),
    { numRuns: 2000 },
  );
});

test('a long sum is read', () => {
  assert.equal(result(Array.from({ length: 200 }, () => 'http').join('+')), 400);
});
