/** From a backend's configuration to what spawn needs for one instance. Pure. */
import type { ProcessConfig } from '../../model/config.ts';
import type { Account } from './accounts.ts';
import { inheritingCommand } from './inherited-socket.ts';
import { INSTANCE_VARIABLE, MARKER_VARIABLE } from './marker.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Launch {
  file: string;
  args: string[];
  env: Record<string, string>;
}

export interface LaunchContext {
  instance: string;
  port: number;
  marker: string;
  /** Dormouse's own. */
  environment: Environment;
  account: Account | null;
}

/** Those of the socket activation and marker that dormouse was itself started with are not the child's. */
const NOT_PASSED_ON = new Set([
  'LISTEN_FDS',
  'LISTEN_PID',
  'LISTEN_FDNAMES',
  'NODE_CHANNEL_FD',
  'NODE_CHANNEL_SERIALIZATION_MODE',
  'NOTIFY_SOCKET',
]);

/** Environment: dormouse's, the account's, PORT and INSTANCE, then the configured (which may override those), then the marker (which nothing overrides). */
export function planLaunch(config: ProcessConfig, context: LaunchContext): Launch {
  const fill = (text: string): string => fillIn(text, context.instance, context.port);
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(context.environment)) {
    if (value !== undefined && !NOT_PASSED_ON.has(name)) env[name] = value;
  }
  if (context.account !== null) {
    env['HOME'] = context.account.home;
    env['USER'] = context.account.name;
    env['LOGNAME'] = context.account.name;
  }
  if (config.port === 'none') delete env['PORT'];
  else env['PORT'] = String(context.port);
  env['INSTANCE'] = context.instance;
  for (const [name, value] of Object.entries(config.env)) env[name] = fill(value);
  env[MARKER_VARIABLE] = context.marker;
  env[INSTANCE_VARIABLE] = context.instance;
  let command = config.command.map(fill);
  if (config.socket === 'inherited') {
    env['LISTEN_FDS'] = '1';
    command = inheritingCommand(command);
  }
  const [file = '', ...args] = command;
  return { file, args, env };
}

/** The two variables that the configuration leaves for each instance. */
export function fillIn(text: string, instance: string, port: number): string {
  return text.replaceAll('${PORT}', () => String(port)).replaceAll('${INSTANCE}', () => instance);
}
