/**
 * How far the Service's traffic has been moved. Written before the step is taken, so that whoever leads next goes on from there.
 *
 * - `serving`: traffic goes to the pods; gateways have no part in it.
 * - `listening`: waits for every gateway to listen on the ports allocated.
 * - `redirecting`: gateways are listed as endpoints, then the pods are taken out.
 * - `redirected`: looks until the Service's address is answered by gateways alone.
 * - `pausing`: the autoscaler is paused, and seen to be paused.
 * - `settling`: nothing may come for a while; the idle source is asked again.
 * - `sleeping`: scaled to zero, if gateways agree that nothing is left.
 * - `asleep`: gateways stand in for the Service.
 * - `handing-back`: the Service selects its pods again; gateways stay until pods are listed.
 * - `resuming`: gateways are taken out, the autoscaler is resumed.
 */
export const HANDOVER_STEPS = [
  'serving',
  'listening',
  'redirecting',
  'redirected',
  'pausing',
  'settling',
  'sleeping',
  'asleep',
  'handing-back',
  'resuming',
] as const;

export type HandoverStep = (typeof HANDOVER_STEPS)[number];
