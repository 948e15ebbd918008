/**
 * The operator's side of links over gRPC: one stream per gateway, over mutual TLS. A client is let in when its certificate is of our authority,
 * is meant for clients, and names the role of gateways.
 */
import {
  logVerbosity,
  Metadata,
  Server,
  setLogVerbosity,
  status,
  type ServerDuplexStream,
  type ServiceDefinition,
  type StatusObject,
} from '@grpc/grpc-js';
import { ChangingCredentials } from '../grpc/changing-credentials.ts';
import { closeServer, hasRole, listen } from '../grpc/serve.ts';
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
import { checkUp } from './shapes.ts';

/** Links at once; one more is refused. */
const MAX_LINKS = 1000;
const MAX_STREAMS_PER_CONNECTION = 4;
/** What one stream may send before we have read it, bytes. */
const WINDOW_BYTES = 1024 * 1024;
/** How long ends of links may take when the server closes, ms. */
const CLOSE_MS = 2000;
const GATEWAY_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/;
/** In the URI names of a gateway's certificate: its role. */
export const GATEWAY_ROLE = 'spiffe://dormouse/gateway';

export interface LinkPeer {
  /** Address and port of the gateway, for logs. */
  address: string;
}

export interface ServeLinksOptions {
  /** Port 0: any that is free. */
  address: { host: string; port: number };
  credentials: LinkCredentials;
  /** A gateway has come. `id` is the name that it gives itself: unique only as far as gateways tell the truth, and the same again after it lost a link. */
  onLink(id: string, link: Link<DownMessage, UpMessage>, peer: LinkPeer): void;
  logger: Logger;
  keepAlive?: KeepAlive;
}

export interface LinkServer {
  /** With the port that was taken when 0 was asked for. */
  address: { host: string; port: number };
  /** New handshakes use these from now on; links that are there stay. Throws when they can't be read, and nothing changes. */
  setCredentials(credentials: LinkCredentials): void;
  /** Links that are there. */
  readonly links: number;
  /** Closes all links and listens no more; takes at most 2 s. */
  close(): Promise<void>;
}

/** Rejects with DORMOUSE_LINK_ADDRESS when the address can't be listened on, DORMOUSE_LINK_CREDENTIALS when the certificates can't be read. */
export async function serveLinks(options: ServeLinksOptions): Promise<LinkServer> {
  const { logger, keepAlive = usualKeepAlive } = options;
  // What goes wrong is told to our logger; the library would write to standard error too.
  setLogVerbosity(logVerbosity.NONE);
  const credentials = new ChangingCredentials(options.credentials, credentialsError);
  const links = new Set<Link<DownMessage, UpMessage>>();
  const server = new Server({
    'grpc.max_receive_message_length': MAX_FRAME_BYTES,
    'grpc.max_send_message_length': MAX_FRAME_BYTES,
    'grpc.max_concurrent_streams': MAX_STREAMS_PER_CONNECTION,
    'grpc.keepalive_time_ms': keepAlive.pingMs,
    'grpc.keepalive_timeout_ms': keepAlive.timeoutMs,
    'grpc-node.flow_control_window': WINDOW_BYTES,
    'grpc.enable_channelz': 0,
  });
  const attach = (call: ServerDuplexStream<Buffer, Buffer>): void => {
    const refusal = refuse(call, links.size);
    if (refusal !== null) {
      logger.warn('a gateway was turned away', { peer: call.getPeer(), reason: refusal.details });
      call.on('error', () => {});
      call.emit('error', refusal);
      return;
    }
    const id = String(call.metadata.get(GATEWAY_KEY)[0]);
    const peer = { address: call.getPeer() };
    const link = new GrpcLink<DownMessage, UpMessage>({
      stream: call,
      check: checkUp,
      logger: logger.child({ gateway: id, peer: peer.address }),
      abort: () => cut(call),
      ended: () => links.delete(link),
    });
    links.add(link);
    // Tells the gateway that it is in.
    call.sendMetadata(new Metadata());
    options.onLink(id, link, peer);
  };
  server.addService(LINK_SERVICE as ServiceDefinition, { Attach: attach });
  const bound = await listen(server, addressText(options.address), credentials.forServer()).catch((error: Error) => {
    throw addressError(error, addressText(options.address));
  });
  return {
    address: { host: options.address.host, port: bound },
    setCredentials: (next) => credentials.set(next),
    get links() {
      return links.size;
    },
    close: async () => {
      for (const link of links) link.close();
      await closeServer(server, CLOSE_MS);
    },
  };
}

/** Ends a call at once. `destroy` alone would drop what waits to be sent, and leave the client in the belief that all is well. */
function cut(call: ServerDuplexStream<Buffer, Buffer>): void {
  const { call: inner } = call as unknown as { call?: { sendStatus?(status: StatusObject): void } };
  inner?.sendStatus?.({ code: status.RESOURCE_EXHAUSTED, details: 'the link was given up', metadata: new Metadata() });
  call.destroy();
}

/** Why this call is refused, or null. */
function refuse(
  call: ServerDuplexStream<Buffer, Buffer>,
  links: number,
): Pick<StatusObject, 'code' | 'details'> | null {
  if (!hasRole(call.getAuthContext().sslPeerCertificate?.subjectaltname, GATEWAY_ROLE)) {
    return {
      code: status.PERMISSION_DENIED,
      details: `the client's certificate is not one of a gateway (URI ${GATEWAY_ROLE})`,
    };
  }
  const [name] = call.metadata.get(GATEWAY_KEY);
  if (typeof name !== 'string' || !GATEWAY_NAME.test(name)) {
    return {
      code: status.INVALID_ARGUMENT,
      details: `the metadata ${GATEWAY_KEY} must be the gateway's name: 1 to 253 of A-Z a-z 0-9 . _ -`,
    };
  }
  const [version] = call.metadata.get(VERSION_KEY);
  if (version !== String(LINK_VERSION)) {
    return {
      code: status.FAILED_PRECONDITION,
      details: `it speaks version ${String(version).slice(0, 20)} of the link, this operator version ${LINK_VERSION}`,
    };
  }
  if (links >= MAX_LINKS)
    return { code: status.RESOURCE_EXHAUSTED, details: `${MAX_LINKS} gateways are attached already` };
  return null;
}

function addressError(error: Error, where: string): DormouseError {
  return new DormouseError(
    'DORMOUSE_LINK_ADDRESS',
    `cannot listen on ${where} for gateways: ${error.message}; set the address of the link to one of this machine and a port that is free`,
    { cause: error, userFault: true },
  );
}
