/**
 * `npm run test:services`: tests with programs from the distribution's packages (a real browser, Prometheus, curl, wrk, h2load), which are installed by apt-get
 * where they are missing (as root; otherwise the line to run is printed).
 */
import { ensurePrograms } from '../bench/packages.ts';
import { runTestsOf } from './run-tests-of.ts';

runTestsOf('test/services', () =>
  ensurePrograms([
    'prometheus',
    'promtool',
    'curl',
    'wrk',
    'h2load',
    'nginx',
    'chromium',
    'redis-server',
    'nats-server',
  ]),
);
