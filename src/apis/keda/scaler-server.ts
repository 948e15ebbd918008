/** The port at which KEDA asks this replica, over mutual TLS: KEDA shows the certificate that its trigger's authentication has, other replicas of the operator theirs. */
import {
  logVerbosity,
  Server,
  setLogVerbosity,
  status,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { ChangingCredentials, type PemCredentials } from '../../grpc/changing-credentials.ts';
import { closeServer, hasRole, listen } from '../../grpc/serve.ts';
import { addressText } from '../../model/address-text.ts';
import { DormouseError } from '../../model/errors.ts';
import type { Logger } from '../../model/ports.ts';
import type { ReplicaFigures } from '../scale/replica-figures.ts';
import { FIGURES_SERVICE, FiguresService } from './figures-service.ts';
import { ScalerService } from './scaler-service.ts';

/** In the URI names of certificates of clients. */
export const SCALER_CLIENT_ROLE = 'spiffe://dormouse/scaler-client';
export const OPERATOR_ROLE = 'spiffe://dormouse/operator';

/** One request of KEDA has names and metadata; bytes. */
const MAX_MESSAGE_BYTES = 256 * 1024;
const MAX_STREAMS_PER_CONNECTION = 10_000;
/** How long ends of calls may take when the server closes, ms. */
const CLOSE_MS = 2000;

export interface ServeScalerOptions {
  /** Port 0: any that is free. */
  address: { host: string; port: number };
  credentials: PemCredentials;
  figures: ReplicaFigures;
  logger: Logger;
}

export interface ScalerServer {
  address: { host: string; port: number };
  /** New handshakes use these from now on. Throws when they can't be read, and nothing changes. */
  setCredentials(credentials: PemCredentials): void;
  /** Streams that KEDA listens to. */
  readonly streams: number;
  /** Ends streams with OK and listens no more; takes at most 2 s. */
  close(): Promise<void>;
}

/** Rejects with DORMOUSE_SCALER_ADDRESS when the address can't be listened on. */
export async function serveScaler({
  address,
  credentials,
  figures,
  logger,
}: ServeScalerOptions): Promise<ScalerServer> {
  // What goes wrong is told to our logger; the library would write to standard error too.
  setLogVerbosity(logVerbosity.NONE);
  const changing = new ChangingCredentials(
    credentials,
    ({ code }) =>
      new DormouseError('DORMOUSE_SCALER_ADDRESS', `the certificates of the scaler can't be used (${code})`),
  );
  const scaler = new ScalerService({ figures, logger });
  const others = new FiguresService(() => figures.own);
  const server = new Server({
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_concurrent_streams': MAX_STREAMS_PER_CONNECTION,
    'grpc.keepalive_time_ms': 20_000,
    'grpc.keepalive_timeout_ms': 10_000,
    'grpc.enable_channelz': 0,
  });
  server.addService(scaler.definition as ServiceDefinition, only(SCALER_CLIENT_ROLE, scaler.handlers, logger));
  server.addService(FIGURES_SERVICE as ServiceDefinition, only(OPERATOR_ROLE, others.handlers, logger));
  const bound = await listen(server, addressText(address), changing.forServer()).catch((error: Error) => {
    const text = `cannot listen on ${addressText(address)} for KEDA: ${error.message}; set --scaler to an address of this machine and a port that is free`;
    throw new DormouseError('DORMOUSE_SCALER_ADDRESS', text, { cause: error, userFault: true });
  });
  return {
    address: { host: address.host, port: bound },
    setCredentials: (next) => changing.set(next),
    get streams() {
      return scaler.streams;
    },
    close: async () => {
      scaler.close();
      others.close();
      await closeServer(server, CLOSE_MS);
    },
  };
}

type AnyCall = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>;
type AnyHandler = (call: never, answer: never) => void;

/** Whoever shows another role's certificate is turned away. */
function only(
  role: string,
  handlers: Readonly<Record<string, AnyHandler>>,
  logger: Logger,
): UntypedServiceImplementation {
  return Object.fromEntries(
    Object.entries(handlers).map(([name, handler]) => [
      name,
      (call: AnyCall, answer?: (error: object) => void) => {
        if (hasRole(call.getAuthContext().sslPeerCertificate?.subjectaltname, role)) {
          return handler(call as never, answer as never);
        }
        const refusal = { code: status.PERMISSION_DENIED, details: `the client's certificate is not one of ${role}` };
        logger.warn('a caller of the scaler was turned away', { peer: call.getPeer(), reason: refusal.details });
        if (answer !== undefined) return answer(refusal);
        const stream = call as ServerWritableStream<unknown, unknown>;
        stream.on('error', () => {});
        stream.emit('error', refusal);
      },
    ]),
  ) as UntypedServiceImplementation;
}
