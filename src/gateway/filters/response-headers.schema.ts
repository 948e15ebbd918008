import { headerChangeSchema } from './header-change.schema.ts';

export const responseHeadersSchema = headerChangeSchema({
  'x-cold-start': 'is written by dormouse when a response had to wait for a wake',
});
