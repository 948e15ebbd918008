/** What a response says about its body that is no longer true when a filter changes the body (RFC 9110 section 8, RFC 9530). */
import type { ResponseEdit } from './edits.ts';

const DIGESTS: readonly string[] = Object.freeze(['content-digest', 'repr-digest', 'digest', 'content-md5']);

/** For a body that is changed while it passes: digests go, and a strong validator becomes weak, since the bytes are others now. */
export function markChanged(edit: ResponseEdit): void {
  edit.removeReceived(DIGESTS);
  const etag = edit.value('etag');
  if (etag !== undefined && etag.startsWith('"')) edit.setHeader('ETag', `W/${etag}`);
}

/**
 * A 304 tells the validator of the response that the client has. When that is the weak one that `markChanged` made of it, it is told so: a strong one would
 * name a response which the client doesn't have (RFC 9111 section 4.3.4).
 */
export function markUnmodified(edit: ResponseEdit): void {
  const etag = edit.value('etag');
  if (etag === undefined || !etag.startsWith('"')) return;
  const held = edit.view.value('if-none-match');
  if (held !== undefined && held.includes(`W/${etag}`)) edit.setHeader('ETag', `W/${etag}`);
}
