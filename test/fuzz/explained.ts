import type { Outcome } from './outcome.ts';
import { LLHTTP_METHODS } from './read-with-llhttp.ts';

/**
 * A difference to llhttp that is meant, and where the standard says so. It explains an input when both parsers agree once it is rewritten, so that an explained
 * difference cannot hide another one.
 */
export interface ExplainedDifference {
  name: string;
  /** The input without the difference (the same text when it is not there). */
  rewrite(text: string, ours: Outcome): string;
}

export const EXPLAINED: readonly ExplainedDifference[] = [
  {
    // RFC 9110 9.1: the method is any token; llhttp has a list. What a method means is the backend's matter.
    name: 'method: any token, not only those that llhttp knows',
    rewrite(text, ours) {
      let rewritten = text;
      // From the last to the first, so that the offsets before stay true.
      for (let m = ours.messages.length - 1; m >= 0; m--) {
        const { start } = ours.messages[m]!;
        const method = start.slice(0, start.indexOf(' '));
        const offset = ours.offsets![m]!;
        if (/^\d{3} \d$/.test(start) || LLHTTP_METHODS.includes(method)) continue;
        rewritten = `${rewritten.slice(0, offset)}GET${rewritten.slice(offset + method.length)}`;
      }
      return rewritten;
    },
  },
  {
    // RFC 9112 7.1.1: a recipient MUST parse bad whitespace around `;` and `=` of chunk extensions. We do, and never forward extensions.
    name: 'chunk extension: whitespace around ; and =',
    rewrite: (text) =>
      text.replace(/^[0-9a-f]+[\t ]*;[^\r\n]*(?=\r\n)/gim, (line) => line.replace(/[\t ]*([;=])[\t ]*/g, '$1')),
  },
  {
    // RFC 9110 5.6.3: optional whitespace is SP or HTAB. llhttp does not take a tab behind a framing value.
    name: 'tab behind a value',
    rewrite: (text) => text.replace(/[\t ]*\t[\t ]*(?=\r\n)/g, ''),
  },
  {
    // RFC 9110 6.5.1: a trailer never is a header. We drop those that look like framing; llhttp reads them as headers and may refuse them.
    name: 'trailer that looks like framing',
    rewrite: (text) =>
      text.replace(/(\r\n|^)0+(;[^\r\n]*)?\r\n([^\r\n]+\r\n)+(?=\r\n)/g, (section) =>
        section.replace(/^(content-length|transfer-encoding|connection|upgrade)(?=:)/gim, 'x'),
      ),
  },
  {
    // RFC 9110 7.8: a server MUST ignore Upgrade in an HTTP/1.0 request.
    name: 'Upgrade in HTTP/1.0 is ignored',
    rewrite: (text) =>
      text.replace(/HTTP\/1\.0( [^\r\n]*)?\r\n([^\r\n]+\r\n)*/g, (head) => head.replace(/^upgrade(?=:)/gim, 'x')),
  },
  {
    // RFC 9112 C.2.2: Proxy-Connection is not to be used; we drop it unread. llhttp reads it as Connection.
    name: 'Proxy-Connection means nothing',
    rewrite: (text) => text.replace(/^proxy-connection(?=:)/gim, 'x'),
  },
  {
    // RFC 9112 9.3: close is looked at first. In HTTP/1.0, llhttp lets keep-alive win.
    name: 'close wins over keep-alive',
    rewrite: (text) =>
      text.replace(/HTTP\/1\.0( [^\r\n]*)?\r\n([^\r\n]+\r\n)*/g, (head) =>
        /^connection:.*close/im.test(head) ? head.replace(/keep-alive/gi, 'x') : head,
      ),
  },
];
