/** The admin API over TCP: who is let in, what is refused before it is looked at, and that hostile clients are answered and forgotten. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { Served, TOKENS, view, type Answer } from './fixtures/served.ts';

function refused({ status, headers, json }: Answer, wanted: number, code: string): void {
  assert.deepEqual([status, json?.code], [wanted, code], JSON.stringify(json));
  assert.equal(headers['content-type'], 'application/problem+json');
  assert.equal(json.status, wanted);
  assert.match(json.type, /^urn:dormouse:error:[a-z-]+$/);
  assert.ok(json.detail.length > 20 && json.title.length > 3);
}

describe('tokens', () => {
  test('none, a wrong one, a cut one and one with something added are 401, and say how to log in', async () => {
    await using served = await Served.start();
    const none = await served.ask('/v1/backends', { token: null });
    refused(none, 401, 'DORMOUSE_ADMIN_TOKEN');
    assert.equal(none.headers['www-authenticate'], 'Bearer realm="dormouse"');
    for (const token of [
      'wrong',
      TOKENS.read.slice(0, -1),
      `${TOKENS.read}0`,
      TOKENS.read.toUpperCase(),
      'x'.repeat(5000),
    ]) {
      const answer = await served.ask('/v1/backends', { token });
      refused(answer, 401, 'DORMOUSE_ADMIN_TOKEN');
      assert.match(String(answer.headers['www-authenticate']), /error="invalid_token"/);
    }
    const basic = { authorization: `Basic ${Buffer.from(`a:${TOKENS.read}`).toString('base64')}` };
    refused(await served.ask('/v1/backends', { token: null, headers: basic }), 401, 'DORMOUSE_ADMIN_TOKEN');
    assert.ok(!served.log.join().includes(TOKENS.read.slice(0, 10)), 'no token in the log');
  });

  test('after ten wrong ones in a minute an address gets 429, while who has a right one goes on', async () => {
    let nowMs = 0;
    await using served = await Served.start({}, { nowMs: () => nowMs, wallMs: () => Date.now() });
    for (let i = 0; i < 10; i++)
      refused(await served.ask('/v1/backends', { token: `guess-${i}` }), 401, 'DORMOUSE_ADMIN_TOKEN');
    const limited = await served.ask('/v1/backends', { token: 'guess-11' });
    refused(limited, 429, 'DORMOUSE_ADMIN_LOGINS');
    assert.equal(limited.headers['retry-after'], '6');
    assert.equal((await served.ask('/v1/backends', { token: TOKENS.read })).status, 200);
    nowMs = 6000;
    refused(await served.ask('/v1/backends', { token: 'guess-12' }), 401, 'DORMOUSE_ADMIN_TOKEN');
    refused(await served.ask('/v1/backends', { token: 'guess-13' }), 429, 'DORMOUSE_ADMIN_LOGINS');
    assert.equal(served.log.filter((line) => line.includes('log-in failed')).length, 13);
    assert.deepEqual(served.counts, {
      dormouse_admin_requests_total2xx: 1,
      dormouse_admin_requests_total3xx: 0,
      dormouse_admin_requests_total4xx: 13,
      dormouse_admin_requests_total5xx: 0,
      dormouse_admin_login_failures_total: 13,
    });
  });

  test('each scope may what it may and what those before it may', async () => {
    await using served = await Served.start();
    served.target.backends.set('shop', view('shop'));
    const asked: [string, string, object | undefined, string][] = [
      ['GET', '/v1/backends', undefined, 'read'],
      ['GET', '/v1/backends/shop', undefined, 'read'],
      ['GET', '/v1/openapi.json', undefined, 'read'],
      ['POST', '/v1/backends/shop/wake', undefined, 'operate'],
      ['POST', '/v1/backends/shop/sleep', undefined, 'operate'],
      ['PUT', '/v1/backends/shop/awake', { until: new Date(Date.now() + 60_000).toISOString() }, 'operate'],
      ['DELETE', '/v1/backends/shop/awake', undefined, 'operate'],
      ['PATCH', '/v1/backends/shop', { scale: { max: 2 } }, 'admin'],
      ['PUT', '/v1/backends/shop', { scale: { max: 2 } }, 'admin'],
      ['POST', '/v1/backends', { name: 'shop' }, 'admin'],
    ];
    const scopes = ['read', 'operate', 'admin', 'commands'] as const;
    for (const [method, path, body, needed] of asked) {
      for (const scope of scopes) {
        const answer = await served.ask(path, { method, body, token: TOKENS[scope] });
        if (scopes.indexOf(scope) >= scopes.indexOf(needed as 'read'))
          assert.ok(answer.status < 300, `${scope} ${method} ${path}: ${answer.text}`);
        else refused(answer, 403, 'DORMOUSE_ADMIN_SCOPE');
      }
    }
    const audited = served.log.filter((line) => line.includes('"audit":true'));
    assert.ok(audited.some((line) => line.includes('"who":"read-token"') && line.includes('DORMOUSE_ADMIN_SCOPE')));
    assert.ok(audited.some((line) => line.includes('"action":"create","backend":"shop","result":"done","status":201')));
  });
});

describe('other pages and names', () => {
  test('a Host that is not this address is refused, before the token is looked at', async () => {
    await using served = await Served.start({ hosts: ['admin.example.com'] });
    for (const host of [
      'evil.example.com',
      'evil.example.com:8081',
      '127.0.0.1.evil.example.com',
      'localhost@evil.com',
      '10.0.0.1',
    ])
      refused(await served.ask('/v1/backends', { headers: { host } }), 421, 'DORMOUSE_ADMIN_HOST');
    for (const host of ['localhost:8081', '127.0.0.1', '[::1]:8081', 'ADMIN.example.com'])
      assert.equal((await served.ask('/v1/backends', { headers: { host } })).status, 200, host);
  });

  test('a page of another origin is refused', async () => {
    await using served = await Served.start();
    const host = `127.0.0.1:${served.port}`;
    for (const headers of [
      { origin: 'https://evil.example.com' },
      { origin: 'null' },
      { origin: 'http://127.0.0.1:1' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
    ])
      refused(await served.ask('/v1/backends', { headers: headers as never }), 403, 'DORMOUSE_ADMIN_ORIGIN');
    const own = { origin: `http://${host}`, 'sec-fetch-site': 'same-origin' };
    assert.equal((await served.ask('/v1/backends', { headers: own })).status, 200);
    const preflight = await served.ask('/v1/backends', {
      method: 'OPTIONS',
      token: null,
      headers: { origin: 'https://evil.example.com', 'access-control-request-method': 'POST' },
    });
    assert.equal(preflight.status, 403);
    assert.equal(preflight.headers['access-control-allow-origin'], undefined);
  });
});

describe('requests', () => {
  test('paths that lead elsewhere, names that are none and methods that are not there', async () => {
    await using served = await Served.start();
    for (const path of [
      '/',
      '/v1',
      '/v1/',
      '/v2/backends',
      '/v1/backends/',
      '/v1/backends/../openapi.json',
      '/v1/./backends',
      '/v1//backends',
      '/v1/backends/shop/wake/now',
      '/v1/backends/shop/constructor',
      '/v1/constructor',
      '/v1/openapi.json/../../../../etc/passwd',
      '/v1/backends/"shop"',
    ])
      refused(await served.ask(path), 404, 'DORMOUSE_ADMIN_PATH');
    for (const name of ['..%2f..%2fetc', '%2e%2e', 'A', 'a_b', '-a', '%00', '%ff', '__proto__', 'x'.repeat(300)])
      refused(await served.ask(`/v1/backends/${name}`), 404, 'DORMOUSE_BACKEND_UNKNOWN');
    refused(await served.ask(`/v1/backends?x=${'y'.repeat(5000)}`), 414, 'DORMOUSE_ADMIN_PATH');
    const wrong = await served.ask('/v1/backends', { method: 'DELETE' });
    refused(wrong, 405, 'DORMOUSE_ADMIN_METHOD');
    assert.equal(wrong.headers.allow, 'GET, POST');
    for (const query of ['limit=0', 'limit=1001', 'limit=-1', 'limit=x', 'limit=1e3'])
      refused(await served.ask(`/v1/backends?${query}`), 400, 'DORMOUSE_ADMIN_QUERY');
    refused(await served.ask('/v1/backends/shop?namespace=A/B'), 400, 'DORMOUSE_ADMIN_QUERY');
  });

  test('bodies that are no JSON object', async () => {
    await using served = await Served.start();
    const post = (body: unknown, headers = {}) => served.ask('/v1/backends', { method: 'POST', body, headers });
    for (const body of ['', '{', '{"name":"sh', '[]', 'null', '"x"', '1', '{"a":1}x', Buffer.from([0x7b, 0xff, 0x7d])])
      refused(await post(body), 400, 'DORMOUSE_ADMIN_JSON');
    const secret = await post('{"name":"shop","env":{"PASSWORD":"hunter2"},');
    assert.ok(!secret.text.includes('hunter2'), secret.text);
    refused(await post(`${'{"a":'.repeat(60)}1${'}'.repeat(60)}`), 400, 'DORMOUSE_ADMIN_JSON');
    refused(await post('{}', { 'content-type': 'text/plain' }), 415, 'DORMOUSE_ADMIN_MEDIA');
    refused(await post('{}', { 'content-encoding': 'gzip' }), 415, 'DORMOUSE_ADMIN_MEDIA');
    refused(await post({ name: 'shop' }, { 'idempotency-key': 'two words' }), 400, 'DORMOUSE_ADMIN_IDEMPOTENCY_KEY');
  });

  test(
    'bodies of 100 MB are refused after the first megabyte, with a length and without',
    { timeout: 30_000 },
    async () => {
      await using served = await Served.start();
      for (const chunked of [false, true]) {
        let sent = 0;
        const answer = await new Promise<number>((resolve, reject) => {
          const request = httpRequest({
            host: '127.0.0.1',
            port: served.port,
            path: '/v1/backends',
            method: 'POST',
            headers: {
              authorization: `Bearer ${TOKENS.admin}`,
              'content-type': 'application/json',
              ...(chunked ? {} : { 'content-length': 100_000_000 }),
            },
          });
          const chunk = Buffer.alloc(65_536, 0x20);
          let isOver = false;
          const write = (): void => {
            while (!isOver && sent < 100_000_000) {
              sent += chunk.length;
              if (!request.write(chunk)) return void request.once('drain', write);
            }
          };
          request.once('response', (response) => {
            isOver = true;
            response.resume();
            resolve(response.statusCode!);
            request.destroy();
          });
          request.once('error', (error) => (isOver ? undefined : reject(error)));
          write();
        });
        assert.equal(answer, 413);
        assert.ok(sent < 20_000_000, `${sent} bytes were taken`);
      }
      assert.equal((await served.ask('/v1/backends')).status, 200);
    },
  );

  test('what is no HTTP, heads that are too long, and clients that say nothing', { timeout: 30_000 }, async () => {
    await using served = await Served.start();
    const raw = async (text: string | Buffer): Promise<string> => {
      const socket = connect(served.port, '127.0.0.1');
      let got = '';
      socket.setEncoding('latin1').on('data', (part: string) => (got += part));
      socket.on('error', () => {});
      socket.end(text);
      await once(socket, 'close');
      return got;
    };
    assert.match(
      await raw(`GET / HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(20_000)}\r\n\r\n`),
      /^HTTP\/1\.1 431 /,
    );
    assert.match(await raw('nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
    // A repeatable stream of bytes: x' = 1103515245 x + 12345 mod 2^31.
    let seed = 7;
    const next = (): number => (seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fff_ffff);
    for (let round = 0; round < 40; round++) {
      const head = round % 2 === 0 ? 'POST /v1/backends HTTP/1.1\r\nhost: localhost\r\n' : '';
      await raw(Buffer.concat([Buffer.from(head), Buffer.from(Array.from({ length: 200 }, () => next() & 0xff))]));
    }
    assert.equal((await served.ask('/v1/backends')).status, 200);
    assert.ok(!served.log.some((line) => line.includes('"level":"error"')), served.log.join('\n'));
  });
});

describe('secrets', () => {
  test('are hidden in every answer, kept where the mask is sent back, and refused where there is none', async () => {
    await using served = await Served.start();
    const spec = {
      process: { command: ['node'], env: { TOKEN: 'hunter2', PORT_NAME: 'x' } },
      triggers: [
        {
          'redis-list': {
            address: 'redis://user:hunter2@10.0.0.1:6379',
            password: 'hunter2',
            passwordFromEnv: 'REDIS',
          },
        },
      ],
      health: { headers: { authorization: 'Bearer hunter2' } },
    };
    const made = await served.ask('/v1/backends', { method: 'POST', body: { name: 'shop', ...spec } });
    const listed = await served.ask('/v1/backends');
    const shown = await served.ask('/v1/backends/shop');
    for (const { text } of [made, listed, shown]) assert.ok(!text.includes('hunter2'), text);
    const own = shown.json.spec;
    assert.deepEqual(own.process.env, { TOKEN: '********', PORT_NAME: '********' });
    assert.equal(own.triggers[0]['redis-list'].address, 'redis://********@10.0.0.1:6379');
    assert.equal(own.triggers[0]['redis-list'].passwordFromEnv, 'REDIS');
    const put = await served.ask('/v1/backends/shop', { method: 'PUT', body: { ...own, scale: { max: 2 } } });
    assert.equal(put.status, 200);
    assert.deepEqual(served.target.backends.get('shop')!.spec, { ...spec, scale: { max: 2 } });
    const patch = { process: { env: { NEW: '********' } } };
    const refusedPatch = await served.ask('/v1/backends/shop', { method: 'PATCH', body: patch });
    refused(refusedPatch, 422, 'DORMOUSE_ADMIN_FIELD');
    assert.equal(refusedPatch.json.errors[0].field, '/process/env/NEW');
    assert.ok(!served.log.join().includes('hunter2'), 'nor in the log');
  });

  test('null in a patch takes a key away, and mappings are merged', async () => {
    await using served = await Served.start();
    served.target.backends.set('shop', view('shop', { scale: { min: 1, max: 3 }, hosts: ['a.example.com'] }));
    const body = '{"scale":{"min":null,"max":5},"hosts":["b.example.com"],"wake":{"page":"on"},"__proto__":{"x":1}}';
    const headers = { 'content-type': 'application/merge-patch+json' };
    assert.equal((await served.ask('/v1/backends/shop', { method: 'PATCH', body, headers })).status, 200);
    const { spec } = served.target.backends.get('shop')!;
    assert.deepEqual(Object.keys(spec!).sort(), ['__proto__', 'hosts', 'scale', 'wake']);
    assert.deepEqual([spec!['scale'], spec!['hosts']], [{ max: 5 }, ['b.example.com']]);
    const renamed = await served.ask('/v1/backends/shop', { method: 'PATCH', body: { name: 'other' } });
    refused(renamed, 422, 'DORMOUSE_ADMIN_FIELD');
  });
});

describe('lists and pins', () => {
  test('pages follow each other without a gap, whatever is deleted meanwhile', async () => {
    await using served = await Served.start();
    for (let i = 0; i < 25; i++)
      served.target.backends.set(`b${String(i).padStart(2, '0')}`, view(`b${String(i).padStart(2, '0')}`));
    const names: string[] = [];
    let after = '';
    for (let page = 0; page < 5; page++) {
      const { json } = await served.ask(`/v1/backends?limit=10${after}`);
      names.push(...json.items.map(({ name }: { name: string }) => name));
      if (json.next === null) break;
      served.target.backends.delete(json.next);
      after = `&after=${json.next}`;
    }
    assert.equal(names.length, 25);
    assert.deepEqual(names, [...new Set(names)].sort());
  });

  test('a pin wants a time to come, with its zone', async () => {
    await using served = await Served.start();
    const put = (body: unknown) => served.ask('/v1/backends/shop/awake', { method: 'PUT', body });
    for (const until of [
      'tomorrow',
      5,
      '2030-01-31',
      '2030-01-31T18:00:00',
      '2000-01-01T00:00:00Z',
      '2090-01-01T00:00:00Z',
      '2030-13-41T18:00:00Z',
    ])
      refused(await put({ until }), 422, 'DORMOUSE_ADMIN_FIELD');
    refused(await put({}), 422, 'DORMOUSE_ADMIN_FIELD');
    refused(await put({ until: '2030-01-31T18:00:00Z', more: 1 }), 422, 'DORMOUSE_ADMIN_FIELD');
    const inAnHour = Date.now() + 3_600_000;
    assert.equal((await put({ until: new Date(inAnHour).toISOString() })).status, 200);
    assert.equal(served.target.pins.get('shop'), inAnHour);
  });
});

describe('events', () => {
  /** Reads until as many events have come. */
  async function events(
    served: Served,
    path: string,
    count: number,
    headers = {},
  ): Promise<{ id: string; event: string; data: { message?: string; reason?: string } }[]> {
    const request = httpRequest({
      host: '127.0.0.1',
      port: served.port,
      path,
      headers: { authorization: `Bearer ${TOKENS.read}`, ...headers },
    }).end();
    const [response] = await once(request, 'response');
    assert.equal(response.headers['content-type'], 'text/event-stream');
    let text = '';
    const found = () =>
      text
        .split('\n\n')
        .slice(0, -1)
        .filter((block) => block.includes('data: '))
        .map((block) => ({
          id: /^id: (.*)$/m.exec(block)?.[1] ?? '',
          event: /^event: (.*)$/m.exec(block)?.[1] ?? '',
          data: JSON.parse(/^data: (.*)$/m.exec(block)![1]!),
        }));
    for await (const part of response.setEncoding('utf8')) {
      text += part;
      if (text.includes(': here are events') && count > 0 && found().length === 0) served.target.tell({ ...FIRST });
      if (found().length >= count) break;
    }
    request.destroy();
    return found();
  }
  const FIRST = { atMs: 1, backend: 'shop', kind: 'waking', message: 'shop wakes' };

  test('come as they happen; with Last-Event-ID those that were missed come first', async () => {
    await using served = await Served.start();
    const [first] = await events(served, '/v1/events', 1);
    assert.deepEqual([first!.event, first!.data.message], ['waking', 'shop wakes']);
    served.target.tell({ atMs: 2, backend: 'shop', kind: 'awake', message: 'shop is awake' });
    served.target.tell({ atMs: 3, backend: 'users', kind: 'awake', message: 'users is awake' });
    const missed = await events(served, '/v1/events', 2, { 'last-event-id': first!.id });
    assert.deepEqual(
      missed.map(({ data }) => data.message),
      ['shop is awake', 'users is awake'],
    );
    const ofOne = await events(served, '/v1/events?backend=users', 1, { 'last-event-id': first!.id });
    assert.deepEqual(
      ofOne.map(({ data }) => data.message),
      ['users is awake'],
    );
  });

  test('a client that was away for too long, or since a start, is told that something is missing', async () => {
    await using served = await Served.start();
    for (let i = 0; i < 1500; i++) served.target.tell({ atMs: i, backend: 'shop', kind: 'scaled', message: `${i}` });
    const first = (await events(served, '/v1/events', 1, { 'last-event-id': 'abcdef012345-7' }))[0]!;
    assert.deepEqual([first.event, first.data.reason], ['gap', 'dormouse was started anew since']);
    const all = await events(served, '/v1/events', 1001, { 'last-event-id': 'abcdef012345-7' });
    const epoch = all.at(-1)!.id.split('-')[0];
    const gone = (await events(served, '/v1/events', 2, { 'last-event-id': `${epoch}-3` }))[0]!;
    assert.deepEqual([gone.event, gone.data.reason], ['gap', 'too long ago']);
  });

  test('a client that does not read is cut off', { timeout: 30_000 }, async () => {
    await using served = await Served.start();
    const socket = connect(served.port, '127.0.0.1');
    socket.write(`GET /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${TOKENS.read}\r\n\r\n`);
    socket.on('error', () => {});
    await once(socket, 'data');
    socket.pause();
    const closed = once(socket, 'close');
    const long = 'x'.repeat(10_000);
    for (let i = 0; i < 2000; i++) {
      served.target.tell({ atMs: i, backend: 'shop', kind: 'scaled', message: long });
      if (i % 50 === 0) await new Promise(setImmediate);
    }
    socket.resume();
    await closed;
    assert.equal((await served.ask('/v1/backends')).status, 200);
  });
});
