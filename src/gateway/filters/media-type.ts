/** Media types (RFC 9110 section 8.3.1) as filters compare them: without parameters and case. */

/** `text/html` of `Text/HTML; charset=utf-8`; '' of nothing and of what is no media type. */
export function essence(contentType: string | undefined): string {
  if (contentType === undefined) return '';
  const semicolon = contentType.indexOf(';');
  return (semicolon < 0 ? contentType : contentType.slice(0, semicolon)).trim().toLowerCase();
}

/** JSON (RFC 8259), also of a more special type (RFC 6839 section 3.1). */
export function isJson(type: string): boolean {
  return type === 'application/json' || type.endsWith('+json');
}

/** The form of a pattern in the configuration: a media type; `*` stands for the subtype or for what is before its suffix. */
export const MEDIA_TYPE_PATTERN = /^(?:\*\/\*|[a-z0-9!#$&^_.+-]+\/(?:\*(?:\+[a-z0-9.-]+)?|[a-z0-9!#$&^_.+-]+))$/;

/** Tells whether an essence fits one of the patterns: `text/html`, `text/*`, `application/*+json`, and the one that fits all. All are lower case. */
export function compileMediaTypes(patterns: readonly string[]): (type: string) => boolean {
  const exact = new Set<string>();
  const wild: { start: string; end: string }[] = [];
  for (const pattern of patterns) {
    const star = pattern === '*/*' ? 0 : pattern.indexOf('*');
    if (star < 0) exact.add(pattern);
    else wild.push({ start: pattern.slice(0, star), end: pattern === '*/*' ? '' : pattern.slice(star + 1) });
  }
  return (type) =>
    exact.has(type) ||
    (type !== '' &&
      wild.some(
        ({ start, end }) => type.length >= start.length + end.length && type.startsWith(start) && type.endsWith(end),
      ));
}
