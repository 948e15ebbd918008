import type { BreakerState } from '../../model/backend.ts';
import type { MetricFamily, MetricSeries } from '../../model/metrics.ts';
import type { GatewayBackend } from '../backend.ts';
import { counter, gauge } from '../counters.ts';

const STATES: readonly BreakerState[] = ['closed', 'half-open', 'open'];

/** Breakers, ejections and retries of backends on which something happened. */
export function resilienceFamilies(backends: Iterable<GatewayBackend>): MetricFamily[] {
  const states: MetricSeries[] = [];
  const transitions: MetricSeries[] = [];
  const refused: MetricSeries[] = [];
  const ejected: MetricSeries[] = [];
  const ejections: MetricSeries[] = [];
  const panic: MetricSeries[] = [];
  const retries: MetricSeries[] = [];
  const exhausted: MetricSeries[] = [];
  for (const { name, resilience, pool, meter } of backends) {
    if (meter.lastActivityMs < 0) continue;
    const backend = name;
    const { breakerState } = resilience;
    if (breakerState !== null) {
      for (const state of STATES) {
        states.push({ labels: { backend, state }, value: state === breakerState ? 1 : 0 });
        transitions.push({ labels: { backend, to: state }, value: resilience.transitions[state] });
      }
      refused.push({ labels: { backend }, value: resilience.refused });
    }
    ejected.push({ labels: { backend }, value: pool.ejectedCount });
    panic.push({ labels: { backend }, value: pool.panicking ? 1 : 0 });
    for (const [reason, value] of Object.entries(resilience.ejections)) {
      ejections.push({ labels: { backend, reason }, value });
    }
    for (const [reason, value] of Object.entries(resilience.retries)) {
      retries.push({ labels: { backend, reason }, value });
    }
    exhausted.push({ labels: { backend }, value: resilience.budgetExhausted });
  }
  return [
    gauge('dormouse_breaker_state', 'Workers whose circuit breaker is in this state.', states),
    counter('dormouse_breaker_transitions_total', 'Times that a circuit breaker entered a state.', transitions),
    counter('dormouse_breaker_refused_total', 'Requests that got the fallback of an open breaker.', refused),
    gauge('dormouse_endpoints_ejected', 'Endpoints that are ejected, added up over the workers.', ejected),
    gauge('dormouse_ejection_panic', 'Workers that ignore ejections since too few endpoints would be left.', panic),
    counter('dormouse_endpoint_ejections_total', 'Ejections of endpoints, by what caused them.', ejections),
    counter(
      'dormouse_retries_total',
      'Requests that were sent once more, by what had happened: connect costs no budget.',
      retries,
    ),
    counter('dormouse_retry_budget_exhausted_total', 'Retries that the budget did not allow.', exhausted),
  ];
}
