/** `dormouse demo users`: the example in examples/users. Makes what it needs, starts both gateways, and says what to try. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ControlClient } from '../apis/control/control-client.ts';
import type { CommandContext, CommandOptions } from './command.ts';
import { tellEvents, tellTrouble } from './demo-lines.ts';
import { writeUsersFiles, type UsersFiles } from './demo-users-files.ts';
import { makeFolder } from './make-folder.ts';
import { shownCommand } from './shown-command.ts';
import { painter, type Paint } from './text-table.ts';
import { runUp } from './up.ts';

const ROOT = new URL('../../', import.meta.url);
const EXAMPLE = fileURLToPath(new URL('examples/users/load-balancer.yaml', ROOT));

export async function run(
  context: CommandContext,
  _args: readonly string[],
  options: CommandOptions = {},
): Promise<number> {
  const { env, cwd, terminal } = context;
  const paint = painter(terminal.colours);
  const kept = typeof options.folder === 'string';
  const folder = kept ? resolve(cwd, options.folder as string) : mkdtempSync(join(tmpdir(), 'dormouse-users-'));
  if (kept) makeFolder(folder, 0o700);
  let wasReady = false;
  const told = new AbortController();
  let telling: Promise<unknown> = Promise.resolve();
  let exitCode = 1;
  try {
    const files = await writeUsersFiles(folder, Date.now());
    exitCode = await runUp(
      {
        config: EXAMPLE,
        env: {
          ...env,
          USERS_STATE: folder,
          DORMOUSE: env.DORMOUSE ?? launcher(),
          DORMOUSE_NODE: env.DORMOUSE_NODE ?? process.execPath,
        },
        onReady: ({ listeners, stateDir }) => {
          wasReady = true;
          context.out(guidance(files, listeners[0]?.address ?? '', shownCommand(cwd), paint));
          telling = tellBoth(context, stateDir, join(folder, 'gateway'), told.signal, paint);
        },
      },
      {
        stdout: { write() {}, isTTY: false },
        stderr: { write: (text) => context.err(text) },
        hasTerminal: terminal.attached,
        log: { isTTY: false, write: (line) => tellTrouble(context, line, paint) },
      },
    );
  } finally {
    told.abort();
    await telling;
    if (!kept) rmSync(folder, { recursive: true, force: true });
  }
  if (!wasReady && exitCode !== 0) {
    context.err(
      'Other ports than 8443, 8082 and 8083: DORMOUSE_PORT=9443 DORMOUSE_OBSERVE_PORT=9082 GATEWAY_OBSERVE_PORT=9083 dormouse demo users\n',
    );
  } else {
    context.out('\nEnded; nothing is left running.\n');
  }
  return exitCode;
}

/** What starts another dormouse: of this checkout or of this package. */
function launcher(): string {
  const ofCheckout = fileURLToPath(new URL('dormouse', ROOT));
  return existsSync(ofCheckout) ? ofCheckout : fileURLToPath(new URL('bin/dormouse.cjs', ROOT));
}

function guidance(files: UsersFiles, address: string, command: string, paint: Paint): string {
  const url = 'https://example.com/api/users/123';
  const curl = `curl --cacert ${files.ca} --connect-to example.com:443:${address}`;
  const token = `-H "Authorization: Bearer $(cat ${files.token})"`;
  const tries: [what: string, line: string][] = [
    ['A user, from the database; the first request wakes the service', `${curl} ${token} ${url}`],
    [
      'The way of a request, hop by hop',
      `${command} trace ${url} --connect-to ${address} --cacert ${files.ca} ${token}`,
    ],
    ['Refused by the API gateway, without waking anybody: no token (401)', `${curl} -i ${url}`],
    ['… no id (400)', `${curl} -i ${token} https://example.com/api/users/me`],
    [
      'A new user',
      `${curl} -H "Authorization: Bearer $(cat ${files.writerToken})" --json '{"name":"New","email":"new@example.com"}' https://example.com/api/users`,
    ],
  ];
  return (
    `${paint('Dormouse is up.', 'bold')} https://example.com leads to a load balancer on ${address}, from there to an API gateway, and from there to a user\n` +
    'service with a database, which sleeps: the first good request starts it, 20 seconds after the last one it is stopped.\n\n' +
    'Try:\n' +
    tries.map(([what, line]) => `  ${paint(`# ${what}`, 'dim')}\n  ${line}\n`).join('') +
    '\nCtrl-C ends it. What happens:\n\n'
  );
}

/** The events of the load balancer, and those of the API gateway behind it from its start on. */
async function tellBoth(
  context: CommandContext,
  balancerState: string,
  gatewayState: string,
  signal: AbortSignal,
  paint: Paint,
): Promise<void> {
  let inner: Promise<void> | null = null;
  const tellInner = (): void => {
    inner ??= tellEvents(context, gatewayState, signal, paint);
  };
  const outer = tellEvents(context, balancerState, signal, paint, (event) => {
    if (event.kind === 'awake') tellInner();
  });
  // It may have been awake before anybody listened.
  const known = await new ControlClient({ stateDir: balancerState }).status().catch(() => null);
  if (known?.backends.some((backend) => backend.phase === 'awake') === true) tellInner();
  await outer;
  await inner;
}
