import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { accepts } from './accept.ts';
import { filter, issues, responseOf, type ResponseParts } from './filters.fixture.ts';

const options = {
  pages: [
    { status: '5xx', body: '<h1>Sorry</h1>' },
    { status: '5xx', type: 'application/json', body: '{"sorry":true}' },
    { status: [404, 410], body: '<h1>Gone</h1>' },
    { status: '503', body: '<h1>Back soon</h1>' },
  ],
};

const page = (parts: ResponseParts, given: object = options) =>
  responseOf([filter('errorPages', given)], { own: true, ...parts });
const accept = (value: string): ResponseParts['request'] => ({ headers: [['Accept', value]] });

describe('errorPages', () => {
  test("replace the body of the gateway's own errors and keep the status", () => {
    const { status, replacement, lines } = page({
      status: 502,
      headers: [
        ['Content-Type', 'application/problem+json'],
        ['Retry-After', '5'],
      ],
    });
    assert.equal(status, 502);
    assert.deepEqual(replacement, { contentType: 'text/html; charset=utf-8', body: '<h1>Sorry</h1>' });
    assert.deepEqual(lines, ['Retry-After: 5', 'Vary: Accept']);
  });

  test('a single status goes before its class', () => {
    assert.equal(page({ status: 503 }).replacement!.body, '<h1>Back soon</h1>');
    assert.equal(page({ status: 410 }).replacement!.body, '<h1>Gone</h1>');
  });

  test('other statuses stay', () => {
    for (const status of [200, 301, 403]) assert.equal(page({ status }).replacement, null);
    assert.deepEqual(page({ status: 403, headers: [['A', 'b']] }).lines, ['A: b']);
  });

  test('the client gets a type that it accepts, or the body that was there', () => {
    assert.equal(page({ status: 500, request: accept('application/json') }).replacement!.body, '{"sorry":true}');
    assert.equal(
      page({ status: 500, request: accept('text/html,application/xhtml+xml,*/*;q=0.8') }).replacement!.body,
      '<h1>Sorry</h1>',
    );
    assert.equal(page({ status: 500, request: accept('*/*, text/html;q=0') }).replacement!.body, '{"sorry":true}');
    assert.equal(page({ status: 404, request: accept('application/json') }).replacement, null);
    assert.deepEqual(page({ status: 404, request: accept('image/png') }).lines, ['Vary: Accept']);
  });

  test("a backend's errors are left alone unless asked, and then lose what described their body", () => {
    const parts: ResponseParts = {
      own: false,
      status: 500,
      headers: [
        ['Content-Type', 'text/plain'],
        ['Content-Encoding', 'gzip'],
        ['ETag', '"x"'],
        ['Content-Digest', 'x'],
        ['X-Other', '1'],
      ],
    };
    assert.equal(page(parts).replacement, null);
    assert.equal(page(parts).lines.length, 5);
    const asked = page(parts, { ...options, backend: true });
    assert.equal(asked.replacement!.body, '<h1>Sorry</h1>');
    assert.deepEqual(asked.lines, ['X-Other: 1', 'Vary: Accept']);
  });

  test('gRPC is left alone', () => {
    const request = { headers: [['content-type', 'application/grpc+proto']] } as const;
    assert.equal(page({ status: 503, request }).replacement, null);
  });

  test('what the file may not say', () => {
    for (const [given, expected] of [
      [{}, /^pages: /],
      [{ pages: [] }, /^pages: at least one page/],
      [{ pages: [{ status: 404 }] }, /^pages\.0: exactly one of body and file/],
      [{ pages: [{ status: 404, body: '', file: 'x' }] }, /^pages\.0: exactly one of body and file/],
      [{ pages: [{ status: 200, body: '' }] }, /^pages\.0\.status\.0: expected a status/],
      [{ pages: [{ status: '6xx', body: '' }] }, /^pages\.0\.status\.0: expected a status/],
      [{ pages: [{ status: '503-500', body: '' }] }, /^pages\.0\.status\.0: this range is empty/],
      [{ pages: [{ status: 404, body: '', type: 'html' }] }, /^pages\.0\.type: a media type/],
      [{ pages: [{ status: 404, body: '', type: 'a/b\r\nx: y' }] }, /^pages\.0\.type: a media type/],
      [{ pages: [{ status: 404, body: '' }], own: 'on' }, /Unrecognized key/],
    ] as const)
      assert.match(issues('errorPages', given)[0] ?? '', expected);
  });
});

test('Accept', () => {
  for (const [value, type, expected] of [
    [undefined, 'text/html', true],
    ['', 'text/html', true],
    ['*/*', 'text/html', true],
    ['TEXT/HTML', 'text/html', true],
    ['text/*;q=0.1', 'text/html', true],
    ['application/json', 'text/html', false],
    ['text/html;q=0', 'text/html', false],
    ['text/html; q=0.000, */*', 'text/html', false],
    ['*/*, text/*;q=0', 'text/html', false],
    ['text/html;level=1', 'text/html', true],
    [',;,', 'text/html', false],
  ] as const)
    assert.equal(accepts(value, type), expected, String(value));
});
