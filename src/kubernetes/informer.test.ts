import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { silentLogger, systemClock, type Logger } from '../model/ports.ts';
import { createClient, type ApiClient } from './api-client.ts';
import { FakeServer, json, status, type Asking } from './api-server.fixture.ts';
import type { Change, Informer, InformerOptions, KubernetesObject } from './client.ts';
import { CONFIG_MAPS } from './resources.ts';

interface ConfigMap extends KubernetesObject {
  data?: Record<string, string>;
}

function map(name: string, resourceVersion: number, uid = `uid-${name}`): ConfigMap {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { namespace: 'shop', name, uid, resourceVersion: String(resourceVersion) },
  };
}

function text({ type, object }: Change<ConfigMap>): string {
  return `${type} ${object.metadata.name} ${object.metadata.resourceVersion}`;
}

describe('an informer', () => {
  let server: FakeServer;
  let client: ApiClient;
  let informer: Informer<ConfigMap>;
  let stop: AbortController;
  /** What the server lists now. */
  let items: ConfigMap[];
  let version: number;
  let listAnswer: ((asking: Asking, response: ServerResponse) => boolean) | null;
  let watchAnswer: ((asking: Asking, response: ServerResponse) => boolean) | null;
  const server$ = new EventEmitter();
  let changes: string[];
  let warnings: string[];

  const lists = (): Asking[] => server.asked.filter(({ query }) => !query.has('watch'));
  const watches = (): Asking[] => server.asked.filter(({ query }) => query.has('watch'));
  /** The next watch that is answered; waited for before it is caused. */
  const nextWatch = async (): Promise<ServerResponse> => (await once(server$, 'watch'))[0] as ServerResponse;
  const nextChange = async (): Promise<void> => void (await once(server$, 'change'));
  const send = (watch: ServerResponse, type: string, object: unknown): boolean =>
    watch.write(`${JSON.stringify({ type, object })}\n`);

  const logger: Logger = {
    ...silentLogger,
    warn: (message, fields) => warnings.push(`${message}: ${String(fields?.['error'] ?? '')}`),
    error: (message) => warnings.push(message),
    child: () => logger,
  };

  function follow(times: object = {}, options: InformerOptions<ConfigMap> = {}): Promise<ServerResponse> {
    client = createClient(server.config, {
      logger,
      clock: systemClock,
      random: () => 0,
      informerTimes: { firstBackoffMs: 1, longestBackoffMs: 10, ...times },
    });
    informer = client.informer<ConfigMap>(CONFIG_MAPS, { namespace: 'shop', ...options });
    informer.onChange((change) => {
      changes.push(text(change));
      server$.emit('change');
    });
    const first = nextWatch();
    informer.start(stop.signal);
    return first;
  }

  beforeEach(async () => {
    [items, version, changes, warnings] = [[map('a', 1), map('b', 2)], 10, [], []];
    listAnswer = null;
    watchAnswer = null;
    stop = new AbortController();
    server = new FakeServer((asking, response) => {
      if (asking.query.has('watch')) {
        if (watchAnswer?.(asking, response) === true) return;
        response.writeHead(200, { 'content-type': 'application/json' });
        response.flushHeaders();
        server$.emit('watch', response);
      } else if (listAnswer?.(asking, response) !== true) {
        json(response, 200, { metadata: { resourceVersion: String(version) }, items });
      }
    });
    await server.listen();
  });

  afterEach(async () => {
    stop.abort();
    await client.close();
    await server.close();
  });

  it('lists, then watches from there, with bookmarks and a time of its own', async () => {
    const watch = await follow();
    await informer.synced(stop.signal);
    assert.equal(informer.size, 2);
    assert.deepEqual(changes, ['added a 1', 'added b 2']);
    const { query } = watches()[0]!;
    assert.equal(query.get('resourceVersion'), '10');
    assert.equal(query.get('allowWatchBookmarks'), 'true');
    assert.equal(query.get('timeoutSeconds'), '300');
    changes = [];
    send(watch, 'MODIFIED', map('a', 11));
    send(watch, 'ADDED', map('c', 12));
    send(watch, 'DELETED', map('b', 13));
    while (changes.length < 3) await nextChange();
    assert.deepEqual(changes, ['changed a 11', 'added c 12', 'removed b 13']);
    assert.equal(informer.get('shop', 'a')!.metadata.resourceVersion, '11');
    assert.equal(informer.get('shop', 'b'), undefined);
    assert.deepEqual(
      [...informer.list()].map(({ metadata }) => metadata.name),
      ['a', 'c'],
    );
  });

  it('goes on from the last bookmark when the server ends the watch, and lists nothing', async () => {
    const watch = await follow();
    send(watch, 'BOOKMARK', { kind: 'ConfigMap', metadata: { resourceVersion: '77' } });
    const next = nextWatch();
    watch.end();
    await next;
    assert.equal(watches()[1]!.query.get('resourceVersion'), '77');
    assert.equal(lists().length, 1);
    assert.deepEqual(warnings, []);
  });

  it('a watch that goes silent is given up and begun again from where it was', async () => {
    const watch = await follow({ silenceMs: 100 });
    send(watch, 'ADDED', map('c', 12));
    await nextChange();
    assert.ok(informer.silentMs() < 5000);
    await nextWatch();
    assert.equal(watches()[1]!.query.get('resourceVersion'), '12');
    assert.equal(lists().length, 1);
    assert.match(warnings[0]!, /went silent/);
  });

  it('a connection that is cut in the middle of an event loses nothing and tells nothing twice', async () => {
    const watch = await follow();
    send(watch, 'ADDED', map('c', 12));
    watch.write('{"type":"ADDED","object":{"metad');
    await nextChange();
    changes = [];
    const next = nextWatch();
    server.cut();
    const again = await next;
    assert.equal(watches()[1]!.query.get('resourceVersion'), '12');
    send(again, 'ADDED', map('c', 12));
    send(again, 'ADDED', map('d', 13));
    await nextChange();
    assert.deepEqual(changes, ['added d 13']);
  });

  for (const how of ['as an event', 'as a status'] as const) {
    it(`410 ${how}: lists again and tells only what is different, also what has gone meanwhile`, async () => {
      const watch = await follow();
      changes = [];
      items = [map('a', 1), map('c', 14), map('d', 15)];
      version = 20;
      const next = nextWatch();
      if (how === 'as an event') send(watch, 'ERROR', status(410, 'Expired', 'too old resource version'));
      else {
        let once = true;
        watchAnswer = (_, response) => {
          if (once) json(response, 410, status(410, 'Expired', 'too old resource version'));
          return once && !(once = false);
        };
        watch.end();
      }
      await next;
      assert.deepEqual(changes.toSorted(), ['added c 14', 'added d 15', 'removed b 2']);
      assert.equal(watches().at(-1)!.query.get('resourceVersion'), '20');
      assert.equal(informer.isSynced, true);
    });
  }

  it('an object that was deleted and made again while nobody looked is removed, then added', async () => {
    const watch = await follow();
    changes = [];
    items = [map('a', 16, 'another'), map('b', 2)];
    const next = nextWatch();
    send(watch, 'ERROR', status(410, 'Expired', 'too old'));
    await next;
    assert.deepEqual(changes, ['removed a 1', 'added a 16']);
  });

  for (const [what, line] of [
    ['no JSON', 'garbage\n'],
    ['an event without an object', '{"type":"ADDED"}\n'],
    ['larger than any object can be', Buffer.alloc(17 * 1024 * 1024, 'x')],
  ] as const) {
    it(`a line of a watch that is ${what} makes it list again`, async () => {
      const watch = await follow();
      changes = [];
      items = [...items, map('c', 12)];
      const next = nextWatch();
      watch.write(line);
      await next;
      assert.deepEqual(changes, ['added c 12']);
      assert.equal(lists().length, 2);
    });
  }

  it('goes through every error of a list, with what it knew before, and says each only once', async () => {
    const answers = [500, 500, 500, 403, 403, 429, 200];
    let asked = 0;
    listAnswer = (_, response) => {
      const code = answers[asked]!;
      asked += 1;
      if (code === 200) return false;
      json(response, code, status(code, '', `answer ${code}`));
      return true;
    };
    const first = await follow();
    assert.ok(first.writable);
    assert.deepEqual(changes, ['added a 1', 'added b 2']);
    assert.equal(warnings.length, 2, warnings.join('\n'));
    assert.match(warnings[0]!, /failed with 500/);
    assert.match(warnings[1]!, /answer 403/);
  });

  it('a server that is gone for a while: the cache stays, the watch goes on from where it was', async () => {
    const { port } = server;
    await follow();
    changes = [];
    await server.close();
    assert.equal(informer.size, 2);
    const next = nextWatch();
    await server.listen(port);
    const watch = await next;
    send(watch, 'MODIFIED', map('a', 11));
    await nextChange();
    assert.deepEqual(changes, ['changed a 11']);
  });

  it('a server that ends each watch at once is asked more and more seldom', async () => {
    let ended = 0;
    watchAnswer = (_, response) => {
      ended += 1;
      response.writeHead(200).end();
      if (ended === 6) server$.emit('enough');
      return true;
    };
    const enough = once(server$, 'enough');
    const began = performance.now();
    void follow({ firstBackoffMs: 16, longestBackoffMs: 500 });
    await enough;
    // At least half of 16 + 32 + 64; listing again begins the series anew.
    assert.ok(performance.now() - began > 56, 'no back-off');
  });

  it('a listener that throws is logged and ends nothing', async () => {
    const watch = await follow();
    informer.onChange(() => {
      throw new Error('broken listener');
    });
    const seen: string[] = [];
    informer.onChange((change) => seen.push(text(change)));
    send(watch, 'ADDED', map('c', 12));
    await nextChange();
    send(watch, 'ADDED', map('d', 13));
    await nextChange();
    assert.deepEqual(seen, ['added c 12', 'added d 13']);
    assert.deepEqual(warnings, ['a listener failed', 'a listener failed']);
  });

  it('keeps only what trim leaves, and never who wrote which field', async () => {
    items = [{ ...map('a', 1), data: { large: 'x' } }];
    (items[0]!.metadata as unknown as Record<string, unknown>)['managedFields'] = [{ manager: 'kubectl' }];
    const watch = await follow({}, { trim: ({ apiVersion, kind, metadata }) => ({ apiVersion, kind, metadata }) });
    assert.deepEqual(JSON.parse(JSON.stringify(informer.get('shop', 'a'))), map('a', 1));
    send(watch, 'MODIFIED', { ...map('a', 12), data: { large: 'y' } });
    await nextChange();
    assert.equal(informer.get('shop', 'a')!.data, undefined);
  });

  it('ends with its signal: who waits for the first list is told', async () => {
    listAnswer = () => true;
    void follow();
    const reason = new Error('stopping');
    const waiting = informer.synced(new AbortController().signal);
    const impatient = informer.synced(AbortSignal.abort(new Error('not waiting')));
    await assert.rejects(impatient, /not waiting/);
    stop.abort(reason);
    await assert.rejects(waiting, reason);
    assert.equal(informer.isSynced, false);
    assert.equal(informer.silentMs(), Infinity);
  });

  it('ends when the client is closed', async () => {
    await follow();
    const requests = server.asked.length;
    await client.close();
    const other = client.informer(CONFIG_MAPS);
    other.start(stop.signal);
    await assert.rejects(other.synced(stop.signal), /was closed/);
    assert.equal(server.asked.length, requests);
  });
});
