/**
 * What a backend's triggers want together, out of what each says: the largest, or what scale.formula makes of them; and what it means when a source can't
 * be asked. Pure.
 */
import type { BackendConfig } from '../model/config.ts';
import type { ScaleMetric, TriggerDemand } from '../model/demand.ts';
import { evaluateFormula } from '../model/formula.ts';

export interface Asked {
  /** Instances; null: no trigger has said anything yet. */
  desired: number | null;
  /** Why it is to be awake, one sentence each; empty: nothing of this asks for that. */
  active: string[];
  /** Why it may not be put to sleep and not made smaller, although nothing asks for it; one sentence each. */
  keptBy: string[];
  /** What it is scaled by: one for each trigger and, where requests can reach it, one for them; with a formula its result alone. */
  metrics: ScaleMetric[];
  /** null: there is no formula. `value` null: it has no result, for this reason, and the largest counts. */
  formula: { value: number } | { value: null; fault: string } | null;
}

/** The type of the trigger that stands for requests; it says nothing by itself. */
const HTTP = 'http';
/** The one metric that there is with a formula. */
const FORMULA = 'formula';
/** More than any backend may have. */
const MAX_DESIRED = 1_000_000;

/** The load of requests. */
export interface RequestMetric extends ScaleMetric {
  /** The larger of it and what it is in the panic window: a formula goes up at once and down slowly, as requests alone do. */
  burst: number;
}

/** `http`: null when no request can reach it. */
export function askedFor(
  demand: TriggerDemand | null,
  { scale, triggers }: Pick<BackendConfig, 'scale' | 'triggers'>,
  http: RequestMetric | null,
  wallMs: number,
): Asked {
  const troubles = demand?.troubles ?? [];
  const said = (demand?.metrics ?? []).map(({ name, value, target, active, atMs }) => ({
    name,
    value,
    target,
    active,
    atMs,
  }));
  const all: Asked = {
    desired: demand === null ? null : demand.desired,
    active: [...(demand?.active ?? [])],
    keptBy: [
      ...troubles.map(({ name, reason }) => `trigger ${name} can't be asked, so the scale stays as it is: ${reason}`),
      ...unasked(demand, triggers),
    ],
    metrics: http === null ? said : [...said, withoutBurst(http)],
    formula: null,
  };
  if (scale.formula !== null && (demand !== null || http !== null))
    applyFormula(all, scale.formula, demand, http, httpName(triggers), wallMs);
  if (scale.fallback !== null) applyFallback(all, scale.fallback, troubles, wallMs);
  return all;
}

/** What metrics and formulas call the load of requests. */
export function httpName(triggers: BackendConfig['triggers']): string {
  return triggers.find(({ type }) => type === HTTP)?.name ?? HTTP;
}

/** Those that have said nothing since dormouse began: what runs may be there for them. */
function unasked(demand: TriggerDemand | null, triggers: BackendConfig['triggers']): string[] {
  if (triggers.length === 0) return [];
  const known = new Set([...(demand?.metrics ?? []), ...(demand?.troubles ?? [])].map(({ name }) => name));
  return triggers.flatMap(({ name, type }) =>
    type === HTTP || known.has(name) ? [] : [`trigger ${name} has not said anything yet`],
  );
}

function applyFormula(
  all: Asked,
  formula: NonNullable<BackendConfig['scale']['formula']>,
  demand: TriggerDemand | null,
  http: RequestMetric | null,
  requests: string,
  wallMs: number,
): void {
  const byName = new Map(all.metrics.map((metric) => [metric.name, metric]));
  let missing: string | null = null;
  const value = evaluateFormula(formula.expression, (written) => {
    const name = formula.names[written] ?? written;
    const metric = byName.get(name);
    // No route leads to it: nothing is asked of it that way.
    if (metric === undefined && name === requests) return 0;
    if (metric === undefined) missing ??= name;
    if (metric === undefined) return NaN;
    const measured = name === http?.name ? http.burst : metric.value;
    return formula.target === null ? measured / metric.target : measured;
  });
  if (missing !== null || !Number.isFinite(value)) {
    const why = missing === null ? `its result is ${value}` : `${String(missing)} has not said anything yet`;
    all.formula = { value: null, fault: `scale.formula can't be used, so the largest trigger counts: ${why}` };
    return;
  }
  const result = Math.max(0, value);
  const target = formula.target ?? 1;
  const anyActive = (demand?.active.length ?? 0) > 0;
  const active = formula.target === null ? anyActive && result > 0 : result > formula.activationTarget;
  const shown = Number(result.toPrecision(6));
  all.formula = { value: result };
  all.active = active ? [`scale.formula is ${shown} (${cut(formula.text)})`] : [];
  // Requests alone wake it and keep it awake by themselves.
  if (demand === null || demand.metrics.length === 0) all.active = [];
  all.desired = Math.min(Math.ceil(result / target), MAX_DESIRED);
  const times = all.metrics.map(({ atMs }) => atMs);
  const wakes = active || http?.active === true;
  all.metrics = [{ name: FORMULA, value: result, target, active: wakes, atMs: Math.min(wallMs, ...times) }];
}

/** Whoever fails for long is answered for by a number that somebody has thought of. */
function applyFallback(
  all: Asked,
  { failures, replicas }: NonNullable<BackendConfig['scale']['fallback']>,
  troubles: TriggerDemand['troubles'],
  wallMs: number,
): void {
  const given = troubles.filter((trouble) => trouble.failures >= failures);
  const [first] = given;
  if (first === undefined) return;
  all.desired = Math.max(all.desired ?? 0, replicas);
  if (replicas === 0) return;
  all.active.push(`trigger ${first.name} has failed ${first.failures} times: scale.fallback asks for ${replicas}`);
  for (const { name } of given) {
    const at = all.metrics.findIndex((metric) => metric.name === name);
    const known = all.metrics[at];
    const target = known?.target ?? 1;
    const value = Math.max(known?.value ?? 0, replicas * target);
    const metric = { name, value, target, active: true, atMs: wallMs };
    if (at < 0) all.metrics.push(metric);
    else all.metrics[at] = metric;
  }
}

function withoutBurst({ burst: _burst, ...metric }: RequestMetric): ScaleMetric {
  return metric;
}

function cut(text: string): string {
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
