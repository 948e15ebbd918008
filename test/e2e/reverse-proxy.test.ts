/** docs/reverse-proxy.md: its examples together are one file, in which all begins asleep; its exchanges happen as they are written, the first of each through a wake. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { holds, partsOf, wire, type Message } from '../docs/fixtures/exchanges.ts';
import { ask, problem, RawClient } from './fixtures/client.ts';
import { Place, type Dormouse } from './fixtures/dormouse.ts';
import { until } from './fixtures/until.ts';

const BOUND = { timeout: 60_000 };
const APPLICATION = new URL('./fixtures/told-application.mjs', import.meta.url).pathname;

interface Example {
  listeners?: { name: string; address: string }[];
  security?: object;
  telemetry?: object;
  backends: Record<string, { process: { command: string[] } }>;
  routes: { listeners?: string[] }[];
}

interface Section {
  heading: string;
  example: Example | null;
  exchanges: Map<string, string>[];
}

const page = readFileSync(new URL('../../docs/reverse-proxy.md', import.meta.url), 'utf8');
const sections = page
  .split(/^## /m)
  .slice(1)
  .map((text): Section => {
    const yaml = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1]!);
    assert.ok(yaml.length <= 1, 'one example in each section');
    return {
      heading: text.slice(0, text.indexOf('\n')),
      example: yaml[0] === undefined ? null : (parse(yaml[0]) as Example),
      exchanges: [...text.matchAll(/```http\n([\s\S]*?)```/g)].map((match) => partsOf(match[1]!)),
    };
  });

/** All examples as one file, on free ports, with this folder's application in the place of the page's programs. */
function together(): string {
  const examples = sections.flatMap(({ example }) => (example === null ? [] : [example]));
  const listeners = [{ name: 'web', address: '' }, ...examples.flatMap((example) => example.listeners ?? [])];
  const backends = Object.fromEntries(examples.flatMap((example) => Object.entries(example.backends)));
  for (const [name, { process: application }] of Object.entries(backends)) {
    application.command = [process.execPath, APPLICATION, name];
  }
  return JSON.stringify({
    workers: 1,
    ...Object.assign(
      {},
      ...examples.map(({ security, telemetry }) => ({
        ...(security && { security }),
        ...(telemetry && { telemetry }),
      })),
    ),
    observe: { address: '127.0.0.1:0' },
    listeners: listeners.map((listener) => ({ ...listener, address: '127.0.0.1:0' })),
    backends,
    routes: examples.flatMap(({ routes }) => routes),
  });
}

/** The messages in what came, the last of them final and complete; null while it isn't. */
function messagesIn(text: string): Message[] | null {
  const messages: Message[] = [];
  for (let at = 0; ;) {
    const end = text.indexOf('\r\n\r\n', at);
    if (end < 0) return null;
    const head = text.slice(at, end);
    const from = end + 4;
    if (/^HTTP\/1\.1 1\d\d /.test(head)) {
      messages.push({ head, body: '' });
      at = from;
      continue;
    }
    const isChunked = /^transfer-encoding: *chunked$/im.test(head);
    const to = isChunked
      ? text.indexOf('0\r\n\r\n', from)
      : from + Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
    if (to < 0 || text.length < to) return null;
    return [...messages, { head, body: text.slice(from, to) }];
  }
}

describe('docs/reverse-proxy.md', () => {
  let place: Place;
  let up: Dormouse;

  before(async () => {
    place = new Place(together());
    up = await place.start().up();
    assert.deepEqual([...new Set((await up.status()).backends.map(({ phase }) => phase))], ['asleep']);
  });

  after(async () => {
    await place[Symbol.asyncDispose]();
  });

  function received(name: string): Message[] {
    const file = join(place.path, `${name}.received`);
    if (!existsSync(file)) return [];
    return readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Message);
  }

  /** `# the backend …` means the first of the section's example, `# the gatekeeper …` the one of that name. */
  function whom(example: Example, words: string): string {
    const name = /^(?:then )?the (\S+) /.exec(words)![1]!;
    return name === 'backend' ? Object.keys(example.backends)[0]! : name;
  }

  async function play(example: Example, parts: Map<string, string>): Promise<Message> {
    const answers = new Map<string, string[]>();
    for (const [words, text] of parts) {
      if (!words.endsWith(' answers')) continue;
      const name = whom(example, words);
      answers.set(name, [...(answers.get(name) ?? []), wire(text)]);
    }
    for (const name of Object.keys(example.backends)) rmSync(join(place.path, `${name}.received`), { force: true });
    for (const [name, list] of answers) writeFileSync(join(place.path, `${name}.answers`), JSON.stringify(list));
    using client = await RawClient.connect(await up.port(example.routes[0]!.listeners?.[0] ?? 'web'));
    client.send(wire(parts.get('the client sends')!));
    const got = await until('an answer', () => messagesIn(client.received));
    for (const [words, shown] of parts) {
      if (words === 'the client sends' || words.endsWith(' answers')) continue;
      if (words === 'the client gets') holds(shown, got);
      else if (words.endsWith(' gets nothing')) assert.deepEqual(received(whom(example, words)), [], words);
      else if (words.endsWith(' gets')) holds(shown, received(whom(example, words)));
      else assert.fail(`nobody plays "${words}"`);
    }
    return got.at(-1)!;
  }

  for (const { heading, example, exchanges } of sections.filter((section) => section.exchanges.length > 0))
    it(`${heading}: asleep, then awake`, BOUND, async () => {
      assert.ok(example);
      const name = Object.keys(example.backends)[0]!;
      let isAwake = false;
      for (const parts of exchanges) {
        const { head } = await play(example, parts);
        const reached = received(name).length > 0;
        // Whoever wakes it waits and gets the same answer; whoever is refused wakes nobody.
        if (reached && !isAwake) assert.match(head, /^x-cold-start: true$/m);
        isAwake ||= reached;
        if (!isAwake) assert.equal((await up.backend(name)).phase, 'asleep');
      }
      assert.ok(isAwake);
    });

  it('Active health checks: a sick instance gets nothing, requests wait until it is well', BOUND, async () => {
    const port = await up.port();
    const headers = { host: 'checked.example' };
    const cold = await ask(port, { headers });
    assert.deepEqual([cold.status, cold.headers['x-cold-start']], [200, 'true']);
    const ill = join(place.path, 'checked.ill');
    writeFileSync(ill, '');
    await up.backendWhen('checked', 'ill', ({ instances }) => instances.some(({ state }) => state === 'unhealthy'));
    const waiting = ask(port, { headers });
    await up.backendWhen('checked', 'waited for', ({ demand }) => demand.held === 1);
    rmSync(ill);
    assert.equal((await waiting).status, 200);
    assert.equal(received('checked').length, 2);
  });

  it('HTTP/2: the same by prior knowledge', BOUND, async () => {
    const session = http2.connect(`http://127.0.0.1:${await up.port()}`);
    const stream = session.request({ ':path': '/two', ':authority': 'seen.example', 'x-forwarded-for': '192.0.2.66' });
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    assert.deepEqual([headers[':status'], headers['x-cold-start']], [200, 'true']);
    stream.resume();
    await once(stream, 'end');
    session.close();
    const [{ head }] = received('seen') as [Message];
    assert.match(
      head,
      /^GET \/two HTTP\/1\.1\r\nhost: seen\.example\r\n[^]*X-Forwarded-For: 127\.0\.0\.1\r\n[^]*Via: 2\.0 dormouse/,
    );
  });

  it('Seeing what happens: a line in the access log, and metrics', BOUND, async () => {
    const headers = { host: 'seen.example', authorization: 'Bearer secret', referer: 'https://a.example/' };
    assert.equal((await ask(await up.port(), { path: '/told', headers })).status, 200);
    const line = await until('its line', () => {
      const log = join(place.path, 'access.log');
      return (
        existsSync(log) &&
        readFileSync(log, 'utf8')
          .split('\n')
          .find((each) => each.includes('"/told"'))
      );
    });
    const { status, route, backend, attempts } = JSON.parse(line) as Record<string, unknown>;
    assert.deepEqual(
      { status, route, backend, attempts },
      { status: 200, route: 'seen', backend: 'seen', attempts: 1 },
    );
    assert.ok(!line.includes('secret'));
    const metrics = await ask(await up.port('observe'), '/metrics');
    assert.match(metrics.body, /^dormouse_requests_total\{backend="seen",code_class="2xx",route="seen"\} 2/m);
    assert.match(metrics.body, /^dormouse_wake_duration_seconds_count\{backend="seen",phase="total"\} 1$/m);
  });

  it(
    'Sleeping and waking: beyond the bound 503 with Retry-After, the others are answered by one wake',
    BOUND,
    async () => {
      const slept = await place.run('sleep', 'sleepy');
      assert.equal(slept.code, 0, slept.stderr);
      const { wakes } = await up.backend('sleepy');
      const port = await up.port();
      place.touch('sleepy.wait');
      let refusals = 0;
      const asked = Array.from({ length: 5 }, async () => {
        const answer = await ask(port, { headers: { host: 'sleepy.example' } });
        if (answer.status === 503) refusals++;
        return answer;
      });
      await until('three are refused', () => refusals === 3);
      rmSync(join(place.path, 'sleepy.wait'));
      const answers = await Promise.all(asked);
      assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 200, 503, 503, 503]);
      const refused = answers.find(({ status }) => status === 503)!;
      assert.equal(problem(refused).code, 'hold-full');
      assert.match(refused.headers['retry-after']!, /^\d+$/);
      assert.equal((await up.backend('sleepy')).wakes, wakes + 1);
    },
  );

  it('Changing it, ending it: all or nothing; what is held then ends; nothing is left', BOUND, async () => {
    const port = await up.port();
    const good = together();
    place.write(good.replace('least-connections', 'most-connections'));
    const refused = await place.run('reload');
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /dormouse\.yaml:1:\d+ backends\.shop\.balance\.strategy: "most-connections" is not a strategy; did you mean "least-connections"/,
    );
    assert.equal((await ask(port, { headers: { host: 'shop.example' } })).status, 200);
    assert.equal((await place.run('sleep', 'sleepy')).code, 0);
    place.touch('sleepy.wait');
    const held = ask(port, { headers: { host: 'sleepy.example' } });
    await up.phase('sleepy', 'waking');
    place.write(good.replace('"shop.example"', '"shop.example","other.example"'));
    assert.equal((await place.run('reload')).code, 0);
    assert.equal((await ask(port, { headers: { host: 'other.example' } })).status, 200);
    rmSync(join(place.path, 'sleepy.wait'));
    assert.equal((await held).status, 200);
    assert.equal(await up.stop(), 0);
    assert.deepEqual(place.leftovers(), []);
  });
});

it('docs/reverse-proxy.md: every section has an example that runs here, or leads to the page that has it', () => {
  for (const { heading, example } of sections.slice(0, -1)) {
    const text = page.slice(page.indexOf(`## ${heading}`)).split(/^## /m)[1]!;
    const links = [...text.matchAll(/\]\(([\w.-]+)(?:#([\w-]+))?\)/g)];
    assert.ok(example !== null || links.length > 0, heading);
    for (const [, file, anchor] of links) {
      const other = readFileSync(new URL(`../../docs/${file}`, import.meta.url), 'utf8');
      const anchors = [...other.matchAll(/^#+ (.*)$/gm)].map((match) =>
        match[1]!
          .toLowerCase()
          .replaceAll(/[^\w\s-]/g, '')
          .replaceAll(' ', '-'),
      );
      assert.ok(anchor === undefined || anchors.includes(anchor), `${heading}: ${file}#${anchor}`);
    }
  }
});
