/**
 * Headers that frame a message, say where it goes, or belong to one hop (RFC 9110 section 7.6.1), with the reason as the end of a sentence.
 * No filter changes them: the gateway writes them to fit what it sends, and a second opinion is how requests are smuggled.
 */
export const WIRE_HEADERS: Readonly<Record<string, string>> = Object.freeze({
  'content-length': 'frames the message',
  'transfer-encoding': 'frames the message',
  trailer: 'announces trailers',
  connection: 'belongs to one hop',
  'keep-alive': 'belongs to one hop',
  'proxy-connection': 'belongs to one hop',
  te: 'belongs to one hop',
  upgrade: 'belongs to one hop',
  host: 'says where the request goes; use rewrite: { host: … }',
});
