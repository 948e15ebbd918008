/** What every transport of a link keeps, run against each of them. */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { after, describe, it } from 'node:test';
import type { Link } from './link.ts';
import type { DownMessage, UpMessage } from './messages.ts';

/**
 * The far end, as a script: it answers `collect {id}` with `collected {id}`, `configure` with `configured`, tells `refused` with a reason of as
 * many characters as `lease {holds}` says, sends `applied` 1 to `lease {bytes}` in a row, asks with `limit-ask` for what each part of a `limit-grant` gave, and closes
 * on `shutdown`.
 */
export function scriptedGateway(link: Link<UpMessage, DownMessage>): void {
  link.onMessage((message) => {
    switch (message.type) {
      case 'collect':
        return link.send({
          type: 'collected',
          id: message.id,
          metrics: [],
          status: { connections: 0, backends: [], rssBytes: 0 },
        });
      case 'configure':
        return link.send({ type: 'configured', version: message.version });
      case 'lease':
        if (message.holds > 0) link.send({ type: 'refused', version: 0, reason: 'x'.repeat(message.holds) });
        for (let i = 1; i <= message.bytes; i++) link.send({ type: 'applied', backend: 'b', version: i });
        return;
      case 'limit-grant': {
        const asks = message.grants.map(({ given, left, waitMs }) => ({
          name: 'rate shop',
          key: `ü ${waitMs}`,
          need: given,
          more: left,
          used: 0,
          back: 0,
        }));
        return link.send({ type: 'limit-ask', seq: message.seq, asks });
      }
      case 'shutdown':
        return link.close();
    }
  });
}

export interface ContractEnds {
  near: Link<DownMessage, UpMessage>;
  /** Ends the far end without a word, as a crash does. */
  crash(): void;
  /** Resolves when the far end has seen the close. */
  farClosed: Promise<unknown>;
}

export function linkContract(name: string, open: () => ContractEnds | Promise<ContractEnds>): void {
  describe(`link contract: ${name}`, () => {
    const opened: ContractEnds[] = [];
    after(() => {
      for (const ends of opened) ends.near.close();
    });
    const start = async (): Promise<ContractEnds & { inbox: EventEmitter; messages: UpMessage[] }> => {
      const ends = await open();
      opened.push(ends);
      const inbox = new EventEmitter();
      const messages: UpMessage[] = [];
      ends.near.onMessage((message) => {
        messages.push(message);
        inbox.emit('message', message);
      });
      return { ...ends, inbox, messages };
    };

    it('carries a message there and back, not inside send', async () => {
      const { near, inbox, messages } = await start();
      near.send({ type: 'collect', id: 7 });
      assert.equal(messages.length, 0);
      const [message] = await once(inbox, 'message');
      assert.equal(message.type, 'collected');
      assert.equal(message.id, 7);
    });

    it('keeps the order of 10,000 messages in both directions', { timeout: 10_000 }, async () => {
      const { near, inbox, messages } = await start();
      for (let i = 0; i < 10_000; i++) near.send({ type: 'collect', id: i });
      while (messages.length < 10_000) await once(inbox, 'message');
      assert.deepEqual(
        messages.map((message) => (message.type === 'collected' ? message.id : -1)),
        Array.from({ length: 10_000 }, (_, i) => i),
      );
      near.send({ type: 'lease', backend: 'b', holds: 0, bytes: 10_000 });
      while (messages.length < 20_000) await once(inbox, 'message');
      assert.ok(messages.slice(10_000).every((message, i) => message.type === 'applied' && message.version === i + 1));
    });

    it('carries 5 MB in one message, both ways', { timeout: 10_000 }, async () => {
      const { near, inbox } = await start();
      const config = { padding: 'ü'.repeat(2_500_000) } as unknown as never;
      near.send({ type: 'configure', version: 3, config });
      assert.deepEqual(await once(inbox, 'message'), [{ type: 'configured', version: 3 }]);
      near.send({ type: 'lease', backend: 'b', holds: 5_000_000, bytes: 0 });
      const [message] = await once(inbox, 'message');
      assert.equal(message.reason.length, 5_000_000);
    });

    it('carries leases of limits: lists of parts, with fractions of milliseconds', async () => {
      const { near, inbox } = await start();
      near.send({
        type: 'limit-grant',
        seq: 9,
        grants: [
          { given: 3, left: 97, waitMs: 0 },
          { given: 0, left: 0, waitMs: 0.25 },
        ],
      });
      const [message] = await once(inbox, 'message');
      assert.deepEqual(message, {
        type: 'limit-ask',
        seq: 9,
        asks: [
          { name: 'rate shop', key: 'ü 0', need: 3, more: 97, used: 0, back: 0 },
          { name: 'rate shop', key: 'ü 0.25', need: 0, more: 0, used: 0, back: 0 },
        ],
      });
    });

    it('keeps messages that come before there is a handler', async () => {
      const ends = await open();
      opened.push(ends);
      let closed = false;
      const close = new Promise<void>((resolve) => ends.near.onClose(resolve)).then(() => (closed = true));
      for (let i = 0; i < 3; i++) ends.near.send({ type: 'collect', id: i });
      ends.near.send({ type: 'shutdown', drainMs: 0 });
      await ends.farClosed;
      assert.equal(closed, false);
      const ids: number[] = [];
      ends.near.onMessage((message) => ids.push(message.type === 'collected' ? message.id : -1));
      await close;
      assert.deepEqual(ids, [0, 1, 2]);
    });

    it('tells the close at both ends when the far end closes, after its last message', async () => {
      const { near, messages, farClosed } = await start();
      near.send({ type: 'lease', backend: 'b', holds: 0, bytes: 50 });
      near.send({ type: 'shutdown', drainMs: 0 });
      await new Promise<void>((resolve) => near.onClose(resolve));
      assert.equal(messages.length, 50);
      await farClosed;
    });

    it('tells the close at both ends, once, when the near end closes; sending afterwards does nothing', async () => {
      const { near, messages, farClosed } = await start();
      let closes = 0;
      const closed = new Promise<void>((resolve) =>
        near.onClose(() => {
          closes++;
          resolve();
        }),
      );
      near.close();
      near.close();
      near.send({ type: 'collect', id: 1 });
      await Promise.all([closed, farClosed]);
      assert.equal(closes, 1);
      assert.equal(messages.length, 0);
      await new Promise<void>((resolve) => near.onClose(resolve));
    });

    it('tells the close when the far end is gone without a word, and does not throw on send', async () => {
      const { near, crash } = await start();
      const closed = new Promise<void>((resolve) => near.onClose(resolve));
      crash();
      for (let i = 0; i < 100; i++) near.send({ type: 'collect', id: i });
      await closed;
      near.send({ type: 'collect', id: 1 });
    });
  });
}
