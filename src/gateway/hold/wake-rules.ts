import { DormouseError } from '../../model/errors.ts';
import type { MatchConfig, WakeAnswer, WakeConfig } from '../../model/config.ts';
import { AddressSet } from '../forwarding/address-set.ts';
import type { RequestView } from '../request-view.ts';
import { Conditions } from '../routing/conditions.ts';
import { normalPath, normalRulePath } from '../routing/path.ts';
import { Pattern } from '../routing/pattern.ts';

/** An answer that is given without waking. */
export interface StandIn {
  status: number;
  /** Whole lines. */
  headers: string;
  body: string;
}

/** What `wake.answers` and `wake.never` say about requests that come while no instance is ready. */
export class WakeRules {
  readonly #answers: { matches: (path: string) => boolean; conditions: Conditions; answer: StandIn }[];
  readonly #userAgents: ((value: string) => boolean)[];
  readonly #clients: AddressSet | null;

  /** null: no rule at all. Throws DORMOUSE_ROUTE_PATTERN, DORMOUSE_CLIENT_RULES. */
  static compile(wake: WakeConfig, backend: string): WakeRules | null {
    const { answers, never } = wake;
    if (answers.length === 0 && never.userAgents.length === 0 && never.clients.length === 0) return null;
    return new WakeRules(wake, `backends.${backend}.wake`);
  }

  private constructor({ answers, never }: WakeConfig, place: string) {
    this.#answers = answers.map((answer, i) => ({
      matches: pathTest(answer.match.path, `${place}.answers[${i}].match.path`),
      conditions: new Conditions(answer.match, `${place}.answers[${i}].match`),
      answer: standIn(answer),
    }));
    this.#userAgents = never.userAgents.map(({ kind, value }, i) => {
      if (kind === 'exact') return (agent) => agent === value;
      const pattern = new Pattern(value, `${place}.never.userAgents[${i}]`);
      return (agent) => pattern.matchesLatin1(agent);
    });
    this.#clients =
      never.clients.length === 0
        ? null
        : new AddressSet(
            never.clients,
            (block) =>
              new DormouseError(
                'DORMOUSE_CLIENT_RULES',
                `${place}.never.clients: "${block}" is no address and no CIDR block; write e.g. 10.0.0.0/8`,
                { userFault: true },
              ),
          );
  }

  /** The first answer that matches, or null: the request goes its way. */
  answer(view: RequestView): StandIn | null {
    if (this.#answers.length === 0) return null;
    const path = normalPath(view.path);
    if (path === null) return null;
    for (const { matches, conditions, answer } of this.#answers)
      if (matches(path) && conditions.hold(view)) return answer;
    return null;
  }

  /** Whether this request may wake the backend. `view` null: a raw connection. */
  mayWake(view: RequestView | null, client: string): boolean {
    if (this.#clients !== null && this.#clients.has(client)) return false;
    if (view === null || this.#userAgents.length === 0) return true;
    const agent = view.value('user-agent') ?? '';
    return !this.#userAgents.some((matches) => matches(agent));
  }
}

function standIn({ status, headers, body }: WakeAnswer): StandIn {
  let lines = '';
  let hasType = false;
  for (const [name, value] of Object.entries(headers)) {
    lines += `${name}: ${value}\r\n`;
    if (name.toLowerCase() === 'content-type') hasType = true;
  }
  if (!hasType && body !== '') lines += 'Content-Type: text/plain; charset=utf-8\r\n';
  return { status, headers: lines, body };
}

/** As in routes: prefixes end at segments, expressions match the whole path. */
function pathTest({ kind, value }: MatchConfig['path'], place: string): (path: string) => boolean {
  if (kind === 'regex') {
    const pattern = new Pattern(value, place);
    return (path) => pattern.matches(path);
  }
  const wanted = normalRulePath(value);
  if (kind === 'exact') return (path) => path === wanted;
  const prefix = wanted.endsWith('/') ? wanted.slice(0, -1) : wanted;
  return (path) => path === prefix || path.startsWith(`${prefix}/`);
}
