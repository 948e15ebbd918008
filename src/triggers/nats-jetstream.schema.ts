import { z } from 'zod';
import { Rejected, number, scalar, text, toggle } from '../config/schema/scalars.ts';
import {
  LOGIN,
  TLS,
  TOKEN,
  authenticationKey,
  checkCredentials,
  credentialsOf,
  loginKeys,
  refusing,
  tlsKeys,
  tlsOf,
  tokenKeys,
} from './credentials.schema.ts';
import type { NatsJetStreamOptions } from './nats-jetstream.ts';
import { MOST, pollingInterval } from './redis.schema.ts';

/** What JetStream takes as the name of a stream or a consumer. */
const NAME = /^[^\s.*>/\\]+$/;

function jetStreamName(what: string) {
  return scalar<string>({ type: 'string', pattern: NAME.source, maxLength: 255 }, (value) =>
    typeof value === 'string' && value.length <= 255 && NAME.test(value)
      ? value
      : new Rejected(`expected the name of ${what}`, 'it has no spaces and none of . * > / and \\'),
  );
}

/** Never shown: it may hold a password. */
function server() {
  return scalar<string>({ type: 'string', minLength: 1, maxLength: 300 }, (value) => {
    const hint = 'write nats://host:4222; username, password and token are keys of their own';
    if (typeof value !== 'string' || value.length > 300) return new Rejected('expected the address of a server', hint);
    const written = value.includes('://') ? value : `nats://${value}`;
    const url = URL.parse(written);
    if (url === null || !['nats:', 'tls:'].includes(url.protocol) || url.hostname === '')
      return new Rejected('is not the address of a NATS server', hint);
    return url.username === '' && url.password === '' ? written : new Rejected('has a user or a password', hint);
  });
}

export const natsJetStreamSchema = z
  .strictObject({
    servers: z.array(server()).min(1).max(100).optional(),
    natsServerMonitoringEndpoint: text({ max: 300, what: 'host:8222' }).optional(),
    account: text({ max: 255 }).optional(),
    accountID: text({ max: 255 }).optional(),
    useHttps: toggle().prefault('off'),
    stream: jetStreamName('a stream'),
    consumer: jetStreamName('a consumer'),
    lagThreshold: number({ min: 0, max: MOST, whole: false, above: true }).prefault(10),
    activationLagThreshold: number({ min: 0, max: MOST, whole: false }).prefault(0),
    ...loginKeys(),
    ...tokenKeys(),
    ...tlsKeys(),
    ...authenticationKey(LOGIN, TOKEN, TLS),
    pollingInterval: pollingInterval('2s'),
  })
  .transform((given, context): NatsJetStreamOptions => {
    const refuse = refusing(context);
    const { servers, natsServerMonitoringEndpoint: endpoint, account, accountID, useHttps } = given;
    const monitored = endpoint !== undefined;
    if (monitored === (servers !== undefined)) {
      const hint =
        'servers: [nats://host:4222] sees messages sooner; natsServerMonitoringEndpoint: host:8222 needs no account';
      refuse('', 'needs exactly one of servers and natsServerMonitoringEndpoint', hint);
    }
    if (monitored && account === undefined && accountID === undefined)
      refuse('', 'natsServerMonitoringEndpoint needs account', 'add account: $G, which is the one without a name');
    if (account !== undefined && accountID !== undefined)
      refuse('accountID', 'has no place beside account', 'keep one of them');
    if (!monitored)
      for (const [key, value] of Object.entries({ account, accountID, useHttps: useHttps || undefined }))
        if (value !== undefined) refuse(key, 'has no meaning without natsServerMonitoringEndpoint', 'remove it');
    checkCredentials({ ...given, enableTLS: given.enableTLS || useHttps }, refuse);
    const address = endpoint?.replace(/^https?:\/\//, '');
    if (address !== undefined && !URL.canParse(`http://${address}`))
      refuse('natsServerMonitoringEndpoint', 'is not an address', 'write host:8222');
    return {
      servers: servers ?? [],
      monitoring:
        address === undefined
          ? null
          : { url: `${useHttps ? 'https' : 'http'}://${address}`, account: account ?? accountID ?? '' },
      tls: tlsOf({ ...given, enableTLS: given.enableTLS || useHttps }),
      credentials: credentialsOf(given, LOGIN, TOKEN, TLS),
      stream: given.stream,
      consumer: given.consumer,
      target: given.lagThreshold,
      activation: given.activationLagThreshold,
      pollingMs: given.pollingInterval,
    };
  });
