/** What a PromQL query gives now: one number. https://prometheus.io/docs/prometheus/latest/querying/api/ */
import { readSamples, errorOf } from '../idle/prometheus-answer.ts';
import type { CredentialSources } from '../model/credentials.ts';
import { readCredentials } from './credentials.ts';
import { ask, type HttpAnswer } from './http-client.ts';
import { measured, poll, type Source } from './polling.ts';
import { tlsOptions, type TlsOptions } from './tls.ts';
import type { TriggerContext, TriggerDefinition, TriggerReport } from './trigger.ts';

export interface PrometheusOptions {
  /** http or https URL; may hold user and password. */
  serverAddress: string;
  query: string;
  /** Asked with every query, for servers with tenants by namespace; null: none. */
  namespace: string | null;
  headers: Readonly<Record<string, string>>;
  /** Whether no series is 0; otherwise it is a failure. */
  ignoreNull: boolean;
  timeoutMs: number;
  tls: TlsOptions;
  credentials: CredentialSources;
  target: number;
  activation: number;
  pollingMs: number;
}

export const prometheus: TriggerDefinition = {
  start(options: PrometheusOptions, signal, report, context) {
    return poll({
      pollingMs: options.pollingMs,
      boundMs: options.timeoutMs,
      open: () => Promise.resolve(new Prometheus(options, context)),
      signal,
      report,
      context,
    });
  },
};

class Prometheus implements Source {
  readonly #options: PrometheusOptions;
  readonly #context: TriggerContext;
  readonly #url: URL;
  /** Without user and password. */
  readonly #shown: string;

  constructor(options: PrometheusOptions, context: TriggerContext) {
    this.#options = options;
    this.#context = context;
    const url = new URL(options.serverAddress);
    this.#shown = `${url.origin}${url.pathname.replace(/\/+$/, '')}`;
    this.#url = new URL(`${this.#shown}/api/v1/query`);
  }

  async read(signal: AbortSignal): Promise<TriggerReport> {
    const { query, namespace, target, activation, timeoutMs } = this.#options;
    const form = new URLSearchParams({ query, timeout: `${timeoutMs / 1000}` });
    if (namespace !== null) form.set('namespace', namespace);
    const value = this.#value(await this.#ask(form, signal));
    const shown = Number(value.toPrecision(6));
    return measured({
      value,
      target,
      activation,
      reason: `${shown} of ${query.replaceAll(/\s+/g, ' ').slice(0, 120)}`,
    });
  }

  async #ask(form: URLSearchParams, signal: AbortSignal): Promise<HttpAnswer> {
    const { credentials, headers, tls, timeoutMs, serverAddress } = this.#options;
    const read = await readCredentials(credentials, this.#context, signal);
    const { username, password } = new URL(serverAddress);
    const user = read.username ?? decodeURIComponent(username);
    const login = `${user}:${read.password ?? decodeURIComponent(password)}`;
    const authorization =
      read.token === undefined
        ? login === ':'
          ? null
          : `Basic ${Buffer.from(login).toString('base64')}`
        : `Bearer ${read.token}`;
    try {
      return await ask(
        {
          url: this.#url,
          headers: { ...headers, ...(authorization === null ? {} : { authorization }) },
          form,
          tls: tlsOptions(tls, read),
          boundMs: timeoutMs,
        },
        signal,
      );
    } catch (error) {
      throw new Error(
        `Prometheus ${this.#shown} does not answer ${(error as Error).message}: see that it runs and that serverAddress is right`,
        { cause: error },
      );
    }
  }

  /** Throws an Error with the next step. */
  #value({ status, body }: HttpAnswer): number {
    const json = parsed(body);
    if (status < 200 || status > 299) {
      const error = errorOf(json);
      const said = error === null ? '' : ` (${error})`;
      throw new Error(
        `Prometheus ${this.#shown} answers ${status}${said}: ${ADVICE[status] ?? 'its own log says more'}`,
      );
    }
    if (isEmpty(json)) {
      if (this.#options.ignoreNull) return 0;
      throw new Error(
        `the query gives nothing in Prometheus ${this.#shown}: see that its series exist, or write ignoreNullValues: on to take that as 0`,
      );
    }
    const samples = readSamples(json, 'query');
    if ('fault' in samples) throw new Error(`Prometheus ${this.#shown}: ${samples.fault}`);
    if (samples.count > 1)
      throw new Error(
        `the query gives ${samples.count} series in Prometheus ${this.#shown}: write one that gives one, for example sum(…)`,
      );
    if (!Number.isFinite(samples.greatest))
      throw new Error(
        `the query gives ${samples.greatest} in Prometheus ${this.#shown}: see that it never divides by 0`,
      );
    return samples.greatest;
  }

  close(): void {}
}

const ADVICE: Readonly<Record<number, string>> = {
  400: 'correct the query',
  401: 'give username and password, or token',
  403: 'see that dormouse may ask it',
  404: "see that serverAddress is that of Prometheus' HTTP API, with its path",
  422: 'correct the query',
};

function isEmpty(json: unknown): boolean {
  const { status, data } = (json ?? {}) as { status?: unknown; data?: { resultType?: unknown; result?: unknown } };
  return (
    status === 'success' && data?.resultType === 'vector' && Array.isArray(data.result) && data.result.length === 0
  );
}

/** undefined: it is no JSON. */
function parsed(written: string): unknown {
  try {
    return JSON.parse(written);
  } catch {
    return undefined;
  }
}
