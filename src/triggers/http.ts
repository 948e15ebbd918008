/**
 * Requests as a trigger: what a route implies, written out to say how they count, or to give them another name in scale.formula. Gateways measure them,
 * and the controller adds their number to those of the other triggers: nothing runs here.
 */

/** In place of scale.target. */
export interface HttpOptions {
  metric: 'concurrency' | 'rps';
  value: number;
  utilizationPercent: number;
}
