/** The module that `plugins:` names. Types are all that it takes of dormouse, so there is nothing to install at run time. */
import type { Plugin } from 'dormouse/plugin';
import { fillFirst } from './fill-first.ts';
import { statsd } from './statsd.ts';
import { tenant } from './tenant.ts';
import { udp } from './udp.ts';

export default {
  name: 'example',
  strategies: { 'fill-first': fillFirst },
  filters: { tenant },
  metricsSinks: { statsd },
  triggers: { udp },
} satisfies Plugin;
