/**
 * The form of a path that routes are matched on. A request is forwarded with the path that it came with; only the choice of the rule is
 * made on this form, so that another spelling of the same path (`/%61dmin`, `/x/../admin`, `//admin`) can't step around a rule.
 *
 * - percent-encoded unreserved characters are decoded and the digits of other triplets put in upper case (RFC 3986 sections 6.2.2.1, 6.2.2.2)
 * - empty segments are merged (`//` is `/`), as nginx does
 * - dot segments are removed (RFC 3986 section 5.2.4)
 *
 * Some servers also read `%2F`, `%5C` and `\` as slashes, or cut `;parameters` before they resolve dots. A path that would climb there and
 * not here (`/public/..%2Fadmin`, `/public/..;/admin`) has no meaning that all agree on: it gets no normal form, hence no route. Nor does one
 * with a `%` that begins no triplet.
 */

const PERCENT = 0x25;
const DOT = 0x2e;
const SLASH = 0x2f;
const SEMICOLON = 0x3b;
const BACKSLASH = 0x5c;

/** The path that routes are matched on, or null when servers disagree about what the path means. Costs one scan for a usual path. */
export function normalPath(path: string): string | null {
  const length = path.length;
  let last = 0;
  for (let i = 0; i < length; i++) {
    const code = path.charCodeAt(i);
    if (code === PERCENT || code === BACKSLASH || code === SEMICOLON) return rewritten(path);
    if (last === SLASH && (code === DOT || code === SLASH)) return rewritten(path);
    last = code;
  }
  // `OPTIONS *` concerns the whole host, and an absolute-form target may have no path (RFC 9112 section 3.2.4).
  return length === 0 || path === '*' ? '/' : path;
}

function rewritten(path: string): string | null {
  if (/%(?![0-9A-Fa-f]{2})/.test(path)) return null;
  const decoded = path.indexOf('%') < 0 ? path : decodeUnreserved(path);
  if (climbsElsewhere(decoded)) return null;
  return withoutDots(decoded);
}

/** Decodes `%XX` of unreserved characters; other triplets get upper-case digits. */
function decodeUnreserved(text: string): string {
  return text.replace(/%[0-9A-Fa-f]{2}/g, (triplet) => {
    const character = String.fromCharCode(Number.parseInt(triplet.slice(1), 16));
    return /[A-Za-z0-9\-._~]/.test(character) ? character : triplet.toUpperCase();
  });
}

function climbsElsewhere(path: string): boolean {
  if (!/%2F|%5C|[\\;]/.test(path)) return false;
  for (const segment of path.split('/')) {
    if (segment === '.' || segment === '..') continue;
    for (const piece of segment.split(/%2F|%5C|\\/)) {
      const semicolon = piece.indexOf(';');
      const name = semicolon < 0 ? piece : piece.slice(0, semicolon);
      if (name === '.' || name === '..') return true;
    }
  }
  return false;
}

function withoutDots(path: string): string {
  const kept: string[] = [];
  const segments = path.split('/');
  for (const segment of segments) {
    if (segment === '..') kept.pop();
    else if (segment !== '' && segment !== '.') kept.push(segment);
  }
  const end = segments[segments.length - 1];
  const trailing = kept.length > 0 && (end === '' || end === '.' || end === '..');
  return '/' + kept.join('/') + (trailing ? '/' : '');
}

/** A path of the configuration in the same form: characters that a request can't carry raw are percent-encoded as UTF-8 first. */
export function normalRulePath(path: string): string {
  const encoded = path.replace(/[^\x21-\x7e]+/g, (run) =>
    Array.from(Buffer.from(run, 'utf8'), (byte) => '%' + byte.toString(16).toUpperCase().padStart(2, '0')).join(''),
  );
  return withoutDots(decodeUnreserved(encoded));
}
