/**
 * The admin API's resources, apart from how a client comes to them (the control socket, TCP) and from what they are (a machine's configuration, objects of a cluster).
 * openapi.json says the same in full; a test holds both together.
 *
 *   GET    /v1/backends?limit=N&after=NAME
 *   POST   /v1/backends                              Idempotency-Key
 *   GET | PUT | PATCH | DELETE /v1/backends/NAME     ?namespace= on a cluster, here and below
 *   POST   /v1/backends/NAME/wake?wait=MS
 *   POST   /v1/backends/NAME/sleep
 *   PUT | DELETE /v1/backends/NAME/awake             { until }
 *   GET    /v1/events?backend=NAME&traffic=true      server-sent events, Last-Event-ID
 *   GET    /v1/openapi.json
 */
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ADMIN_SCOPES, type AdminScope } from '../../model/config.ts';
import { DormouseError } from '../../model/errors.ts';
import type { Clock, Logger } from '../../model/ports.ts';
import { AdminError, adminProblem } from './admin-error.ts';
import type { AdminTarget, BackendAddress, BackendView, Caller } from './admin-target.ts';
import { EventStreams } from './event-stream.ts';
import { hidden, revealed } from './hidden.ts';
import { mergePatch } from './merge-patch.ts';
import { discardRest, readBody } from './read-body.ts';

const PROBLEM_TYPE = 'application/problem+json';
const MOST_URL_CHARS = 4096;
const MOST_PER_PAGE = 1000;
const USUAL_PER_PAGE = 100;
const LONGEST_WAIT_MS = 10 * 60_000;
const LONGEST_PIN_MS = 366 * 86_400_000;
/** Changes that run or wait; they are made one after the other. */
const MOST_CHANGES = 64;
const JSON_TYPES = ['application/json'];
const MERGE_TYPES = ['application/merge-patch+json', 'application/json'];

export interface AdminApiOptions {
  target: AdminTarget;
  logger: Logger;
  clock: Clock;
}

interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  url: RequestPath;
  caller: Caller;
  signal: AbortSignal;
  /** For the audit log: which backend it is about. */
  about: { backend: string };
}

type Handler = (exchange: Exchange, name: string) => Promise<void>;

interface Operation {
  scope: AdminScope;
  run: Handler;
  /** What the audit log calls it; null: it changes nothing. */
  audit: string | null;
}

export class AdminApi {
  readonly #target: AdminTarget;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #streams = new EventStreams();
  readonly #stopEvents: () => void;
  #stopTraffic: (() => void) | null = null;
  readonly #closing = new AbortController();
  readonly #collection: Readonly<Record<string, Operation>>;
  readonly #one: Readonly<Record<string, Operation>>;
  readonly #actions: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  #changes = 0;

  constructor({ target, logger, clock }: AdminApiOptions) {
    this.#target = target;
    this.#logger = logger;
    this.#clock = clock;
    this.#stopEvents = target.onEvent((event) => this.#streams.push(event));
    this.#collection = {
      GET: { scope: 'read', audit: null, run: (exchange) => this.#list(exchange) },
      POST: { scope: 'admin', audit: 'create', run: (exchange) => this.#create(exchange) },
    };
    this.#one = {
      GET: { scope: 'read', audit: null, run: (exchange, name) => this.#get(exchange, name) },
      PUT: { scope: 'admin', audit: 'replace', run: (exchange, name) => this.#replace(exchange, name) },
      PATCH: { scope: 'admin', audit: 'patch', run: (exchange, name) => this.#patch(exchange, name) },
      DELETE: { scope: 'admin', audit: 'delete', run: (exchange, name) => this.#remove(exchange, name) },
    };
    this.#actions = {
      wake: { POST: { scope: 'operate', audit: 'wake', run: (exchange, name) => this.#wake(exchange, name) } },
      sleep: { POST: { scope: 'operate', audit: 'sleep', run: (exchange, name) => this.#sleep(exchange, name) } },
      awake: {
        PUT: { scope: 'operate', audit: 'pin', run: (exchange, name) => this.#pin(exchange, name) },
        DELETE: { scope: 'operate', audit: 'unpin', run: (exchange, name) => this.#unpin(exchange, name) },
      },
    };
  }

  /** Answers one request of somebody who is known. Never rejects. `path`: without what leads to this API. */
  async serve(request: IncomingMessage, response: ServerResponse, path: string, caller: Caller): Promise<void> {
    const ended = new AbortController();
    const onClosing = (): void => ended.abort(this.#closing.signal.reason);
    this.#closing.signal.addEventListener('abort', onClosing, { once: true });
    response.on('error', () => {});
    request.on('error', () => {});
    response.once('close', () => {
      this.#closing.signal.removeEventListener('abort', onClosing);
      ended.abort(new DormouseError('DORMOUSE_CONTROL_CLIENT_GONE', 'the client went away'));
    });
    const about = { backend: '' };
    let action: string | null = null;
    try {
      if (this.#closing.signal.aborted) throw this.#closing.signal.reason;
      const url = urlOf(path);
      const { operation, name } = this.#find(request.method ?? '', url.pathname);
      action = operation.audit;
      about.backend = name;
      requireScope(caller, operation.scope);
      const exchange = { request, response, url, caller, signal: ended.signal, about };
      if (operation.scope === 'admin') await this.#change(() => operation.run(exchange, name));
      else await operation.run(exchange, name);
      if (action !== null) this.#audit(caller, action, about.backend, 'done', response.statusCode);
    } catch (error) {
      const problem = adminProblem(error);
      if (problem.code === 'DORMOUSE_INTERNAL')
        this.#logger.error('an admin request failed', { method: request.method, error });
      if (action !== null) this.#audit(caller, action, about.backend, problem.code, problem.status);
      refuse(request, response, error);
    }
  }

  /** Ends streams and waits; what comes now is refused. */
  close(): void {
    this.#closing.abort(new AdminError(503, 'DORMOUSE_STOPPING', 'dormouse is ending; try again when it runs'));
    this.#stopEvents();
    this.#stopTraffic?.();
    this.#streams.close();
  }

  #find(method: string, path: string): { operation: Operation; name: string } {
    if (path === '/v1/events' || path === '/v1/openapi.json') {
      const run = path === '/v1/events' ? (exchange: Exchange) => this.#events(exchange) : openApi;
      return { operation: of({ GET: { scope: 'read', audit: null, run } }, method, path), name: '' };
    }
    if (path === '/v1/backends') return { operation: of(this.#collection, method, path), name: '' };
    const match = /^\/v1\/backends\/([^/]+)(?:\/([^/]+))?$/.exec(path);
    const operations = match === null ? undefined : match[2] === undefined ? this.#one : own(this.#actions, match[2]);
    if (match === null || operations === undefined) {
      const shown = path.slice(0, 100);
      throw new AdminError(404, 'DORMOUSE_ADMIN_PATH', `there is no ${shown}; GET /v1/openapi.json says what there is`);
    }
    return { operation: of(operations, method, path), name: nameIn(match[1]!) };
  }

  async #change(run: () => Promise<void>): Promise<void> {
    if (this.#changes >= MOST_CHANGES) {
      throw new AdminError(503, 'DORMOUSE_ADMIN_BUSY', `${MOST_CHANGES} changes are under way; try again in a moment`, {
        headers: { 'retry-after': '2' },
      });
    }
    this.#changes++;
    try {
      await run();
    } finally {
      this.#changes--;
    }
  }

  /** A line per change, made or refused. Nothing of the body: it may have secrets. */
  #audit({ name: who, from }: Caller, action: string, backend: string, result: string, status: number): void {
    this.#logger.info('admin', { audit: true, who, from, action, backend, result, status });
  }

  // ---- reading

  async #list({ response, url, signal }: Exchange): Promise<void> {
    const limit = numberIn(url, 'limit', USUAL_PER_PAGE, MOST_PER_PAGE);
    if (limit === 0) throw query('limit', 'is 0', `give 1 to ${MOST_PER_PAGE}`);
    const after = url.searchParams.get('after');
    const all = await this.#target.list(signal);
    const first = after === null ? 0 : all.findIndex((view) => cursor(view) > after);
    const from = first < 0 ? all.length : first;
    const items = all.slice(from, from + limit);
    const next = from + limit < all.length ? cursor(items.at(-1)!) : null;
    answer(response, 200, { items: items.map(shown), next, on: this.#target.on });
  }

  async #get({ response, url, signal }: Exchange, name: string): Promise<void> {
    answer(response, 200, shown(await this.#target.get(addressOf(url, name), signal)));
  }

  async #events({ request, response, url }: Exchange): Promise<void> {
    if (this.#streams.isFull)
      throw new AdminError(503, 'DORMOUSE_ADMIN_BUSY', 'there are as many event streams as there may be; close one');
    const lastId = request.headers['last-event-id'];
    const last = typeof lastId === 'string' ? lastId : url.searchParams.get('lastEventId');
    const traffic = url.searchParams.get('traffic') === 'true';
    if (traffic) this.#watchTraffic();
    this.#streams.open(response, { lastId: last, backend: url.searchParams.get('backend'), traffic });
  }

  /** From the first client on that wants it: nobody else pays for it. */
  #watchTraffic(): void {
    if (this.#target.onTraffic === undefined)
      throw query('traffic', 'has no meaning on a cluster', 'read the events bus of the gateways instead');
    this.#stopTraffic ??= this.#target.onTraffic((event) => this.#streams.pushTraffic(event));
  }

  // ---- changing

  async #create({ request, response, caller, signal, about }: Exchange): Promise<void> {
    const key = keyOf(request);
    const body = await readBody(request, JSON_TYPES);
    if (typeof body['name'] === 'string') about.backend = body['name'].slice(0, 100);
    const { view, isRepeated } = await this.#target.create(body, key, caller, signal);
    response.setHeader(
      'location',
      `/v1/backends/${view.name}${view.namespace === undefined ? '' : `?namespace=${view.namespace}`}`,
    );
    if (isRepeated) response.setHeader('idempotent-replayed', 'true');
    answer(response, 201, shown(view));
  }

  async #replace({ request, response, url, caller, signal }: Exchange, name: string): Promise<void> {
    const { name: inBody, ...body } = await readBody(request, JSON_TYPES);
    sameName(name, inBody);
    const change = (before: Record<string, unknown>) => revealed(body, before) as Record<string, unknown>;
    answer(response, 200, shown(await this.#target.update(addressOf(url, name), change, caller, signal)));
  }

  async #patch({ request, response, url, caller, signal }: Exchange, name: string): Promise<void> {
    const { name: inBody, ...patch } = await readBody(request, MERGE_TYPES);
    sameName(name, inBody);
    const change = (before: Record<string, unknown>) =>
      revealed(mergePatch(before, patch), before) as Record<string, unknown>;
    answer(response, 200, shown(await this.#target.update(addressOf(url, name), change, caller, signal)));
  }

  async #remove({ response, url, signal }: Exchange, name: string): Promise<void> {
    answer(response, 200, await this.#target.remove(addressOf(url, name), signal));
  }

  async #wake({ request, response, url, signal }: Exchange, name: string): Promise<void> {
    request.resume();
    const waitMs = numberIn(url, 'wait', 0, LONGEST_WAIT_MS);
    const began = this.#clock.nowMs();
    const awake = await this.#target.wake(addressOf(url, name), waitMs, signal);
    answer(response, awake ? 200 : 202, { name, awake, tookMs: Math.round(this.#clock.nowMs() - began) });
  }

  async #sleep({ request, response, url, signal }: Exchange, name: string): Promise<void> {
    request.resume();
    const asleep = await this.#target.sleep(addressOf(url, name), signal);
    answer(response, asleep ? 200 : 202, { name, asleep });
  }

  async #pin({ request, response, url, signal }: Exchange, name: string): Promise<void> {
    const untilMs = this.#untilIn(await readBody(request, JSON_TYPES));
    await this.#target.pin(addressOf(url, name), untilMs, signal);
    answer(response, 200, { name, awakeUntil: new Date(untilMs).toISOString() });
  }

  #untilIn({ until, ...others }: Record<string, unknown>): number {
    const wrong = (field: string, detail: string, next: string): AdminError =>
      new AdminError(422, 'DORMOUSE_ADMIN_FIELD', `${field}: ${detail}; ${next}`, {
        errors: [{ field, detail, next }],
      });
    const [other] = Object.keys(others);
    if (other !== undefined)
      throw wrong(`/${other.slice(0, 100)}`, 'is not known here', 'send { "until": TIME } alone');
    const example = 'write a time of RFC 3339, such as 2030-01-31T18:00:00Z';
    if (typeof until !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)$/i.test(until))
      throw wrong('/until', until === undefined ? 'is missing' : 'is no time', example);
    const untilMs = Date.parse(until);
    if (!Number.isFinite(untilMs)) throw wrong('/until', 'is a time that does not exist', example);
    const leftMs = untilMs - this.#clock.wallMs();
    if (leftMs <= 0) throw wrong('/until', 'has passed', 'write a time to come');
    if (leftMs > LONGEST_PIN_MS) throw wrong('/until', 'is more than 366 days from now', 'set scale.min to 1 instead');
    return untilMs;
  }

  async #unpin({ response, url, signal }: Exchange, name: string): Promise<void> {
    await this.#target.pin(addressOf(url, name), null, signal);
    answer(response, 200, { name, awakeUntil: null });
  }
}

// ---- requests

/** Not a URL: that resolves `/%2e%2e/` away, and every path here is meant as it stands there. */
interface RequestPath {
  pathname: string;
  searchParams: URLSearchParams;
}

function urlOf(path: string): RequestPath {
  if (path.length > MOST_URL_CHARS)
    throw new AdminError(414, 'DORMOUSE_ADMIN_PATH', `the URL is longer than ${MOST_URL_CHARS} characters`);
  const mark = path.indexOf('?');
  const pathname = mark < 0 ? path : path.slice(0, mark);
  if (!/^\/[\w.~!$&'()*+,;=:@%/-]*$/.test(pathname) || /(^|\/)\.{0,2}(\/|$)/.test(pathname.slice(1)))
    throw new AdminError(
      404,
      'DORMOUSE_ADMIN_PATH',
      'the path is none of this API; GET /v1/openapi.json says what there is',
    );
  return { pathname, searchParams: new URLSearchParams(mark < 0 ? '' : path.slice(mark + 1)) };
}

/** Names are DNS labels, or as the file's are. */
function nameIn(raw: string): string {
  let name = '';
  try {
    name = decodeURIComponent(raw);
  } catch {
    // Not encoded properly: then it is no name either.
  }
  if (/^[a-z0-9][-a-z0-9.]{0,252}$/.test(name)) return name;
  throw new AdminError(404, 'DORMOUSE_BACKEND_UNKNOWN', 'no backend has such a name: names are of a-z, 0-9, - and .');
}

function addressOf(url: RequestPath, name: string): BackendAddress {
  const namespace = url.searchParams.get('namespace') ?? '';
  if (namespace !== '' && !/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(namespace))
    throw query('namespace', 'is no DNS label', 'write the name of a namespace');
  return { name, namespace };
}

function numberIn(url: RequestPath, name: string, otherwise: number, most: number): number {
  const text = url.searchParams.get(name);
  if (text === null) return otherwise;
  if (!/^\d{1,9}$/.test(text)) throw query(name, 'is not a whole number', `give 0 to ${most}`);
  if (Number(text) > most) throw query(name, 'is too large', `give at most ${most}`);
  return Number(text);
}

function query(name: string, what: string, next: string): AdminError {
  return new AdminError(400, 'DORMOUSE_ADMIN_QUERY', `the query's ${name} ${what}; ${next}`);
}

/** As the draft on idempotency keys has it: any text; bounded here. */
function keyOf(request: IncomingMessage): string | null {
  const key = request.headers['idempotency-key'];
  if (key === undefined) return null;
  if (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key)) return key;
  throw new AdminError(
    400,
    'DORMOUSE_ADMIN_IDEMPOTENCY_KEY',
    'Idempotency-Key has 1 to 255 printable characters without spaces; a UUID is good',
  );
}

function sameName(name: string, inBody: unknown): void {
  if (inBody === undefined || inBody === name) return;
  const detail = `is not ${name}, and a backend is not renamed`;
  const next = 'remove it, or make a new one and delete this';
  throw new AdminError(422, 'DORMOUSE_ADMIN_FIELD', `/name: ${detail}; ${next}`, {
    errors: [{ field: '/name', detail, next }],
  });
}

export function requireScope({ scope }: Pick<Caller, 'scope'>, wanted: AdminScope): void {
  if (ADMIN_SCOPES.indexOf(scope) >= ADMIN_SCOPES.indexOf(wanted)) return;
  throw new AdminError(
    403,
    'DORMOUSE_ADMIN_SCOPE',
    `this token has the scope ${scope}, and this needs ${wanted}; use another token, or give it the scope in admin.tokens`,
  );
}

/** Throws unless backends that run commands may be made by this caller. */
export function requireCommands(caller: Caller): void {
  if (!caller.mayRun) {
    throw new AdminError(
      403,
      'DORMOUSE_ADMIN_COMMANDS',
      'backends with process: are programs that run on this machine, which this address may not make; use the control socket or a loopback address, with admin.commands: loopback',
    );
  }
  requireScope(caller, 'commands');
}

function of(operations: Readonly<Record<string, Operation>>, method: string, path: string): Operation {
  const found = own(operations, method);
  if (found !== undefined) return found;
  const allow = Object.keys(operations).join(', ');
  throw new AdminError(405, 'DORMOUSE_ADMIN_METHOD', `${path.slice(0, 100)} takes ${allow} only`, {
    headers: { allow },
  });
}

function own<T>(record: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

// ---- answers

function cursor({ name, namespace }: BackendView): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function shown(view: BackendView): BackendView {
  return { ...view, spec: hidden(view.spec) as BackendView['spec'] };
}

async function openApi({ response }: Exchange): Promise<void> {
  const text = await readFile(new URL('./openapi.json', import.meta.url), 'utf8');
  send(response, 200, text, 'application/json');
}

function answer(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, JSON.stringify(body), 'application/json');
}

function send(response: ServerResponse, status: number, text: string, type: string): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(text);
}

/** A refusal as problem+json. */
export function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.destroyed) return;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const problem = adminProblem(error);
  if (error instanceof AdminError)
    for (const [name, value] of Object.entries(error.headers)) response.setHeader(name, value);
  send(response, problem.status, JSON.stringify(problem), PROBLEM_TYPE);
  discardRest(request);
}
