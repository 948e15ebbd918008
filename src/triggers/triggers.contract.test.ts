import { FakePrometheus } from '../idle/prometheus.fixture.ts';
import { FakeScaler } from './external-scaler.fixture.ts';
import { triggerContract } from './trigger.contract.ts';

triggerContract('prometheus', async () => {
  const server = await FakePrometheus.start(Date.now);
  let value = 0;
  let dead = false;
  server.queries.set('depth', () => value);
  server.reply = () => (dead ? 'break' : null);
  return {
    type: 'prometheus',
    options: { serverAddress: server.url, query: 'depth', threshold: 5, pollingInterval: '100ms' },
    work: () => Promise.resolve(void (value = 12)),
    done: () => Promise.resolve(void (value = 0)),
    kill: () => Promise.resolve(void (dead = true)),
    revive: () => Promise.resolve(void (dead = false)),
    hang: () => void (server.reply = () => 'hang'),
    goOn: () => {},
    close: () => server[Symbol.asyncDispose](),
  };
});

triggerContract('external', async () => {
  const scaler = new FakeScaler();
  await scaler.start();
  return {
    type: 'external',
    options: { scalerAddress: scaler.address, pollingInterval: '100ms', timeout: '1s' },
    work: () => {
      scaler.active = true;
      scaler.values.set('depth', 12);
      return Promise.resolve();
    },
    done: () => {
      scaler.active = false;
      scaler.values.set('depth', 0);
      return Promise.resolve();
    },
    kill: () => Promise.resolve(scaler.stop()),
    revive: () => scaler.start(),
    hang: () => void (scaler.hangs = true),
    goOn: () => void (scaler.hangs = false),
    close: () => Promise.resolve(scaler.stop()),
  };
});

triggerContract('cron', () =>
  Promise.resolve({
    type: 'cron',
    options: { timezone: 'UTC', start: '0 8 * * *', end: '0 18 * * *', desiredReplicas: 2 },
    work: null,
    done: null,
    kill: null,
    revive: null,
    close: () => Promise.resolve(),
  }),
);
