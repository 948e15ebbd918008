/** What gRPC asks of a proxy that answers by itself (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). */
import type { RequestHead } from '../../../http1/request-head.ts';
import { HeaderKind } from '../../../http1/header-kind.ts';

/** Numbers of gRPC's status codes. */
export const GrpcStatus = Object.freeze({
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  UNAUTHENTICATED: 16,
});

/** `application/grpc` and `application/grpc+…`, but not gRPC-Web, whose clients read the HTTP status. */
export function isGrpc(head: RequestHead): boolean {
  if (head.method !== 'POST') return false;
  const at = head.indexOfKind(HeaderKind.CONTENT_TYPE);
  return at >= 0 && /^application\/grpc(?![a-z-])/i.test(head.valueAt(at));
}

const UNIT_MS: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** The deadline that the client asks for, in ms from now, at least 1; Infinity when it names none or not a valid one. */
export function grpcTimeoutMs(head: RequestHead): number {
  const at = head.indexOfKind(HeaderKind.GRPC_TIMEOUT);
  const match = at < 0 ? null : /^(\d{1,8})([HMSmun])$/.exec(head.valueAt(at));
  return match === null ? Number.POSITIVE_INFINITY : Math.max(1, Math.ceil(Number(match[1]) * UNIT_MS[match[2]!]!));
}

/**
 * The status that an answer of the gateway stands for. Beyond the mapping of gRPC's own documents: a request that was held in vain is UNAVAILABLE, which clients
 * may try again; limits are RESOURCE_EXHAUSTED.
 */
export function grpcStatusOf(httpStatus: number, outcome: string): number {
  switch (outcome) {
    case 'hold-timeout':
    case 'hold-full':
    case 'connect-failed':
      return GrpcStatus.UNAVAILABLE;
    default:
  }
  switch (httpStatus) {
    case 401:
      return GrpcStatus.UNAUTHENTICATED;
    case 403:
      return GrpcStatus.PERMISSION_DENIED;
    case 404:
    case 405:
    case 501:
      return GrpcStatus.UNIMPLEMENTED;
    case 408:
    case 504:
      return GrpcStatus.DEADLINE_EXCEEDED;
    case 413:
    case 429:
    case 431:
      return GrpcStatus.RESOURCE_EXHAUSTED;
    case 502:
    case 503:
      return GrpcStatus.UNAVAILABLE;
    case 400:
    case 500:
      return GrpcStatus.INTERNAL;
    default:
      return httpStatus >= 400 && httpStatus < 500 ? GrpcStatus.INVALID_ARGUMENT : GrpcStatus.UNKNOWN;
  }
}

/** The lines of a trailers-only response. `lines`: those of the answer; what speaks of its body is left out. */
export function grpcErrorLines(httpStatus: number, outcome: string, lines: string, body: string): string {
  const kept = lines.replace(/^content-(?:type|length|encoding|language):.*\r\n/gim, '');
  const status = grpcStatusOf(httpStatus, outcome);
  return `content-type: application/grpc\r\n${kept}grpc-status: ${status}\r\ngrpc-message: ${percentEncoded(messageOf(body))}\r\n`;
}

/** The sentence in a problem+json; of other bodies nothing. */
function messageOf(body: string): string {
  try {
    const { detail, title } = JSON.parse(body) as { detail?: unknown; title?: unknown };
    return typeof detail === 'string' ? detail : typeof title === 'string' ? title : '';
  } catch {
    return '';
  }
}

/** Printable ASCII but `%` as it is, all else as its UTF-8 bytes in hexadecimal. */
export function percentEncoded(text: string): string {
  return text.replace(/[^ -$&-~]+/g, (run) =>
    Array.from(Buffer.from(run, 'utf8'), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  );
}
