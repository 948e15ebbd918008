import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Authority } from '../../gateway/fixtures/certificates.ts';
import { GATEWAY_GROUP, type Gateway, type Secret } from './objects.ts';
import {
  gateway,
  gatewayClass,
  grant,
  https,
  httpRoute,
  listener,
  secret,
  translated,
  v1,
  type Outcome,
} from './snapshot.fixture.ts';

let certificate: Secret;
before(async () => {
  const authority = await Authority.create();
  const { cert, key } = await authority.issue({ names: ['a.example.com'] });
  certificate = secret('cert', { 'tls.crt': cert, 'tls.key': key });
});

describe('GatewayClass', () => {
  const status = (outcome: Outcome) => outcome.translation.statuses.filter((one) => one.kind === 'GatewayClass');

  test('of this controller is accepted and tells what is supported; others are left alone', () => {
    const outcome = translated({ gatewayClasses: [gatewayClass(), gatewayClass('foreign', 'example.com/x')] });
    const [own, ...more] = status(outcome);
    assert.equal(more.length, 0);
    assert.deepEqual(
      own!.status.conditions.map(({ type, status, observedGeneration }) => [type, status, observedGeneration]),
      [
        ['Accepted', 'True', 3],
        ['SupportedVersion', 'True', 3],
      ],
    );
    const features = own!.status.supportedFeatures.map(({ name }) => name);
    assert.deepEqual(features, [...features].sort());
    assert.ok(features.includes('HTTPRoute') && features.length <= 64);
  });

  test('GatewayClassSupportedVersionCondition', () => {
    const [own] = status(translated({ bundleVersions: ['v1.6.2', 'v2.0.0', ''] }));
    const { status: is, reason, message } = own!.status.conditions[1]!;
    assert.deepEqual([is, reason], ['False', 'UnsupportedVersion']);
    assert.match(message, /v2\.0\.0, \(none\)/);
  });

  test('with parameters is not accepted, and its Gateways neither', () => {
    const withParameters = gatewayClass();
    withParameters.spec.parametersRef = { group: '', kind: 'ConfigMap', name: 'x' };
    const outcome = translated({
      gatewayClasses: [withParameters],
      httpRoutes: [httpRoute('r', [{ backendRefs: [v1] }])],
    });
    assert.equal(outcome.gateway('edge'), '!Accepted/Invalid !Programmed/Invalid');
    assert.equal(outcome.route('r'), '!Accepted/GatewayNotAccepted ResolvedRefs');
    assert.deepEqual(outcome.translation.listeners, []);
    assert.deepEqual(outcome.translation.routes, []);
  });

  test('that is another controller’s: nothing of it is ours', () => {
    const outcome = translated({
      gatewayClasses: [gatewayClass('dormouse', 'example.com/x')],
      httpRoutes: [httpRoute('r', [{ backendRefs: [v1] }])],
    });
    assert.deepEqual(outcome.translation, {
      listeners: [],
      routes: [],
      backends: [],
      services: [],
      certificates: [],
      statuses: [],
    });
  });
});

describe('Gateway', () => {
  const cases: [string, () => Gateway, string, string[]][] = [
    [
      'GatewayListenerHTTP',
      () => gateway('edge', [listener()]),
      'Accepted Programmed',
      ['Accepted ResolvedRefs Programmed [HTTPRoute GRPCRoute] 0'],
    ],
    [
      'GatewayListenerUnsupportedProtocol: the only one',
      () => gateway('edge', [listener({ protocol: 'example.com/x' })]),
      '!Accepted/ListenersNotValid !Programmed/Invalid',
      ['!Accepted/UnsupportedProtocol ResolvedRefs !Programmed/Invalid [] 0'],
    ],
    [
      'GatewayListenerUnsupportedProtocol: one of two',
      () => gateway('edge', [listener(), listener({ name: 'x', port: 81, protocol: 'UDP' })]),
      'Accepted/ListenersNotValid Programmed',
      [
        'Accepted ResolvedRefs Programmed [HTTPRoute GRPCRoute] 0',
        '!Accepted/UnsupportedProtocol ResolvedRefs !Programmed/Invalid [] 0',
      ],
    ],
    [
      'GatewayInvalidRouteKind: the only one',
      () => gateway('edge', [listener({ allowedRoutes: { kinds: [{ kind: 'InvalidRoute' }] } })]),
      '!Accepted/ListenersNotValid !Programmed/Invalid',
      ['Accepted !ResolvedRefs/InvalidRouteKinds !Programmed/Invalid [] 0'],
    ],
    [
      'GatewayInvalidRouteKind: one of two',
      () =>
        gateway('edge', [listener({ allowedRoutes: { kinds: [{ kind: 'InvalidRoute' }, { kind: 'HTTPRoute' }] } })]),
      'Accepted Programmed',
      ['Accepted !ResolvedRefs/InvalidRouteKinds Programmed [HTTPRoute] 0'],
    ],
    [
      'GatewayListenerProtocolAndRouteKindConflicts: HTTPS and TLS on one port',
      () =>
        gateway('edge', [
          https('cert', { port: 8443 }),
          listener({ name: 'tls', port: 8443, protocol: 'TLS', tls: { mode: 'Passthrough' } }),
          listener(),
        ]),
      'Accepted/ListenersNotValid Programmed',
      [
        '!Accepted/Invalid Conflicted/ProtocolConflict ResolvedRefs !Programmed/Invalid [HTTPRoute GRPCRoute] 0',
        '!Accepted/Invalid Conflicted/ProtocolConflict ResolvedRefs !Programmed/Invalid [TLSRoute] 0',
        'Accepted ResolvedRefs Programmed [HTTPRoute GRPCRoute] 0',
      ],
    ],
    [
      'listeners that are the same',
      () => gateway('edge', [listener({ hostname: 'A.test' }), listener({ name: 'too', hostname: 'a.test' })]),
      '!Accepted/ListenersNotValid !Programmed/Invalid',
      [
        '!Accepted/Invalid Conflicted/HostnameConflict ResolvedRefs !Programmed/Invalid [HTTPRoute GRPCRoute] 0',
        '!Accepted/Invalid Conflicted/HostnameConflict ResolvedRefs !Programmed/Invalid [HTTPRoute GRPCRoute] 0',
      ],
    ],
    [
      'TLS that would have to be terminated',
      () => gateway('edge', [listener({ protocol: 'TLS', port: 443, tls: { mode: 'Terminate' } })]),
      '!Accepted/ListenersNotValid !Programmed/Invalid',
      ['!Accepted/UnsupportedValue ResolvedRefs !Programmed/Invalid [TLSRoute] 0'],
    ],
    [
      'certificates of clients that could not be asked for',
      () => gateway('edge', [https('cert')], { tls: { frontend: { default: { validation: {} } } } }),
      '!Accepted/ListenersNotValid !Programmed/Invalid',
      ['!Accepted/UnsupportedValue ResolvedRefs !Programmed/Invalid [HTTPRoute GRPCRoute] 0'],
    ],
    [
      'ports that are one in the pods',
      () =>
        gateway('edge', [listener(), listener({ name: 'too', port: 10080 }), listener({ name: 'beside', port: 8080 })]),
      'Accepted/ListenersNotValid Programmed',
      [
        'Accepted ResolvedRefs Programmed [HTTPRoute GRPCRoute] 0',
        '!Accepted/PortUnavailable ResolvedRefs !Programmed/Invalid [HTTPRoute GRPCRoute] 0',
        'Accepted ResolvedRefs Programmed [HTTPRoute GRPCRoute] 0',
      ],
    ],
    [
      'a port on which gateways listen for something else',
      () => gateway('edge', [listener(), listener({ name: 'metrics', port: 8082 })]),
      'Accepted/ListenersNotValid Programmed',
      [
        'Accepted ResolvedRefs Programmed [HTTPRoute GRPCRoute] 0',
        '!Accepted/PortUnavailable ResolvedRefs !Programmed/Invalid [HTTPRoute GRPCRoute] 0',
      ],
    ],
    [
      'GatewayInvalidParametersRef',
      () => gateway('edge', [listener()], { infrastructure: { parametersRef: { group: 'x', kind: 'Y', name: 'z' } } }),
      '!Accepted/InvalidParameters !Programmed/Invalid',
      ['Accepted ResolvedRefs !Programmed/Invalid [HTTPRoute GRPCRoute] 0'],
    ],
    [
      'GatewayStaticAddresses: one of a type that is unknown',
      () => gateway('edge', [listener()], { addresses: [{ type: 'test/fake', value: 'x' }] }),
      '!Accepted/UnsupportedAddress !Programmed/Invalid',
      ['Accepted ResolvedRefs !Programmed/Invalid [HTTPRoute GRPCRoute] 0'],
    ],
    [
      'GatewayStaticAddresses: one that is not there',
      () => gateway('edge', [listener()], { addresses: [{ value: '192.0.2.9' }] }),
      'Accepted !Programmed/AddressNotUsable',
      ['Accepted ResolvedRefs Programmed [HTTPRoute GRPCRoute] 0'],
    ],
    [
      'GatewayOptionalAddressValue',
      () => gateway('edge', [listener()], { addresses: [{ type: 'IPAddress' }] }),
      'Accepted Programmed',
      ['Accepted ResolvedRefs Programmed [HTTPRoute GRPCRoute] 0'],
    ],
  ];
  for (const [name, make, ofGateway, ofListeners] of cases) {
    test(name, () => {
      const made = make();
      const outcome = translated({ gateways: [made], secrets: [certificate] });
      assert.equal(outcome.gateway('edge'), ofGateway);
      assert.deepEqual(
        made.spec.listeners.map((one) => outcome.listener('edge', one.name)),
        ofListeners,
      );
    });
  }

  test('without an address of the gateways is not programmed', () => {
    assert.equal(translated({}, { addresses: [] }).gateway('edge'), 'Accepted !Programmed/AddressNotAssigned');
  });

  test('an older one keeps its port when another wants it for another protocol', () => {
    const outcome = translated({
      gateways: [
        gateway('web/young', [listener({ protocol: 'TCP' })], { ageSeconds: 1 }),
        gateway('edge', [listener()], { ageSeconds: 2 }),
      ],
    });
    assert.equal(outcome.gateway('edge'), 'Accepted Programmed');
    assert.match(outcome.listener('web/young', 'http'), /^!Accepted\/Invalid Conflicted\/ProtocolConflict/);
    assert.deepEqual(
      outcome.translation.listeners.map(({ name, address }) => [name, address]),
      [['http-80', { host: '::', port: 10080 }]],
    );
  });

  test('several share a port, and the port of the pods is told', () => {
    const outcome = translated({
      gateways: [
        gateway('edge', [listener({ hostname: 'a.test' }), https('cert', { hostname: 'a.test' })]),
        gateway('web/too', [listener({ hostname: 'b.test' }), https('infra/cert')]),
        gateway('web/own', [listener({ port: 9000 })]),
      ],
      secrets: [certificate],
      referenceGrants: [
        grant(
          'infra/g',
          [{ group: GATEWAY_GROUP, kind: 'Gateway', namespace: 'web' }],
          [{ group: '', kind: 'Secret' }],
        ),
      ],
    });
    const { listeners, certificates } = outcome.translation;
    assert.deepEqual(
      listeners.map(({ name, protocol, address }) => [name, protocol, address.port]),
      [
        ['http-80', 'http', 10080],
        ['http-9000', 'http', 9000],
        ['https-443', 'https', 10443],
      ],
    );
    assert.deepEqual(certificates, [{ listener: 'https-443', namespace: 'infra', secret: 'cert' }]);
    assert.deepEqual(
      listeners[2]!.tls!.certificates.map((one) => 'hosts' in one && [one.name, one.hosts]),
      [
        ['Secret infra/cert', ['a.test']],
        ['Secret infra/cert', []],
      ],
    );
  });
});
