/** The questions of JetStream's API (https://docs.nats.io/reference/reference-protocols/nats_api_reference): JSON on subjects that begin with $JS.API. */
import type { NatsConnection } from './nats-connection.ts';

/** Ms. */
const ANSWER_MS = 3000;

/** JetStream's own error, with the number of its kind (`err_code`). */
export class JetStreamError extends Error {
  readonly code: number;

  constructor(code: number, description: string) {
    super(description);
    this.code = code;
  }
}

/** Errors that are expected: https://github.com/nats-io/nats-server/blob/main/server/errors.json */
export const STREAM_NOT_FOUND = 10059;
export const CONSUMER_NOT_FOUND = 10014;

interface ApiError {
  code: number;
  err_code?: number;
  description?: string;
}

/** Rejects with a JetStreamError, or what the connection says. */
export async function askJetStream<A>(connection: NatsConnection, what: string, question: unknown = null): Promise<A> {
  const payload = question === null ? '' : JSON.stringify(question);
  const answer = await connection.request(`$JS.API.${what}`, payload, ANSWER_MS);
  const { error, ...rest } = JSON.parse(answer.data.toString()) as { error?: ApiError };
  if (error !== undefined) throw jetStreamError(error);
  return rest as A;
}

export function jetStreamError({ code, err_code, description }: ApiError): JetStreamError {
  return new JetStreamError(err_code ?? code, description ?? 'refused');
}
