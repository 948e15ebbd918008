import type { FuzzInput } from './generate.ts';
import type { Outcome } from './outcome.ts';
import { LLHTTP_METHODS } from './read-with-llhttp.ts';

/** A difference to llhttp that is meant, and where the standard says so. */
export interface ExplainedDifference {
  name: string;
  explains(input: FuzzInput, ours: Outcome, theirs: Outcome): boolean;
}

export const EXPLAINED: readonly ExplainedDifference[] = [
  {
    // RFC 9110 9.1: the method is any token; llhttp has a list. What the method means is the backend's matter.
    name: 'method: any token, not only those that llhttp knows',
    explains({ direction }, ours, theirs) {
      const method = ours.messages[theirs.messages.length]?.start.split(' ')[0];
      return direction === 'requests' && theirs.reason === 'HPE_INVALID_METHOD' && method !== undefined && !LLHTTP_METHODS.includes(method);
    },
  },
  {
    // RFC 9112 7.1.1: a recipient MUST parse bad whitespace around `;` and `=` of chunk extensions. We do and never forward extensions.
    name: 'chunk extension: whitespace around ; and =',
    explains({ bytes }, ours, theirs) {
      return theirs.end === 'refused' && theirs.reason.startsWith('HPE_INVALID_CHUNK_') && / ?[\t ]+[;=]|[;=][\t ]+/.test(bytes.toString('latin1'));
    },
  },
];
