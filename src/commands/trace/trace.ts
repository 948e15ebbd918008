/** `dormouse trace URL`: sends one request and draws the way of the real thing, with the time of each hop. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { DormouseError } from '../../model/errors.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { runningDormouse } from '../running-dormouse.ts';
import { painter } from '../text-table.ts';
import { readHops } from './server-timing.ts';
import { timedRequest } from './timed-request.ts';
import { traceLines } from './trace-view.ts';
import { waterfall } from './waterfall.ts';

const DEFAULT_SECONDS = 30;
const LONGEST_SECONDS = 600;
const LARGEST_BODY_BYTES = 16 * 1024 * 1024;

export async function run(context: CommandContext, args: readonly string[], options: CommandOptions): Promise<number> {
  const url = readUrl(args[0]!);
  const body = await readBody(context, options.data);
  const headers = readHeaders(options.header);
  const has = (name: string): boolean => headers.some(([known]) => known.toLowerCase() === name);
  if (!has('host')) headers.unshift(['host', url.host]);
  if (!has('user-agent')) headers.push(['user-agent', 'dormouse-trace']);
  if (!has('accept')) headers.push(['accept', '*/*']);
  headers.push(['connection', 'close']);
  if (body !== null) headers.push(['content-length', String(body.length)]);
  const tokens = await tracingTokens(context, options);
  if (tokens.length > 0) headers.push(['x-dormouse-trace', tokens.join(', ')]);

  const seen = await timedRequest({
    url,
    method: typeof options.request === 'string' ? readMethod(options.request) : body === null ? 'GET' : 'POST',
    headers,
    body,
    connectTo: readConnectTo(options.connectTo),
    ca: typeof options.cacert === 'string' ? await readCa(context, options.cacert) : null,
    insecure: options.insecure === true,
    signal: AbortSignal.any([AbortSignal.timeout(readSeconds(options.timeout) * 1000), context.interrupted()]),
  });
  const hops = readHops(
    seen.headers.filter(([name]) => name.toLowerCase() === 'server-timing').map(([, value]) => value),
  );
  const bars = waterfall(seen, hops);
  if (options.json === true) {
    const { headers: _headers, ...client } = seen;
    context.out(`${JSON.stringify({ url: url.href, client, ...hops, bars })}\n`);
    return 0;
  }
  const { colours } = context.terminal;
  context.out(`HTTP/${seen.httpVersion} ${seen.status}  ${url.href}\n\n`);
  for (const line of traceLines(bars, painter(colours), context.terminal.size().columns)) context.out(`${line}\n`);
  if (hops.gateways.length === 0) {
    context.out(
      '\nNo gateway told its times. They are told to who may read its state folder (-c FILE or --state-dir FOLDER), or to all with telemetry.serverTiming: on.\n',
    );
  }
  return 0;
}

/** Tokens of the gateways on this machine that are named, or the one of the file here, if there is any: they are not needed where serverTiming is on. */
async function tracingTokens(context: CommandContext, options: CommandOptions): Promise<string[]> {
  const named = options.config !== undefined || options.stateDir !== undefined;
  const folders = list(options.stateDir);
  const files = list(options.config);
  const places: CommandOptions[] = [
    ...folders.map((stateDir) => ({ stateDir })),
    ...files.map((config) => ({ config })),
  ];
  if (!named) places.push({});
  const tokens: string[] = [];
  for (const place of places) {
    try {
      tokens.push(await (await runningDormouse(context, place)).traceToken());
    } catch (error) {
      if (named) throw error;
    }
  }
  return tokens;
}

function list(value: unknown): string[] {
  return typeof value === 'string' ? [value] : Array.isArray(value) ? value.map(String) : [];
}

function wrong(message: string): DormouseError {
  return new DormouseError('DORMOUSE_TRACE_ARGUMENT', message, { userFault: true });
}

function readUrl(text: string): URL {
  const whole = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`;
  const url = URL.parse(whole);
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:'))
    throw wrong(`"${text}" is no http or https URL; write e.g. http://127.0.0.1:8080/path`);
  return url;
}

function readMethod(text: string): string {
  if (!/^[A-Z]{1,20}$/.test(text)) throw wrong(`-X ${text}: a method is upper case letters, e.g. POST`);
  return text;
}

function readHeaders(given: unknown): [string, string][] {
  return list(given).map((line) => {
    const match = /^([!#$%&'*+\-.^_`|~\w]+):[ \t]*([^\r\n\0]*)$/.exec(line);
    if (match === null) throw wrong(`-H "${line}": write it as "Name: value"`);
    return [match[1]!, match[2]!];
  });
}

function readConnectTo(given: unknown): { host: string; port: number } | null {
  if (typeof given !== 'string') return null;
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(given);
  const port = Number(match?.[3]);
  if (match === null || port === 0 || port > 65_535)
    throw wrong(`--connect-to ${given}: write HOST:PORT, e.g. 127.0.0.1:8443`);
  return { host: (match[1] ?? match[2])!, port };
}

function readSeconds(given: unknown): number {
  if (given === undefined) return DEFAULT_SECONDS;
  const seconds = Number(given);
  if (!(seconds > 0 && seconds <= LONGEST_SECONDS))
    throw wrong(`--timeout ${String(given)}: write seconds, more than 0 and at most ${LONGEST_SECONDS}`);
  return seconds;
}

async function readCa(context: CommandContext, file: string): Promise<string> {
  try {
    return await readFile(resolve(context.cwd, file), 'utf8');
  } catch (error) {
    throw wrong(`--cacert ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

async function readBody(context: CommandContext, data: unknown): Promise<Buffer | null> {
  if (typeof data !== 'string') return null;
  let body: Buffer;
  if (data.startsWith('@')) {
    const file = data.slice(1);
    try {
      body = await readFile(resolve(context.cwd, file));
    } catch (error) {
      throw wrong(`-d ${data} cannot be read (${(error as NodeJS.ErrnoException).code})`);
    }
  } else body = Buffer.from(data);
  if (body.length > LARGEST_BODY_BYTES) throw wrong(`-d: a body of more than ${LARGEST_BODY_BYTES} bytes is not sent`);
  return body;
}
