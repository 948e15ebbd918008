/** Names under which events are stored. A machine's backends have names of a-z, 0-9, - and dots; a cluster's have their namespace before a slash, and Services that routes lead to are `service:namespace/name:port`. */

/** Streams of single backends that one process writes, at most; the events of further ones are in the stream of all only. */
export const MOST_BACKEND_STREAMS = 1000;

/**
 * The part of a key or subject that stands for a backend: `shop`, `shop_v2` for shop.v2, `default.shop` for default/shop. Backends of one machine or cluster have different ones,
 * since their names have no underscore.
 */
export function backendToken(backend: string): string {
  return backend
    .replaceAll('.', '_')
    .replaceAll(/[/:]/g, '.')
    .replaceAll(/[^a-z0-9._-]/g, (other) => `_x${other.charCodeAt(0).toString(16)}`);
}

/** A JetStream stream's name has no dots: `dormouse_traffic` for dormouse.traffic. */
export function natsStreamName(stream: string): string {
  return stream.replaceAll('.', '_');
}
