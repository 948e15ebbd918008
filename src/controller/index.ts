export { Controller, type ControllerOptions } from './controller.ts';
export { withGateways } from './gateway-view.ts';
export { systemTimers, type Timers } from './timers.ts';
