import type { RequestEdit } from './edits.ts';
import type { Answer, Filter } from './filter.ts';
import type { HeaderChange } from './header-change.ts';
import { headerLine } from './header-line.ts';
import { problemAnswer } from './problem-answer.ts';

export interface CorsOptions {
  /** `https://app.example.com`, `https://*.example.com` (any depth below it), `null`, or `*` alone. Lower case, without the scheme's own port. */
  origins: string[];
  /** Of preflight answers; `*` alone: all. */
  methods: string[];
  /** Request headers that may be sent; `*` alone: all (but Authorization, as browsers read it). */
  headers: string[];
  /** Response headers that scripts may read. */
  exposed: string[];
  /** Cookies and the like may be sent; never together with `*`. */
  credentials: boolean;
  /** For which browsers keep a preflight answer, s. */
  maxAgeSeconds: number;
}

/** What a backend says about it itself is replaced: two opinions would be one header with two values, which browsers refuse. */
const OF_THE_BACKEND: HeaderChange = Object.freeze({
  removeNames: Object.freeze([
    'access-control-allow-origin',
    'access-control-allow-credentials',
    'access-control-allow-methods',
    'access-control-allow-headers',
    'access-control-expose-headers',
    'access-control-max-age',
  ]),
  append: '',
});

/**
 * Cross-origin resource sharing (the Fetch standard, section 3.2): answers preflight requests without asking the backend, and tells browsers which origins
 * may read responses. It keeps nobody out who isn't a browser.
 */
export function cors(options: CorsOptions): Filter {
  const everybody = options.origins.length === 1 && options.origins[0] === '*' && !options.credentials;
  const allows = compileOrigins(options.origins);
  const credentials = options.credentials ? headerLine('Access-Control-Allow-Credentials', 'true') : '';
  const exposed = list('Access-Control-Expose-Headers', options.exposed);
  const vary = everybody ? '' : headerLine('Vary', 'Origin');
  const preflightLines =
    list('Access-Control-Allow-Methods', options.methods) +
    list('Access-Control-Allow-Headers', options.headers) +
    headerLine('Access-Control-Max-Age', String(options.maxAgeSeconds));
  const preflightVary = headerLine('Vary', 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers');

  const preflight = (origin: string): Answer => {
    if (!allows(origin))
      return problemAnswer(403, 'origin-refused', 'This origin may not send requests to this place.', preflightVary);
    const headers = allowed(everybody ? '*' : origin) + credentials + preflightLines + preflightVary;
    return { status: 204, headers, body: '' };
  };

  return {
    request(edit: RequestEdit) {
      const { view } = edit;
      const origin = view.value('origin');
      if (origin !== undefined && view.method === 'OPTIONS' && view.indexOf('access-control-request-method') >= 0)
        return preflight(origin);
      edit.responseLines += vary;
      if (everybody) edit.responseLines += allowed('*') + exposed;
      else if (origin !== undefined && allows(origin)) edit.responseLines += allowed(origin) + credentials + exposed;
      return null;
    },
    response(edit) {
      // The gateway's own answers say nothing about it but what stands above.
      if (!edit.own) edit.apply(OF_THE_BACKEND);
    },
  };
}

/** An origin that was allowed consists of characters that can stand in a header. */
function allowed(origin: string): string {
  return `Access-Control-Allow-Origin: ${origin}\r\n`;
}

function list(name: string, values: readonly string[]): string {
  return values.length === 0 ? '' : headerLine(name, values.join(', '));
}

/** Origins are compared as browsers write them: lower case, without a default port (RFC 6454 section 6.2). */
function compileOrigins(origins: readonly string[]): (origin: string) => boolean {
  const exact = new Set<string>();
  const below: { start: string; end: string }[] = [];
  for (const origin of origins) {
    const star = origin.indexOf('*');
    if (origin === '*' || star < 0) exact.add(origin);
    else below.push({ start: origin.slice(0, star), end: origin.slice(star + 1) });
  }
  const all = exact.has('*');
  return (origin) =>
    exact.has(origin) ||
    (all && /^[\x21-\x7e]{1,512}$/.test(origin)) ||
    below.some(
      ({ start, end }) =>
        origin.startsWith(start) &&
        origin.endsWith(end) &&
        // What the star stands for: labels of a host name, not a port, a user or a path that leads elsewhere.
        /^[a-z0-9_](?:[a-z0-9_.-]{0,251}[a-z0-9_])?$/.test(origin.slice(start.length, origin.length - end.length)),
    );
}
