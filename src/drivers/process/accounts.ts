/** Who to run as: `process.user` as uid and gid. */
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { StartFailure } from './start-failure.ts';

export interface Account {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

const ID_TIMEOUT_MS = 5000;

/**
 * Looks in /etc/passwd by name or number, then asks `id` (accounts from a directory service). Throws StartFailure when there is no such account or when this
 * process may not become it.
 */
export async function lookUpAccount(user: string, key: string): Promise<Account> {
  const account = (await fromPasswd(user)) ?? (await fromId(user));
  if (account === null) throw new StartFailure(`there is no user "${user}" on this machine; check ${key}`);
  const own = process.getuid?.();
  if (own !== 0 && own !== account.uid) {
    throw new StartFailure(`only root can run it as user "${user}"; start dormouse as root or remove ${key}`);
  }
  return account;
}

async function fromPasswd(user: string): Promise<Account | null> {
  const text = await readFile('/etc/passwd', 'utf8').catch(() => '');
  for (const line of text.split('\n')) {
    const [name, , uid, gid, , home] = line.split(':');
    if (name !== user && uid !== user) continue;
    if (name === undefined || name === '' || home === undefined) continue;
    return { name, uid: Number(uid), gid: Number(gid), home };
  }
  return null;
}

async function fromId(user: string): Promise<Account | null> {
  if (user.startsWith('-')) return null;
  const [uid, gid] = await Promise.all([askId('-u', user), askId('-g', user)]);
  return uid === null || gid === null ? null : { name: user, uid, gid, home: '/' };
}

function askId(what: string, user: string): Promise<number | null> {
  return new Promise((resolve) => {
    execFile('id', [what, user], { timeout: ID_TIMEOUT_MS }, (error, stdout) => {
      const value = Number.parseInt(stdout, 10);
      resolve(error !== null || !Number.isInteger(value) ? null : value);
    });
  });
}
