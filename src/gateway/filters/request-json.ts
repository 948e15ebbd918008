/** What validate and body ask of a request that may carry JSON. */
import { joinedValue, nextNamed, type RequestView } from '../request-view.ts';
import type { Answer } from './filter.ts';
import { essence, isJson } from './media-type.ts';
import { problemAnswer } from './problem-answer.ts';

/** Whether a body follows: it has a length, or its length isn't known. */
export function hasBody(view: RequestView): boolean {
  const length = view.value('content-length');
  return length === undefined ? view.indexOf('transfer-encoding') >= 0 : !/^0+$/.test(length);
}

/** Any Content-Type says JSON: of two, an application might take the other one than we. */
export function hasJsonBody(view: RequestView): boolean {
  if (!hasBody(view)) return false;
  for (let i = view.indexOf('content-type'); i >= 0; i = nextNamed(view, 'content-type', i + 1))
    if (isJson(essence(view.valueAt(i)))) return true;
  return false;
}

/** The refusal of a JSON body that would have to be decoded first; null when it can be read as it is. */
export function codedRefusal(view: RequestView): Answer | null {
  const coding = joinedValue(view, 'content-encoding');
  if (coding === undefined || coding.toLowerCase() === 'identity') return null;
  // RFC 9110 section 12.5.3: which codings would have been accepted.
  const accept = 'Accept-Encoding: identity\r\n';
  return problemAnswer(415, 'content-encoding-refused', 'Encoded bodies are not accepted here.', accept);
}

export function jsonRefusal(why: string): Answer {
  return problemAnswer(400, 'json-invalid', `The request body ${why}.`);
}

/** The end of a sentence about what JSON.parse said; without the text itself. */
export function notJson(error: unknown): string {
  const at = /position (\d+)/.exec((error as Error).message)?.[1];
  return at === undefined ? 'is not JSON' : `is not JSON (at character ${at})`;
}
