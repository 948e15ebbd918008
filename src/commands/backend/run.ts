/** `dormouse run IMAGE_OR_COMMAND`: on one machine a command, on a cluster an image, with a route that leads to it. */
import { printable } from '../../telemetry/pretty-line.ts';
import { adminClient, text, usage } from '../admin-connection.ts';
import type { CommandContext, CommandOptions } from '../command.ts';
import { hostsOf } from './backend-view.ts';
import { literally, portNumber, withFlags } from './spec-input.ts';

export async function run(context: CommandContext, args: readonly string[], options: CommandOptions): Promise<number> {
  const name = text(options.name);
  if (name === undefined) throw usage('--name is missing: dormouse run --name shop -- node server.js');
  const client = await adminClient(context, options);
  const spec = (await client.on()) === 'machine' ? ofCommand(context, args, client.isLocal) : ofImage(args, options);
  const withRoute = { ...spec, ...routeOf(name, spec, options) };
  const namespace = text(options.namespace);
  const view = await client.create({
    ...withFlags(withRoute, options),
    name,
    ...(namespace === undefined ? {} : { namespace }),
  });
  if (options.json === true) context.out(`${JSON.stringify(view, null, 2)}\n`);
  else {
    const hosts = hostsOf(view.spec);
    const how = hosts === '' ? 'no route leads to it' : `the first request for ${hosts} wakes it`;
    context.out(`${printable(`${view.name} is there, ${view.status.state}: ${how}`)}\n`);
  }
  return 0;
}

/** One word with spaces is a line for the shell; several words are the command as it is. */
function ofCommand({ cwd }: CommandContext, args: readonly string[], isLocal: boolean): Record<string, unknown> {
  const [first = ''] = args;
  const words = args.length === 1 && /\s/.test(first) ? ['sh', '-c', `exec ${first}`] : args;
  return { process: { command: words.map(literally), ...(isLocal ? { cwd: literally(cwd) } : {}) } };
}

function ofImage(args: readonly string[], options: CommandOptions): Record<string, unknown> {
  const [image, ...rest] = args;
  if (text(options.port) === undefined) throw usage('--port is missing: where the program in the image listens');
  return { image, port: portNumber(options.port), ...(rest.length === 0 ? {} : { args: rest }) };
}

/** On one machine every name below localhost leads here, in browsers and in curl. */
function routeOf(name: string, spec: Record<string, unknown>, options: CommandOptions): Record<string, unknown> {
  if (options.route === false || options.host !== undefined || options.path !== undefined) return {};
  return spec['process'] === undefined ? {} : { hosts: [`${name}.localhost`] };
}
