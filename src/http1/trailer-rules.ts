/**
 * Fields that must not stand in a trailer section (RFC 9110 6.5.1): framing, routing, request modifiers, authentication, response control, content
 * format. Whoever merges trailers into headers would be told something else than the gateway was.
 */
const FORBIDDEN = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'age',
  'authorization',
  'cache-control',
  'connection',
  'content-encoding',
  'content-length',
  'content-location',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'expect',
  'expires',
  'forwarded',
  'host',
  'http2-settings',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'keep-alive',
  'location',
  'max-forwards',
  'origin',
  'pragma',
  'range',
  'retry-after',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'vary',
  'via',
  'warning',
  'www-authenticate',
  'x-real-ip',
  'x-request-id',
]);

/** `lowerName` in lower case. */
export function isForbiddenTrailer(lowerName: string): boolean {
  return FORBIDDEN.has(lowerName) || lowerName.startsWith('proxy-') || lowerName.startsWith('x-forwarded-');
}
