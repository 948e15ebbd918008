/** The JetStream stream that holds the events of all backends: made when it is not there, and left as it is when somebody else made it. */
import type { EventsConfig } from '../../model/config.ts';
import { JetStreamError, STREAM_NOT_FOUND, askJetStream } from '../../nats/jetstream.ts';
import type { NatsConnection } from '../../nats/nats-connection.ts';
import { natsStreamName } from '../stream-names.ts';

const DESCRIPTION = 'traffic events of dormouse';
/** How long JetStream remembers ids of messages, ns: what is published again after a fault within it is stored once. */
const DUPLICATES_NS = 120_000_000_000;

/** Rejects as askJetStream does. */
export async function ensureStream(connection: NatsConnection, { stream, maxLength }: EventsConfig): Promise<void> {
  const name = natsStreamName(stream);
  const found = await info(connection, name);
  if (found === null) {
    await askJetStream(connection, `STREAM.CREATE.${name}`, {
      name,
      description: DESCRIPTION,
      subjects: [`${stream}.>`],
      retention: 'limits',
      storage: 'file',
      max_msgs: maxLength,
      discard: 'old',
      duplicate_window: DUPLICATES_NS,
      num_replicas: 1,
    });
  } else if (found.description === DESCRIPTION && found.max_msgs !== maxLength) {
    await askJetStream(connection, `STREAM.UPDATE.${name}`, { ...found, max_msgs: maxLength });
  }
}

async function info(
  connection: NatsConnection,
  name: string,
): Promise<{ description?: string; max_msgs?: number } | null> {
  try {
    const { config } = await askJetStream<{ config: { description?: string; max_msgs?: number } }>(
      connection,
      `STREAM.INFO.${name}`,
    );
    return config;
  } catch (error) {
    if (error instanceof JetStreamError && error.code === STREAM_NOT_FOUND) return null;
    throw error;
  }
}
