import { headerChangeSchema } from './header-change.schema.ts';

const WRITTEN =
  'is written by dormouse for each request; security.trustedProxies decides what of the received one is kept';

export const requestHeadersSchema = headerChangeSchema({
  expect: 'belongs to the transfer of the body',
  'x-forwarded-for': WRITTEN,
  'x-forwarded-proto': WRITTEN,
  'x-forwarded-host': WRITTEN,
  'x-forwarded-port': WRITTEN,
  forwarded: WRITTEN,
  via: WRITTEN,
  'x-request-id': WRITTEN,
});
