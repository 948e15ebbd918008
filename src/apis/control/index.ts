export { ControlClient, type ControlClientOptions } from './control-client.ts';
export { ControlServer, type ControlServerOptions } from './control-server.ts';
export type { ControlLogLine, ControlTarget, ReloadResult, WakeResult } from './control-target.ts';
