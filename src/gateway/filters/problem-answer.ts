import { problemBody } from '../answers.ts';
import type { Answer } from './filter.ts';

/**
 * A refusal as problem+json (RFC 9457). `code`: a word that programs may compare; `detail`: one sentence for people, without anything that the client
 * sent. `headers`: whole lines. `members`: further members of the problem.
 */
export function problemAnswer(
  status: number,
  code: string,
  detail: string,
  headers = '',
  members: Readonly<Record<string, unknown>> | null = null,
): Answer {
  const plain = problemBody(status, code, detail);
  const body = members === null ? plain : `${JSON.stringify({ ...JSON.parse(plain), ...members })}\n`;
  return { status, headers: `${headers}Content-Type: application/problem+json\r\n`, body };
}
