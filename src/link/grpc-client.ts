/** A gateway's side of a link over gRPC: one connection to one operator, with the gateway's own certificate. */
import { Client, credentials, logVerbosity, Metadata, setLogVerbosity, type ServiceError } from '@grpc/grpc-js';
import { addressText } from '../model/address-text.ts';
import { DormouseError } from '../model/errors.ts';
import type { Logger } from '../model/ports.ts';
import { MAX_FRAME_BYTES } from './frames.ts';
import {
  credentialsError,
  GATEWAY_KEY,
  GrpcLink,
  LINK_SERVICE,
  usualKeepAlive,
  VERSION_KEY,
  type KeepAlive,
  type LinkCredentials,
} from './grpc-link.ts';
import type { Link } from './link.ts';
import { LINK_VERSION, type DownMessage, type UpMessage } from './messages.ts';
import { checkDown } from './shapes.ts';

/** Connection, handshakes and the server's word that it has taken us in, ms. */
const CONNECT_MS = 5000;
const WINDOW_BYTES = 1024 * 1024;

export interface DialOptions {
  /** Of one operator, usually an IP address out of a headless Service. */
  address: { host: string; port: number };
  /** DNS name that the operator's certificate must be for. */
  serverName: string;
  credentials: LinkCredentials;
  /** This gateway's name. */
  gateway: string;
  logger: Logger;
  /** Gives up connecting; has no effect on a link that is there. */
  signal: AbortSignal;
  connectMs?: number;
  keepAlive?: KeepAlive;
}

/** Resolves when the operator has taken this gateway in. Rejects with DORMOUSE_LINK_UNREACHABLE (also after 5 s), DORMOUSE_LINK_REFUSED or DORMOUSE_LINK_CREDENTIALS. */
export async function dialLink(options: DialOptions): Promise<Link<UpMessage, DownMessage>> {
  const { address, serverName, signal, logger, keepAlive = usualKeepAlive, connectMs = CONNECT_MS } = options;
  const where = addressText(address);
  if (signal.aborted) throw unreachable(where, 'it was given up');
  // What goes wrong is told to our logger; the library would write to standard error too.
  setLogVerbosity(logVerbosity.NONE);
  // A client of its own for each link: certificates may have changed, and a broken one is not kept.
  const client = new Client(where, channelCredentials(options.credentials), {
    'grpc.ssl_target_name_override': serverName,
    'grpc.default_authority': serverName,
    'grpc.max_receive_message_length': MAX_FRAME_BYTES,
    'grpc.max_send_message_length': MAX_FRAME_BYTES,
    'grpc.keepalive_time_ms': keepAlive.pingMs,
    'grpc.keepalive_timeout_ms': keepAlive.timeoutMs,
    'grpc-node.flow_control_window': WINDOW_BYTES,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.service_config_disable_resolution': 1,
    'grpc.enable_retries': 0,
    'grpc.enable_http_proxy': 0,
    'grpc.enable_channelz': 0,
  });
  const metadata = new Metadata();
  metadata.set(GATEWAY_KEY, options.gateway);
  metadata.set(VERSION_KEY, String(LINK_VERSION));
  const { path, requestSerialize, responseDeserialize } = LINK_SERVICE.Attach;
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
  const link = new GrpcLink<UpMessage, DownMessage>({
    stream: call,
    check: checkDown,
    logger: logger.child({ operator: where }),
    abort: () => call.cancel(),
    ended: () => client.close(),
  });
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  call.once('metadata', () => resolve());
  call.once('error', (error: ServiceError) => reject(failure(error, where)));
  call.once('end', () => reject(unreachable(where, 'it ended the connection')));
  const timer = setTimeout(() => reject(unreachable(where, `it did not answer within ${connectMs} ms`)), connectMs);
  const aborted = (): void => reject(unreachable(where, 'it was given up'));
  signal.addEventListener('abort', aborted, { once: true });
  try {
    await promise;
  } catch (error) {
    call.cancel();
    link.close();
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', aborted);
  }
  return link;
}

function channelCredentials({ ca, cert, key }: LinkCredentials): ReturnType<typeof credentials.createSsl> {
  try {
    return credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert));
  } catch (error) {
    throw credentialsError(error as NodeJS.ErrnoException);
  }
}

function failure(error: ServiceError, where: string): DormouseError {
  // What a server says itself comes with one of these codes; all else is the connection's.
  const refusals = [
    3 /* INVALID_ARGUMENT */, 7 /* PERMISSION_DENIED */, 8 /* RESOURCE_EXHAUSTED */, 9 /* FAILED_PRECONDITION */,
  ];
  if (!refusals.includes(error.code)) return unreachable(where, error.details || error.message, error);
  return new DormouseError('DORMOUSE_LINK_REFUSED', `the operator at ${where} refuses this gateway: ${error.details}`, {
    cause: error,
  });
}

function unreachable(where: string, reason: string, cause?: unknown): DormouseError {
  return new DormouseError(
    'DORMOUSE_LINK_UNREACHABLE',
    `no link to the operator at ${where}: ${reason}; it is tried again`,
    {
      cause,
    },
  );
}
