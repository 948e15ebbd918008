/** gRPC through a sleeping backend: a client of grpc-js, a server of Connect. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client, credentials, Metadata } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { configuration } from './fixtures/configuration.ts';
import { Place, type Dormouse } from './fixtures/dormouse.ts';
import { decode, encode, text } from './fixtures/grpc-service.ts';
import type { Text } from './fixtures/grpc-service.ts';

const BOUND = { timeout: 60_000 };
const APPLICATION = fileURLToPath(new URL('./fixtures/grpc-application.ts', import.meta.url));
const NAMES = ['unary', 'letters', 'join', 'echo', 'failing'];

describe('gRPC', { concurrency: 1 }, () => {
  let place: Place;
  let up: Dormouse;
  const clients: Client[] = [];

  before(async () => {
    const command = [process.execPath, APPLICATION];
    place = new Place(
      configuration({
        backends: Object.fromEntries(
          NAMES.map((name) => [
            name,
            { process: { command, stopGrace: '2s' }, endpoints: { protocol: 'h2c' }, scale: { idleAfter: '60s' } },
          ]),
        ),
        routes: NAMES.map((name) => ({ hosts: [`${name}.test`], backend: name })),
      }),
    );
    up = await place.start().up();
  });

  after(async () => {
    for (const client of clients) client.close();
    assert.equal(await up.stop(), 0);
    assert.deepEqual(place.leftovers(), []);
    await place[Symbol.asyncDispose]();
  });

  async function clientOf(name: string): Promise<Client> {
    assert.equal((await up.backend(name)).phase, 'asleep');
    const client = new Client(`127.0.0.1:${await up.port()}`, credentials.createInsecure(), {
      'grpc.default_authority': `${name}.test`,
    });
    clients.push(client);
    return client;
  }

  const soon = (): { deadline: number } => ({ deadline: Date.now() + 30_000 });

  it('wakes a backend by a unary call', BOUND, async () => {
    const client = await clientOf('unary');
    const answer = await new Promise<Text>((resolve, reject) => {
      client.makeUnaryRequest(
        '/test.Words/Upper',
        encode,
        decode,
        text('hello'),
        new Metadata(),
        soon(),
        (error, reply) => (error === null ? resolve(reply!) : reject(error)),
      );
    });
    assert.equal(answer.value, 'HELLO');
  });

  it('passes the stream of a server', BOUND, async () => {
    const client = await clientOf('letters');
    const call = client.makeServerStreamRequest('/test.Words/Letters', encode, decode, text('letters'), soon());
    const letters: string[] = [];
    for await (const { value } of call as AsyncIterable<Text>) letters.push(value);
    assert.equal(letters.join('-'), 'l-e-t-t-e-r-s');
  });

  it('passes the stream of a client, begun before the backend is awake', BOUND, async () => {
    const client = await clientOf('join');
    const joined = await new Promise<Text>((resolve, reject) => {
      const call = client.makeClientStreamRequest(
        '/test.Words/Join',
        encode,
        decode,
        new Metadata(),
        soon(),
        (error, reply) => (error === null ? resolve(reply!) : reject(error)),
      );
      for (let i = 0; i < 50; i++) call.write(text('x'.repeat(4000)));
      call.end();
    });
    assert.equal(joined.value.length, 200_000);
  });

  it('passes streams both ways, word by word', BOUND, async () => {
    const client = await clientOf('echo');
    const call = client.makeBidiStreamRequest('/test.Words/Echo', encode, decode, soon());
    const answers = (call as AsyncIterable<Text>)[Symbol.asyncIterator]();
    for (const word of ['one', 'two', 'three']) {
      call.write(text(word));
      assert.equal((await answers.next()).value.value, word);
    }
    call.end();
    assert.equal((await answers.next()).done, true);
  });

  it('passes errors of the server as they are', BOUND, async () => {
    const client = await clientOf('failing');
    const error = await new Promise<ServiceError | null>((resolve) => {
      client.makeUnaryRequest('/test.Words/Upper', encode, decode, text('fail'), new Metadata(), soon(), resolve);
    });
    assert.equal(error?.code, 5);
    assert.equal(error?.details, 'no such wörd');
  });
});
