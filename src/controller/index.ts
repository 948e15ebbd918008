export { Controller, type ControllerOptions } from './controller.ts';
export { systemTimers, type Timers } from './timers.ts';
