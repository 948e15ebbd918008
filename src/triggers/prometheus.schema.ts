import { z } from 'zod';
import { serverAddress } from '../config/schema/idle.ts';
import { duration, number, responseHeaders, text, toggle } from '../config/schema/scalars.ts';
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
  tokenKeys,
} from './credentials.schema.ts';
import type { PrometheusOptions } from './prometheus.ts';
import { MOST, pollingInterval } from './redis.schema.ts';

const { enableTLS: _always, ...tls } = tlsKeys();

export const prometheusSchema = z
  .strictObject({
    serverAddress: serverAddress(),
    query: text({ max: 8192, lines: true, what: 'a query' }),
    threshold: number({ min: 0, max: MOST, whole: false, above: true }),
    activationThreshold: number({ min: 0, max: MOST, whole: false }).prefault(0),
    namespace: text({ max: 253, what: 'a namespace' }).optional(),
    customHeaders: responseHeaders().prefault({}),
    ignoreNullValues: toggle().prefault('on'),
    timeout: duration({ minMs: 100, maxMs: 300_000 }).prefault('5s'),
    ...loginKeys(),
    ...tokenKeys(),
    ...tls,
    ...authenticationKey(LOGIN, TOKEN, TLS),
    pollingInterval: pollingInterval('5s'),
  })
  .transform((given, context): PrometheusOptions => {
    const refuse = refusing(context);
    checkCredentials(given, refuse);
    const hasLogin = given.username !== undefined;
    if (hasLogin && (given.token !== undefined || given.tokenFile !== undefined))
      refuse('username', 'has no place beside token', 'keep one of them');
    const url = new URL(given.serverAddress);
    if ((url.username !== '' || url.password !== '') && hasLogin)
      refuse('username', 'stands in serverAddress too', 'keep one of them');
    return {
      serverAddress: given.serverAddress,
      query: given.query,
      namespace: given.namespace ?? null,
      headers: given.customHeaders,
      ignoreNull: given.ignoreNullValues,
      timeoutMs: given.timeout,
      tls: { insecure: given.unsafeSsl, serverName: given.serverName ?? null },
      credentials: credentialsOf(given, LOGIN, TOKEN, TLS),
      target: given.threshold,
      activation: given.activationThreshold,
      pollingMs: given.pollingInterval,
    };
  });
