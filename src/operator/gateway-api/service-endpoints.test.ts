import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Witness } from '../../drivers/driver.contract.ts';
import type { Driver, Instance } from '../../drivers/driver.ts';
import { ENDPOINT_SLICES, SERVICES } from '../../kubernetes/resources.ts';
import { systemClock } from '../../model/ports.ts';
import {
  MANAGED_BY,
  MANAGED_BY_LABEL,
  SERVICE_NAME_LABEL,
  type EndpointSlice,
  type SliceEndpoint,
} from '../../kubernetes/endpoint-slices.ts';
import type { Service } from '../kinds.ts';
import { FakeInformer } from './informer.fixture.ts';
import { ServiceEndpoints } from './service-endpoints.ts';
import { service } from './snapshot.fixture.ts';

function slice(name: string, endpoints: SliceEndpoint[], more: Partial<EndpointSlice> = {}): EndpointSlice {
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'infra', uid: name, resourceVersion: '1', labels: { [SERVICE_NAME_LABEL]: 'shop' } },
    addressType: 'IPv4',
    ports: [{ name: 'web', port: 3000 }],
    endpoints,
    ...more,
  };
}

function pod(name: string, address: string, conditions: SliceEndpoint['conditions'] = { ready: true }): SliceEndpoint {
  return { addresses: [address], conditions, targetRef: { kind: 'Pod', name, uid: `${name}-0123456789` } };
}

class World {
  readonly slices = new FakeInformer<EndpointSlice>(ENDPOINT_SLICES);
  readonly services = new FakeInformer<Service>(SERVICES, [service('shop', [{ name: 'web', port: 80 }])]);
  readonly endpoints = new ServiceEndpoints(this.slices, this.services, systemClock);
  readonly witness = new Witness();

  driver(): Driver {
    return this.endpoints.create({ namespace: 'infra', service: 'shop', port: 80 }, this.witness);
  }
}

const seen = (driver: Driver): string[] =>
  driver.instances().map(({ id, state, address }) => `${id} ${state} ${address!.host}:${address!.port}`);

test('endpoints are instances: ready, not ready, terminating; pods by name and uid', async () => {
  const world = new World();
  world.slices.put(
    slice('a', [
      pod('one', '10.0.0.1'),
      pod('two', '10.0.0.2', { ready: false }),
      pod('three', '10.0.0.3', { ready: false, serving: true, terminating: true }),
      pod('four', '10.0.0.4', {}),
      { addresses: ['10.0.0.5'] },
    ]),
  );
  const driver = world.driver();
  await world.witness.until('the last', () => world.witness.instances.length === 5);
  assert.deepEqual(seen(driver), [
    'one~one-0123 ready 10.0.0.1:3000',
    'two~two-0123 unhealthy 10.0.0.2:3000',
    'three~three-01 stopping 10.0.0.3:3000',
    'four~four-012 ready 10.0.0.4:3000',
    '10.0.0.5:3000 ready 10.0.0.5:3000',
  ]);
  assert.equal(driver.canScale, false);
});

test('changes are told once each, of this Service alone', async () => {
  const world = new World();
  const driver = world.driver();
  const told = (): string[] => world.witness.instances.map(({ id, state }) => `${id.split('~')[0]} ${state}`);
  world.slices.put(slice('a', [pod('one', '10.0.0.1', { ready: false })]));
  world.slices.put(slice('a', [pod('one', '10.0.0.1')]));
  world.slices.put(slice('a', [pod('one', '10.0.0.1'), pod('two', '10.0.0.2')]));
  const elsewhere = slice('b', [pod('three', '10.0.0.3')]);
  world.slices.put({ ...elsewhere, metadata: { ...elsewhere.metadata, labels: { [SERVICE_NAME_LABEL]: 'other' } } });
  world.slices.put({ ...elsewhere, metadata: { ...elsewhere.metadata, namespace: 'web' } });
  world.slices.put({
    ...elsewhere,
    metadata: { ...elsewhere.metadata, labels: { [SERVICE_NAME_LABEL]: 'shop', [MANAGED_BY_LABEL]: MANAGED_BY } },
  });
  world.slices.put(slice('a', [pod('two', '10.0.0.2')]));
  assert.deepEqual(told(), ['one unhealthy', 'one ready', 'two ready', 'one gone']);
  world.slices.remove(slice('a', []));
  assert.deepEqual(told().slice(4), ['two gone']);
  await driver.close();
  world.slices.put(slice('a', [pod('two', '10.0.0.2')]));
  assert.equal(told().length, 5);
  world.endpoints.close();
  assert.equal(world.slices.listeners + world.services.listeners, 0);
});

test('the port is the one that the slices have under the name that the Service gives it', () => {
  const world = new World();
  const driver = world.driver();
  const ports = [
    { name: 'web', port: 3000 },
    { name: 'admin', port: 3001 },
  ];
  world.slices.put(slice('a', [pod('one', '10.0.0.1')], { ports }));
  // A pod whose named port is another number stands in a slice of its own.
  world.slices.put(slice('b', [pod('two', '10.0.0.2')], { ports: [{ name: 'web', port: 4000 }] }));
  assert.deepEqual(seen(driver), ['one~one-0123 ready 10.0.0.1:3000', 'two~two-0123 ready 10.0.0.2:4000']);
  world.services.put(service('shop', [{ name: 'admin', port: 80 }]));
  assert.deepEqual(seen(driver), ['one~one-0123 ready 10.0.0.1:3001']);
  world.services.remove(service('shop'));
  assert.deepEqual(seen(driver), []);
});

test('a pod in slices of two families is one instance, of the Service’s first family', () => {
  const world = new World();
  const driver = world.driver();
  world.slices.put(slice('six', [pod('one', 'fd00::1')], { addressType: 'IPv6' }));
  world.slices.put(slice('four', [pod('one', '10.0.0.1')]));
  assert.deepEqual(seen(driver), ['one~one-0123 ready 10.0.0.1:3000']);
  const named = service('shop', [{ name: 'web', port: 80 }]);
  world.services.put({ ...named, spec: { ...named.spec, ipFamilies: ['IPv6', 'IPv4'] } });
  assert.deepEqual(seen(driver), ['one~one-0123 ready fd00::1:3000']);
});

test('several drivers of one Service are told each', () => {
  const world = new World();
  const drivers = [world.driver(), world.driver()];
  world.slices.put(slice('a', [pod('one', '10.0.0.1')]));
  for (const driver of drivers) assert.equal(driver.instances().length, 1);
});

// Of the drivers' contract all but what a suspicion leads to: readiness is the cluster's here, and gateways eject what fails.
test('what it hands out are snapshots; closing tells of every instance that it is gone, and may be done twice', async () => {
  const world = new World();
  const driver = world.driver();
  world.slices.put(slice('a', [pod('one', '10.0.0.1'), pod('two', '10.0.0.2')]));
  for (const instance of [...driver.instances(), ...world.witness.instances]) (instance as Instance).state = 'gone';
  assert.deepEqual(
    driver.instances().map(({ state, weight, reason }) => [state, weight, reason]),
    [
      ['ready', 1, ''],
      ['ready', 1, ''],
    ],
  );
  driver.scaleUp(9);
  driver.cancelStarts(0);
  driver.suspect('one~one-0123', 'refused');
  await driver.retire(['one~one-0123'], { freeze: false });
  assert.equal(driver.instances().length, 2);
  world.witness.instances.length = 0;
  await Promise.all([driver.close(), driver.close()]);
  assert.deepEqual(
    world.witness.instances.map(({ state }) => state),
    ['gone', 'gone'],
  );
  assert.deepEqual([driver.instances(), driver.crash(), driver.logs(5), world.witness.crashes], [[], null, [], []]);
});
