import { NatsConnection } from '../../nats/nats-connection.ts';
import { readCredentials, type NatsLogin } from '../../nats/nats-credentials.ts';
import { addressOf, readSecrets, type BusSecrets, type RemoteBus } from '../bus-address.ts';
import { BusFault } from '../transport.ts';

/** TCP, TLS and login, ms. */
const CONNECT_MS = 3000;

/** Rejects with a BusFault. `onLost` is called at most once, after it has resolved. */
export async function openNats(
  bus: RemoteBus,
  name: string,
  onLost: (fault: BusFault) => void,
): Promise<NatsConnection> {
  const secrets = await readSecrets(bus);
  const url = new URL(bus.url);
  try {
    return await NatsConnection.open({
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? 4222 : Number(url.port),
      tls: secrets.tls ?? (url.protocol === 'tls:' ? {} : null),
      login: loginOf(bus, url, secrets),
      name,
      connectMs: CONNECT_MS,
      onLost: (reason) => onLost(faultOf(reason, bus)),
    });
  } catch (error) {
    throw faultOf(error, bus);
  }
}

/** A name alone, or a password alone, is a token. */
function loginOf({ credentialsFile }: RemoteBus, url: URL, { password, credentials }: BusSecrets): NatsLogin {
  if (credentials !== null) {
    try {
      return readCredentials(credentials.toString('latin1'));
    } catch (error) {
      throw new BusFault(
        `${credentialsFile} ${(error as Error).message}`,
        'name a .creds file, or one with an NKEY seed',
      );
    }
  }
  const user = decodeURIComponent(url.username);
  const pass = password ?? decodeURIComponent(url.password);
  if (user !== '' && pass !== '') return { kind: 'password', user, password: pass };
  const token = user === '' ? pass : user;
  return token === '' ? { kind: 'none' } : { kind: 'token', token };
}

const HINTS: readonly (readonly [RegExp, string])[] = [
  [
    /no responders/i,
    'JetStream is not enabled there, or no stream has the subject: start nats-server with -js, see docs/events.md',
  ],
  [/not enabled/i, 'enable JetStream for the account, or name credentials of one that has it'],
  [/permissions? violation/i, 'give the user the rights that docs/events.md lists'],
  [
    /authorization|authentication|credentials/i,
    'correct the credentials: user and password in events.bus, events.passwordFile or events.credentialsFile',
  ],
  [/overlap/i, 'another stream has the subjects already: name another events.stream, or remove that stream'],
  [
    /insufficient|maximum|exceeded|no space|storage/i,
    'JetStream has no room: raise the limits of the account, or lower events.maxLength',
  ],
  [/ECONNREFUSED|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN/, 'start it, or correct the address in events.bus'],
  [/certificate|SSL|TLS/i, 'see events.tls: the authority that signed its certificate, and its name'],
];

export function faultOf(error: unknown, bus: RemoteBus): BusFault {
  if (error instanceof BusFault) return error;
  const reason = error instanceof Error ? error.message : String(error);
  const hint = HINTS.find(([pattern]) => pattern.test(reason))?.[1];
  return new BusFault(reason, hint ?? `see whether NATS at ${addressOf(bus.url)} runs and answers`, error);
}
