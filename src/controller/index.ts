export { Controller, type ControllerOptions } from './controller.ts';
export { toEndpoint } from './generation.ts';
export { withGateways } from './gateway-view.ts';
export { atPort } from './port-peer.ts';
export { systemTimers, type Timers } from './timers.ts';
