/** What a test does to a NATS of its own: streams, consumers, messages. */
import { askJetStream } from '../../src/nats/jetstream.ts';
import { NatsConnection } from '../../src/nats/nats-connection.ts';
import type { NatsLogin } from '../../src/nats/nats-credentials.ts';

const ASK_MS = 5000;

export class NatsTool {
  readonly #connection: NatsConnection;

  private constructor(connection: NatsConnection) {
    this.#connection = connection;
  }

  static async open(port: number, login: NatsLogin = { kind: 'none' }): Promise<NatsTool> {
    const options = { host: '127.0.0.1', port, tls: null, login, name: 'test', connectMs: ASK_MS, onLost: () => {} };
    return new NatsTool(await NatsConnection.open(options));
  }

  async stream(name: string, subject: string): Promise<void> {
    await askJetStream(this.#connection, `STREAM.CREATE.${name}`, {
      name,
      subjects: [subject],
      storage: 'memory',
      num_replicas: 1,
    });
  }

  async consumer(stream: string, name: string): Promise<void> {
    const config = { durable_name: name, ack_policy: 'explicit', ack_wait: 60_000_000_000 };
    await askJetStream(this.#connection, `CONSUMER.DURABLE.CREATE.${stream}.${name}`, { stream_name: stream, config });
  }

  async deleteConsumer(stream: string, name: string): Promise<void> {
    await askJetStream(this.#connection, `CONSUMER.DELETE.${stream}.${name}`);
  }

  async deleteStream(name: string): Promise<void> {
    await askJetStream(this.#connection, `STREAM.DELETE.${name}`);
  }

  /** Resolves when the stream has it. */
  async publish(subject: string, payload = 'x'): Promise<void> {
    await this.#connection.request(subject, payload, ASK_MS);
  }

  /** Takes one message; gives how to acknowledge it. */
  async next(stream: string, consumer: string): Promise<() => Promise<void>> {
    const message = await this.#connection.request(
      `$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`,
      JSON.stringify({ batch: 1, no_wait: true }),
      ASK_MS,
    );
    return async () => {
      this.#connection.publish(message.reply, '+ACK');
      await this.#connection.flush();
    };
  }

  close(): void {
    this.#connection.close();
  }
}
