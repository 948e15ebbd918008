import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { Authority } from '../../gateway/fixtures/certificates.ts';
import { requestView, type ViewParts } from '../../gateway/request-view.fixture.ts';
import { Router } from '../../gateway/routing/router.ts';
import { SniRoutes } from '../../gateway/routing/sni-routes.ts';
import { GROUP } from '../backend-object.ts';
import { GATEWAY_GROUP, type Gateway, type Secret } from './objects.ts';
import {
  gateway,
  gatewayClass,
  grant,
  grpcRoute,
  https,
  httpRoute,
  listener,
  namespace,
  type Outcome,
  rawRoute,
  routeFilter,
  secret,
  service,
  settings,
  snapshot,
  translated,
} from './snapshot.fixture.ts';
import { translate } from './translate.ts';

let certificate: Secret;
let other: Secret;
before(async () => {
  const authority = await Authority.create();
  const pem = async (name: string) => {
    const { cert, key } = await authority.issue({ names: [name] });
    return { 'tls.crt': cert, 'tls.key': key };
  };
  certificate = secret('cert', await pem('a.example.com'));
  other = secret('web/other', await pem('b.example.com'));
});

/** Backends that a request leads to, by the gateways' own router. */
function leads(outcome: Outcome, parts: ViewParts, on = 'http-80'): string {
  const { routes, listeners } = outcome.translation;
  const target = new Router({ routes, listeners }).match(on, requestView({ host: 'example.com', ...parts }));
  if (target === null) return '404';
  return target.backends.map(({ name, weight }) => (weight === 1 ? name : `${name} ${weight}`)).join(', ');
}

const v1 = { name: 'v1', port: 8080 };
const v2 = { name: 'v2', port: 8080 };
const v3 = { name: 'v3', port: 8080 };
const V1 = 'service:infra/v1:8080';
const V2 = 'service:infra/v2:8080';
const V3 = 'service:infra/v3:8080';
const fromAll = { allowedRoutes: { namespaces: { from: 'All' } } };
const OK = 'Accepted ResolvedRefs';

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
      () => gateway('edge', [listener(), listener({ name: 'too', port: 8080 })]),
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
      [['http-80', { host: '::', port: 8080 }]],
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
        ['http-80', 'http', 8080],
        ['http-9000', 'http', 9000],
        ['https-443', 'https', 8443],
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

describe('certificates', () => {
  const pem = (): Record<string, string> => certificate.data!;
  const reference = (name: string, more = {}): Gateway =>
    gateway('edge', [https('x', { tls: { certificateRefs: [{ name, ...more }] } })]);
  const INVALID = '!Accepted/ListenersNotValid !Programmed/Invalid';
  const grantFor = (to: { group: string; kind: string; name?: string }, from = 'infra') =>
    grant('web/g', [{ group: GATEWAY_GROUP, kind: 'Gateway', namespace: from }], [to]);
  const cases: [string, () => Parameters<typeof translated>[0] & object, string][] = [
    [
      'GatewayInvalidTLSConfiguration: no such Secret',
      () => ({ gateways: [reference('none')] }),
      'InvalidCertificateRef',
    ],
    [
      'GatewayInvalidTLSConfiguration: another group',
      () => ({ gateways: [reference('cert', { group: 'x.test' })] }),
      'InvalidCertificateRef',
    ],
    [
      'GatewayInvalidTLSConfiguration: another kind',
      () => ({ gateways: [reference('cert', { kind: 'ConfigMap' })] }),
      'InvalidCertificateRef',
    ],
    [
      'GatewayInvalidTLSConfiguration: a malformed one',
      () => ({
        gateways: [reference('cert')],
        secrets: [secret('cert', { 'tls.crt': 'SGVsbG8=', 'tls.key': 'SGVsbG8=' })],
      }),
      'InvalidCertificateRef',
    ],
    [
      'a certificate with the key of another',
      () => ({
        gateways: [reference('cert')],
        secrets: [{ ...certificate, data: { ...pem(), 'tls.key': other.data!['tls.key']! } }],
      }),
      'InvalidCertificateRef',
    ],
    ['none at all', () => ({ gateways: [gateway('edge', [https('x', { tls: {} })])] }), 'InvalidCertificateRef'],
    [
      'GatewaySecretMissingReferenceGrant',
      () => ({ gateways: [reference('other', { namespace: 'web' })] }),
      'RefNotPermitted',
    ],
    [
      'GatewaySecretInvalidReferenceGrant: another namespace',
      () => ({
        gateways: [reference('other', { namespace: 'web' })],
        referenceGrants: [grantFor({ group: '', kind: 'Secret' }, 'elsewhere')],
      }),
      'RefNotPermitted',
    ],
    [
      'GatewaySecretInvalidReferenceGrant: another name',
      () => ({
        gateways: [reference('other', { namespace: 'web' })],
        referenceGrants: [grantFor({ group: '', kind: 'Secret', name: 'x' })],
      }),
      'RefNotPermitted',
    ],
    [
      'GatewaySecretReferenceGrantAllInNamespace',
      () => ({
        gateways: [reference('other', { namespace: 'web' })],
        referenceGrants: [grantFor({ group: '', kind: 'Secret' })],
      }),
      '',
    ],
    [
      'GatewaySecretReferenceGrantSpecific',
      () => ({
        gateways: [reference('other', { namespace: 'web' })],
        referenceGrants: [grantFor({ group: '', kind: 'Secret', name: 'other' })],
      }),
      '',
    ],
  ];
  for (const [name, objects, reason] of cases) {
    test(name, () => {
      const outcome = translated({ secrets: [certificate, other], ...objects() });
      const ofListener = outcome.listener('edge', 'https');
      if (reason === '') {
        assert.equal(ofListener, 'Accepted ResolvedRefs Programmed [HTTPRoute GRPCRoute] 0');
        assert.equal(outcome.translation.listeners[0]!.name, 'https-443');
      } else {
        assert.equal(ofListener, `Accepted !ResolvedRefs/${reason} !Programmed/Invalid [HTTPRoute GRPCRoute] 0`);
        assert.equal(outcome.gateway('edge'), INVALID);
        assert.deepEqual(outcome.translation.listeners, []);
        const key = Buffer.from(pem()['tls.key']!, 'base64').toString().split('\n')[1]!;
        assert.ok(!JSON.stringify(outcome.translation).includes(key), 'the key is nowhere');
      }
    });
  }

  test('GatewayOverlappingTLSConfigHostnames', () => {
    const names = ['foo.example.com', 'bar.example.com', '*.example.com', 'example.org'];
    const listeners = names.map((hostname, i) => https('cert', { name: `l${i}`, hostname }));
    const elsewhere = https('cert', { name: 'elsewhere', hostname: 'foo.example.com', port: 8444 });
    const outcome = translated({ gateways: [gateway('edge', [...listeners, elsewhere])], secrets: [certificate] });
    const overlapping = [...listeners, elsewhere].map(({ name }) =>
      outcome.listener('edge', name).includes('OverlappingTLSConfig/OverlappingHostnames'),
    );
    assert.deepEqual(overlapping, [true, true, true, false, false]);
  });
});

describe('attaching', () => {
  test('HTTPRouteSimpleSameNamespace', () => {
    const outcome = translated({ httpRoutes: [httpRoute('simple', [{ backendRefs: [v1] }])] });
    assert.equal(outcome.route('simple'), OK);
    assert.equal(outcome.listener('edge', 'http'), 'Accepted ResolvedRefs Programmed [HTTPRoute GRPCRoute] 1');
    assert.equal(leads(outcome, { target: '/any' }), V1);
    assert.deepEqual(
      outcome.translation.services.map(({ namespace: of, service: name, port }) => [of, name, port]),
      [['infra', 'v1', 8080]],
    );
  });

  const cross = (allowedRoutes: object | undefined, objects = {}) =>
    translated({
      gateways: [gateway('edge', [listener(allowedRoutes === undefined ? {} : { allowedRoutes })])],
      services: [service('web/v1')],
      httpRoutes: [
        httpRoute('web/cross', [{ backendRefs: [v1] }], { parents: [{ name: 'edge', namespace: 'infra' }] }),
      ],
      ...objects,
    });
  const selecting = { namespaces: { from: 'Selector', selector: { matchLabels: { team: 'web' } } } };

  test('HTTPRouteCrossNamespace', () => {
    const outcome = cross(fromAll.allowedRoutes);
    assert.equal(outcome.route('web/cross'), OK);
    assert.equal(leads(outcome, {}), 'service:web/v1:8080');
  });

  test('HTTPRouteInvalidCrossNamespaceParentRef', () => {
    const outcome = cross(undefined);
    assert.equal(outcome.route('web/cross'), '!Accepted/NotAllowedByListeners ResolvedRefs');
    assert.equal(outcome.listener('edge', 'http').at(-1), '0');
    assert.deepEqual([outcome.translation.routes, outcome.translation.backends], [[], []]);
  });

  test('by labels of namespaces', () => {
    assert.equal(cross(selecting, { namespaces: [namespace('web', { team: 'web' })] }).route('web/cross'), OK);
    for (const namespaces of [[namespace('web', { team: 'other' })], [namespace('web')], []])
      assert.equal(cross(selecting, { namespaces }).route('web/cross'), '!Accepted/NotAllowedByListeners ResolvedRefs');
  });

  test('HTTPRouteDisallowedKind', () => {
    const outcome = translated({
      gateways: [
        gateway('edge', [listener({ name: 'tls', port: 443, protocol: 'TLS', tls: { mode: 'Passthrough' } })]),
      ],
      httpRoutes: [httpRoute('r', [{ backendRefs: [v1] }])],
    });
    assert.equal(outcome.route('r'), '!Accepted/NotAllowedByListeners ResolvedRefs');
  });

  test('HTTPRouteInvalidParentRefNotMatchingListenerPort, SectionName', () => {
    for (const parent of [{ port: 81 }, { sectionName: 'none' }, { port: 80, sectionName: 'none' }]) {
      const outcome = translated({
        httpRoutes: [httpRoute('r', [{ backendRefs: [v1] }], { parents: [{ name: 'edge', ...parent }] })],
      });
      assert.equal(outcome.route('r'), '!Accepted/NoMatchingParent ResolvedRefs');
    }
    const both = translated({
      httpRoutes: [
        httpRoute('r', [{ backendRefs: [v1] }], { parents: [{ name: 'edge', port: 80, sectionName: 'http' }] }),
      ],
    });
    assert.equal(both.route('r'), OK);
  });

  test('parents that are not ours have no status of ours, and what was there is taken out', () => {
    const route = httpRoute('r', [{ backendRefs: [v1] }], {
      parents: [{ name: 'none' }, { group: '', kind: 'Service', name: 'v1' }],
    });
    assert.equal(translated({ httpRoutes: [route] }).route('r'), 'no status');
    route.status = {
      parents: [{ parentRef: { name: 'none' }, controllerName: 'dormouse.dev/gateway', conditions: [] }],
    };
    const { statuses } = translated({ httpRoutes: [route] }).translation;
    assert.deepEqual(statuses.at(-1)!.status, { parents: [] });
  });

  test('HTTPRouteHostnameIntersection', () => {
    const listeners = [
      listener({ name: 'exact', hostname: 'very.specific.com' }),
      listener({ name: 'wild', hostname: '*.wildcard.io', port: 81 }),
    ];
    const at = (hostnames: string[], sectionName: string) =>
      translated({
        gateways: [gateway('edge', listeners)],
        httpRoutes: [httpRoute('r', [{ backendRefs: [v1] }], { hostnames, parents: [{ name: 'edge', sectionName }] })],
      });
    const cases: [string[], string, string[] | null][] = [
      [['non.matching.com', '*.nonmatchingwildcard.io', 'very.specific.com'], 'exact', ['very.specific.com']],
      [['*.specific.com'], 'exact', ['very.specific.com']],
      [['foo.wildcard.io', 'bar.foo.wildcard.io', 'wildcard.io'], 'wild', ['bar.foo.wildcard.io', 'foo.wildcard.io']],
      [['*.anotherwildcard.io', '*.sub.wildcard.io', '*.wildcard.io'], 'wild', ['*.sub.wildcard.io', '*.wildcard.io']],
      [['*.io'], 'wild', ['*.wildcard.io']],
      [['wildcard.io', 'specific.but.wrong.com'], 'wild', null],
      [['specific.com'], 'exact', null],
    ];
    for (const [hostnames, section, expected] of cases) {
      const outcome = at(hostnames, section);
      assert.equal(outcome.route('r'), expected === null ? '!Accepted/NoMatchingListenerHostname ResolvedRefs' : OK);
      assert.deepEqual(outcome.translation.routes[0]?.hosts ?? null, expected);
    }
  });

  test('HTTPRouteListenerHostnameMatching', () => {
    const names = ['bar.com', 'foo.bar.com', '*.bar.com', '*.foo.com'];
    const listeners = names.map((hostname, i) => listener({ name: `listener-${i + 1}`, hostname }));
    const route = (name: string, ref: typeof v1, ...sections: number[]) =>
      httpRoute(name, [{ backendRefs: [ref] }], {
        parents: sections.map((i) => ({ name: 'edge', sectionName: `listener-${i}` })),
      });
    const outcome = translated({
      gateways: [gateway('edge', listeners)],
      httpRoutes: [route('r1', v1, 1), route('r2', v2, 2), route('r3', v3, 3, 4)],
    });
    for (const [host, expected] of [
      ['bar.com', V1],
      ['foo.bar.com', V2],
      ['baz.bar.com', V3],
      ['boo.bar.com', V3],
      ['multiple.prefixes.bar.com', V3],
      ['multiple.prefixes.foo.com', V3],
      ['foo.com', '404'],
      ['no.matching.host', '404'],
    ] as const)
      assert.equal(leads(outcome, { host }), expected, host);
  });

  test('GatewayHTTPListenerIsolation: a request is the most specific listener’s alone', () => {
    const names = ['', '*.example.com', '*.foo.example.com', 'abc.foo.example.com'];
    const listeners = names.map((hostname, i) => listener({ name: `l${i}`, ...(hostname === '' ? {} : { hostname }) }));
    const all = names.filter((name) => name !== '');
    const outcome = translated({
      gateways: [gateway('edge', listeners)],
      httpRoutes: names.map((_name, i) =>
        httpRoute(`r${i}`, [{ matches: [{ path: { value: `/l${i}` } }], backendRefs: [v1] }], {
          hostnames: ['bar.com', ...all],
          parents: [{ name: 'edge', sectionName: `l${i}` }],
        }),
      ),
    });
    for (const [host, own] of [
      ['bar.com', 0],
      ['bar.example.com', 1],
      ['bar.foo.example.com', 2],
      ['abc.foo.example.com', 3],
    ] as const)
      for (let i = 0; i < 4; i++)
        assert.equal(
          leads(outcome, { host, target: `/l${i}` }).replace('404', 'no-route'),
          i === own ? V1 : 'no-route',
          `${host} /l${i}`,
        );
    assert.equal(outcome.translation.backends.find(({ name }) => name === 'no-route')!.wake.answers[0]!.status, 404);
  });

  test('a listener that is not served counts its routes and serves none', () => {
    const outcome = translated({
      gateways: [gateway('edge', [https('none')])],
      httpRoutes: [httpRoute('r', [{ backendRefs: [v1] }])],
    });
    assert.equal(outcome.route('r'), OK);
    assert.equal(outcome.listener('edge', 'https').at(-1), '1');
    assert.deepEqual(outcome.translation.routes, []);
  });
});

describe('matching', () => {
  test('HTTPRouteMatching', () => {
    const outcome = translated({
      httpRoutes: [
        httpRoute('r', [
          {
            matches: [{ path: { type: 'PathPrefix', value: '/' } }, { headers: [{ name: 'Version', value: 'one' }] }],
            backendRefs: [v1],
          },
          {
            matches: [{ path: { type: 'PathPrefix', value: '/v2' } }, { headers: [{ name: 'version', value: 'two' }] }],
            backendRefs: [v2],
          },
        ]),
      ],
    });
    for (const [target, version, expected] of [
      ['/', '', V1],
      ['/example', '', V1],
      ['/', 'one', V1],
      ['/v2', '', V2],
      ['/v2/example', '', V2],
      ['/v2example', '', V1],
      ['/', 'two', V2],
      ['/v2/', 'one', V2],
    ] as const)
      assert.equal(
        leads(outcome, { target, headers: version === '' ? [] : [['version', version]] }),
        expected,
        `${target} ${version}`,
      );
  });

  test('HTTPRouteExactPathMatching, MethodMatching, QueryParamMatching, expressions, and the first of equal names', () => {
    const outcome = translated({
      httpRoutes: [
        httpRoute('r', [
          { matches: [{ path: { type: 'Exact', value: '/one' } }], backendRefs: [v1] },
          { matches: [{ method: 'PUT' }], backendRefs: [v2] },
          {
            matches: [
              {
                queryParams: [
                  { name: 'a', value: 'b' },
                  { name: 'a', value: 'x' },
                ],
              },
            ],
            backendRefs: [v3],
          },
          { matches: [{ path: { type: 'RegularExpression', value: '/x/[0-9]+' } }], backendRefs: [v2] },
          {
            matches: [
              {
                headers: [
                  { name: 'x-a', type: 'RegularExpression', value: 'b.*' },
                  { name: 'X-A', value: 'c' },
                ],
              },
            ],
            backendRefs: [v1],
          },
        ]),
      ],
    });
    for (const [parts, expected] of [
      [{ target: '/one' }, V1],
      [{ target: '/one/' }, '404'],
      [{ target: '/', method: 'PUT' }, V2],
      [{ target: '/?a=b' }, V3],
      [{ target: '/x/17' }, V2],
      [{ target: '/', headers: [['x-a', 'bc']] }, V1],
    ] as [ViewParts, string][])
      assert.equal(leads(outcome, parts), expected, JSON.stringify(parts));
  });

  test('HTTPRouteMatchingAcrossRoutes: the oldest route, then the first by namespace and name', () => {
    const route = (name: string, ref: typeof v1, ageSeconds: number, value = '/') =>
      httpRoute(name, [{ matches: [{ path: { value } }], backendRefs: [{ ...ref, namespace: 'infra' }] }], {
        ageSeconds,
        parents: [{ name: 'edge', namespace: 'infra' }],
      });
    const routes = [route('b', v2, 5), route('a', v3, 5), route('old', v1, 9), route('deep', v2, 1, '/deep')];
    for (const list of [routes, routes.toReversed()]) {
      const outcome = translated({ httpRoutes: list });
      assert.deepEqual(
        outcome.translation.routes.map(({ name }) => name.split('/')[2]),
        ['old', 'a', 'b', 'deep'],
      );
      assert.equal(leads(outcome, {}), V1);
      assert.equal(leads(outcome, { target: '/deep/x' }), V2);
    }
  });

  test('GRPCExactMethodMatching and its kin', () => {
    const at = (method: object, ref: typeof v1) => ({ matches: [{ method }], backendRefs: [ref] });
    const outcome = translated({
      grpcRoutes: [
        grpcRoute('g', [
          at({ service: 'shop.Cart', method: 'Add' }, v1),
          at({ service: 'shop.Cart' }, v2),
          at({ method: 'Ping.Pong' }, v3),
          at({ type: 'RegularExpression', service: 'old|older', method: 'Do.*' }, v1),
        ]),
      ],
    });
    assert.equal(outcome.route('g'), OK);
    for (const [target, expected] of [
      ['/shop.Cart/Add', `${V1}:h2c`],
      ['/shop.Cart/Remove', `${V2}:h2c`],
      ['/shop.Cart2/Add', '404'],
      ['/any/Ping.Pong', `${V3}:h2c`],
      ['/any/PingXPong', '404'],
      ['/older/DoIt', `${V1}:h2c`],
      ['/new/DoIt', '404'],
    ] as const)
      assert.equal(leads(outcome, { method: 'POST', target }), expected, target);
    const config = outcome.translation.backends.find(({ name }) => name === `${V1}:h2c`)!;
    assert.deepEqual([config.endpoints.protocol, config.source], ['h2c', { driver: 'static', servers: [] }]);
  });
});

describe('backends', () => {
  const one = (backendRefs: object[], objects = {}) =>
    translated({ httpRoutes: [httpRoute('r', [{ backendRefs: backendRefs as never }])], ...objects });

  test('HTTPRouteWeight', () => {
    const outcome = one([
      { ...v1, weight: 70 },
      { ...v2, weight: 30 },
      { ...v3, weight: 0 },
    ]);
    assert.equal(leads(outcome, {}), `${V1} 70, ${V2} 30, ${V3} 0`);
  });

  test('a Service that is named twice has both weights', () => {
    assert.equal(leads(one([{ ...v1, weight: 2 }, v1]), {}), `${V1} 3`);
  });

  const cases: [string, object[], object, string, string][] = [
    [
      'HTTPRouteInvalidBackendRefUnknownKind',
      [{ group: 'unknownkind.example.com', kind: 'NonExistent', name: 'x' }],
      {},
      'InvalidKind',
      'unresolved',
    ],
    ['HTTPRouteInvalidNonExistentBackendRef', [{ name: 'none', port: 8080 }], {}, 'BackendNotFound', 'unresolved'],
    ['a port that the Service does not have', [{ name: 'v1', port: 9 }], {}, 'BackendNotFound', 'unresolved'],
    [
      'HTTPRouteInvalidCrossNamespaceBackendRef',
      [{ ...v1, namespace: 'web' }],
      { services: [service('web/v1')] },
      'RefNotPermitted',
      'unresolved',
    ],
    [
      'HTTPRoutePartiallyInvalidViaInvalidReferenceGrant',
      [v1, { ...v2, namespace: 'web' }],
      { services: [service('web/v2')] },
      'RefNotPermitted',
      `${V1}, unresolved`,
    ],
    ['HTTPRouteAllBackendsWeightZero', [{ ...v1, weight: 0 }], {}, '', 'unresolved'],
    ['HTTPRouteNoBackendRefs', [], {}, '', 'unresolved'],
    [
      'a UDP port',
      [{ name: 'udp', port: 53 }],
      { services: [service('udp', [{ port: 53, protocol: 'UDP' }])] },
      'UnsupportedProtocol',
      'unresolved',
    ],
  ];
  for (const [name, references, objects, reason, expected] of cases) {
    test(name, () => {
      const outcome = one(references, objects);
      assert.equal(outcome.route('r'), reason === '' ? OK : `Accepted !ResolvedRefs/${reason}`);
      assert.equal(leads(outcome, {}), expected);
      const standIn = outcome.translation.backends.find((backend) => backend.name === 'unresolved')!;
      assert.equal(standIn.wake.answers[0]!.status, 500);
      assert.equal(outcome.listener('edge', 'http').at(-1), '1');
    });
  }

  test('HTTPRouteReferenceGrant, and what it does not say', () => {
    const from = { group: GATEWAY_GROUP, kind: 'HTTPRoute', namespace: 'infra' };
    const at = (grants: Parameters<typeof grant>[]) =>
      one([{ ...v1, namespace: 'web' }], {
        services: [service('web/v1')],
        referenceGrants: grants.map((parts) => grant(...parts)),
      });
    const to = { group: '', kind: 'Service' };
    assert.equal(at([['web/g', [from], [to]]]).route('r'), OK);
    assert.equal(at([['web/g', [from], [{ ...to, name: 'v1' }]]]).route('r'), OK);
    for (const wrong of [
      ['infra/g', [from], [to]],
      ['web/g', [{ ...from, kind: 'GRPCRoute' }], [to]],
      ['web/g', [{ ...from, group: '' }], [to]],
      ['web/g', [{ ...from, namespace: 'web' }], [to]],
      ['web/g', [from], [{ ...to, name: 'v2' }]],
      ['web/g', [from], [{ ...to, kind: 'Secret' }]],
      ['web/g', [from], [{ ...to, group: 'x' }]],
    ] as Parameters<typeof grant>[])
      assert.equal(at([wrong]).route('r'), 'Accepted !ResolvedRefs/RefNotPermitted', JSON.stringify(wrong));
  });

  test('HTTPRouteBackendProtocolH2C, WebSocket, TLS', () => {
    const outcome = one(
      [1, 2, 3, 4].map((port) => ({ name: 'many', port })),
      {
        services: [
          service('many', [
            { port: 1, name: 'a', appProtocol: 'kubernetes.io/h2c' },
            { port: 2, name: 'b', appProtocol: 'kubernetes.io/ws' },
            { port: 3, name: 'c', appProtocol: 'https' },
            { port: 4, name: 'd', appProtocol: 'example.com/x' },
          ]),
        ],
      },
    );
    assert.deepEqual(
      outcome.translation.backends.map(({ endpoints, tls }) => [endpoints.protocol, tls?.serverName ?? null]),
      [
        ['h2c', null],
        ['http1', null],
        ['http1', 'many.infra.svc'],
        ['http1', null],
      ],
    );
  });

  test('a Backend stands for its Service, port by port, so that it sleeps behind the route', () => {
    const backends = [{ namespace: 'infra', name: 'shop', service: 'many', backend: 'infra/shop', ports: ['admin'] }];
    const services = [
      service('many', [
        { port: 1, name: 'web' },
        { port: 2, name: 'admin' },
      ]),
    ];
    const outcome = one(
      [
        { name: 'many', port: 1 },
        { name: 'many', port: 2 },
      ],
      { backends, services },
    );
    assert.equal(leads(outcome, {}), 'infra/shop, infra/shop:admin');
    assert.deepEqual(outcome.translation.backends, []);
    const named = (reference: object) =>
      leads(one([{ group: GROUP, kind: 'Backend', name: 'shop', ...reference }], { backends, services }), {});
    assert.equal(named({}), 'infra/shop');
    assert.equal(named({ port: 2 }), 'infra/shop:admin');
    assert.equal(named({ port: 3 }), 'unresolved');
    assert.equal(named({ name: 'none' }), 'unresolved');
  });

  test('GRPCRouteAllBackendsWeightZero and invalid references answer UNAVAILABLE', () => {
    for (const reference of [
      { ...v1, weight: 0 },
      { name: 'none', port: 1 },
    ]) {
      const outcome = translated({ grpcRoutes: [grpcRoute('g', [{ backendRefs: [reference] }])] });
      assert.equal(leads(outcome, { method: 'POST', target: '/a/b' }), 'unresolved-grpc');
      assert.equal(outcome.translation.backends[0]!.wake.answers[0]!.status, 503);
    }
  });
});

describe('filters and timeouts', () => {
  const filtersOf = (filters: object[], rule: object = { backendRefs: [v1] }, objects = {}) => {
    const outcome = translated({ httpRoutes: [httpRoute('r', [{ filters: filters as never, ...rule }])], ...objects });
    return { outcome, filters: outcome.translation.routes[0]?.rules[0]?.filters ?? [], status: outcome.route('r') };
  };

  test('HTTPRouteRequestHeaderModifier, ResponseHeaderModifier', () => {
    const change = {
      set: [{ name: 'X-Set', value: 'a' }],
      add: [{ name: 'X-Add', value: 'b,c' }],
      remove: ['X-Remove'],
    };
    const { filters, status } = filtersOf([
      { type: 'RequestHeaderModifier', requestHeaderModifier: change },
      { type: 'ResponseHeaderModifier', responseHeaderModifier: { set: change.set } },
    ]);
    assert.equal(status, OK);
    assert.deepEqual(filters, [
      { type: 'requestHeaders', options: { set: { 'X-Set': 'a' }, add: { 'X-Add': ['b,c'] }, remove: ['X-Remove'] } },
      { type: 'responseHeaders', options: { set: { 'X-Set': 'a' }, add: {}, remove: [] } },
    ]);
  });

  test('HTTPRouteRewriteHost, RewritePath', () => {
    const { filters, status } = filtersOf(
      [
        {
          type: 'URLRewrite',
          urlRewrite: { hostname: 'one.example.org', path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/x' } },
        },
      ],
      { matches: [{ path: { type: 'PathPrefix', value: '/p' } }], backendRefs: [v1] },
    );
    assert.equal(status, OK);
    assert.deepEqual(filters, [{ type: 'rewrite', options: { host: 'one.example.org', path: { prefix: '/x' } } }]);
  });

  test('HTTPRouteRedirectHostAndStatus, Path, Port, Scheme: without a scheme it is the listener’s port', () => {
    const redirect = (requestRedirect: object) =>
      filtersOf(
        [{ type: 'RequestRedirect', requestRedirect }],
        {},
        { gateways: [gateway('edge', [listener(), listener({ name: 'too', port: 8000 })])] },
      );
    const both = redirect({ hostname: 'example.org' });
    assert.equal(both.status, OK);
    assert.deepEqual(
      both.outcome.translation.routes.map(({ listeners, rules }) => [
        listeners,
        rules[0]!.filters[0]!.options,
        rules[0]!.backends,
      ]),
      [
        [['http-80'], { host: 'example.org', port: 80, status: 302 }, []],
        [['http-8000'], { host: 'example.org', port: 8000, status: 302 }, []],
      ],
    );
    const secure = redirect({
      scheme: 'https',
      statusCode: 308,
      path: { type: 'ReplaceFullPath', replaceFullPath: '/y' },
    });
    assert.deepEqual(
      secure.outcome.translation.routes.map(({ listeners }) => listeners),
      [['http-80', 'http-8000']],
    );
    assert.deepEqual(secure.filters[0]!.options, { scheme: 'https', path: { full: '/y' }, status: 308 });
    assert.deepEqual(redirect({ scheme: 'http', port: 8001 }).filters[0]!.options, {
      scheme: 'http',
      port: 8001,
      status: 302,
    });
  });

  test('HTTPRouteRequestMirror, MultipleMirrors, PercentageMirror; one that is not there is left out', () => {
    const mirror = (more: object, name = 'v2') => ({
      type: 'RequestMirror',
      requestMirror: { backendRef: { name, port: 8080 }, ...more },
    });
    const { filters, status, outcome } = filtersOf([
      mirror({}),
      mirror({ percent: 20 }),
      mirror({ fraction: { numerator: 1, denominator: 8 } }, 'v3'),
      mirror({ percent: 0 }),
      mirror({}, 'none'),
    ]);
    assert.equal(status, 'Accepted !ResolvedRefs/BackendNotFound');
    assert.deepEqual(
      filters.map(({ options }) => options),
      [
        { backend: V2, percent: 100 },
        { backend: V2, percent: 20 },
        { backend: V3, percent: 12.5 },
      ],
    );
    assert.deepEqual(
      outcome.translation.backends.map(({ name }) => name),
      [V1, V2, V3],
    );
  });

  test('HTTPRouteCORS', () => {
    const cors = {
      allowOrigins: ['https://www.example.com', 'https://*.foo.com'],
      allowMethods: ['GET', 'PUT'],
      allowCredentials: true,
      allowHeaders: ['X-A'],
    };
    const { filters, status } = filtersOf([{ type: 'CORS', cors }]);
    assert.equal(status, OK);
    assert.deepEqual(filters[0]!.options, {
      origins: ['https://www.example.com', 'https://*.foo.com'],
      methods: ['GET', 'PUT'],
      headers: ['X-A'],
      exposed: [],
      credentials: true,
      maxAgeSeconds: 5,
    });
    assert.equal(
      filtersOf([{ type: 'CORS', cors: { allowOrigins: ['*'], allowCredentials: true } }]).status,
      '!Accepted/UnsupportedValue ResolvedRefs',
    );
  });

  test('HTTPRouteTimeoutRequest, TimeoutBackendRequest', () => {
    const { outcome } = filtersOf([], { backendRefs: [v1], timeouts: { request: '1m30s', backendRequest: '500ms' } });
    assert.deepEqual(outcome.translation.routes[0]!.rules[0]!.timeouts, {
      requestMs: 90_000,
      perTryMs: 500,
      idleMs: 0,
    });
    assert.equal(
      filtersOf([], { backendRefs: [v1], timeouts: { request: '1 minute' } }).status,
      '!Accepted/UnsupportedValue ResolvedRefs',
    );
  });

  test('HTTPRouteBackendRequestHeaderModifier: of the only backend; of one of several the rule is not used', () => {
    const filters = [{ type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'a', value: 'b' }] } }];
    assert.equal(filtersOf([], { backendRefs: [{ ...v1, filters }] }).filters.length, 1);
    assert.equal(
      filtersOf([], { backendRefs: [{ ...v1, filters }, v2] }).status,
      '!Accepted/UnsupportedValue ResolvedRefs',
    );
  });

  test('rules that can not be used are dropped, and said so; the others are in force', () => {
    const bad = [
      { matches: [{ path: { type: 'RegularExpression', value: '(?=x)' } }] },
      { matches: [{ headers: [{ name: 'a', type: 'RegularExpression', value: '(' }] }] },
      { filters: [{ type: 'Unknown' }] },
      {
        filters: [
          { type: 'RequestHeaderModifier', requestHeaderModifier: { set: [{ name: 'Content-Length', value: '1' }] } },
        ],
      },
      {
        matches: [{ path: { type: 'Exact', value: '/x' } }],
        filters: [
          { type: 'URLRewrite', urlRewrite: { path: { type: 'ReplacePrefixMatch', replacePrefixMatch: '/' } } },
        ],
      },
    ];
    const outcome = translated({
      httpRoutes: [httpRoute('r', [...bad.map((rule) => ({ ...rule, backendRefs: [v2] })), { backendRefs: [v1] }])],
    });
    assert.equal(outcome.route('r'), `${OK} PartiallyInvalid/UnsupportedValue`);
    assert.equal(outcome.translation.routes[0]!.rules.length, 1);
    const [status] = outcome.translation.statuses.slice(-1);
    const message = 'parents' in status!.status ? status!.status.parents[0]!.conditions[2]!.message : '';
    assert.match(
      message,
      /^Dropped Rule\(s\) rules\[0\]: .* rules\[1\]: .* rules\[2\]: .* rules\[3\]: .* rules\[4\]: /,
    );
  });

  test('ExtensionRef: a RouteFilter as in dormouse.yaml; without it nothing goes on', () => {
    const extension = (name: string, kind = 'RouteFilter') => [
      { type: 'ExtensionRef', extensionRef: { group: GROUP, kind, name } },
    ];
    const routeFilters = [
      routeFilter('gzip', { compress: { encodings: ['gzip'] } }),
      routeFilter('bad', { compress: { nonsense: 1 } }),
      routeFilter('ask', { forwardAuth: { backend: 'auth', path: '/check' } }),
      routeFilter('file', { errorPages: { pages: [{ status: 404, file: '/etc/passwd' }] } }),
    ];
    const backends = [{ namespace: 'infra', name: 'auth', service: null, backend: 'infra/auth', ports: [] }];
    const at = (name: string, kind?: string) =>
      filtersOf(extension(name, kind), { backendRefs: [v1] }, { routeFilters, backends });
    assert.equal(at('gzip').filters[0]!.type, 'compress');
    assert.equal((at('ask').filters[0]!.options as { backend: string }).backend, 'infra/auth');
    assert.equal(at('bad').status, '!Accepted/UnsupportedValue ResolvedRefs');
    assert.equal(at('file').status, '!Accepted/UnsupportedValue ResolvedRefs');
    for (const [name, kind, reason] of [
      ['none', 'RouteFilter', 'BackendNotFound'],
      ['gzip', 'Other', 'InvalidKind'],
    ] as const) {
      const { outcome, status } = at(name, kind);
      assert.equal(status, `Accepted !ResolvedRefs/${reason}`);
      assert.equal(leads(outcome, {}), 'unresolved');
    }
  });
});

describe('TLSRoute and TCPRoute', () => {
  const tls = (name: string, more = {}) =>
    listener({ name, port: 443, protocol: 'TLS', tls: { mode: 'Passthrough' }, ...more });

  test('TLSRouteSimpleSameNamespace, and hosts of the most specific listener', () => {
    const outcome = translated({
      gateways: [
        gateway('edge', [tls('wild', { hostname: '*.example.com' }), tls('exact', { hostname: 'a.example.com' })]),
      ],
      tlsRoutes: [
        rawRoute('TLSRoute', 'r', [v1], {
          hostnames: ['b.example.com', '*.example.com'],
          parents: [{ name: 'edge', sectionName: 'wild' }],
        }),
        rawRoute('TLSRoute', 'broken', [{ name: 'none', port: 1 }], {
          hostnames: ['c.example.com'],
          parents: [{ name: 'edge', sectionName: 'wild' }],
        }),
      ],
    });
    assert.equal(outcome.route('r'), OK);
    assert.equal(outcome.route('broken'), 'Accepted !ResolvedRefs/BackendNotFound');
    const routes = new SniRoutes(outcome.translation.routes, 'tls-443');
    for (const [name, expected] of [
      ['b.example.com', `${V1}:tcp`],
      ['x.y.example.com', `${V1}:tcp`],
      ['c.example.com', 'unresolved-raw'],
      ['a.example.com', 'unresolved-raw'],
      ['example.com', undefined],
    ] as const)
      assert.equal(routes.find(name)?.backends[0]?.name, expected, name);
    assert.ok(outcome.translation.backends.every(({ endpoints }) => endpoints.protocol === 'tcp'));
  });

  test('a TCP listener leads to the backend of the oldest route', () => {
    const outcome = translated({
      gateways: [
        gateway('edge', [
          listener({ name: 'db', port: 5432, protocol: 'TCP' }),
          listener({ name: 'unused', port: 5433, protocol: 'TCP' }),
        ]),
      ],
      tcpRoutes: [
        rawRoute('TCPRoute', 'young', [v2], { ageSeconds: 1, parents: [{ name: 'edge', sectionName: 'db' }] }),
        rawRoute('TCPRoute', 'old', [v1, { ...v2, weight: 0 }], {
          ageSeconds: 2,
          parents: [{ name: 'edge', sectionName: 'db' }],
        }),
      ],
    });
    assert.equal(outcome.route('old'), OK);
    assert.equal(outcome.route('young'), '!Accepted/NotAllowedByListeners ResolvedRefs');
    assert.deepEqual(
      outcome.translation.listeners.map(({ name, backend }) => [name, backend]),
      [['tcp-5432', `${V1}:tcp`]],
    );
    assert.equal(outcome.listener('edge', 'db'), 'Accepted ResolvedRefs Programmed [TCPRoute] 1');
    const two = translated({
      gateways: [gateway('edge', [listener({ protocol: 'TCP' })])],
      tcpRoutes: [rawRoute('TCPRoute', 'r', [v1, v2])],
    });
    assert.equal(two.route('r'), '!Accepted/UnsupportedValue ResolvedRefs');
  });
});

describe('the translation', () => {
  const many = (count: number) =>
    snapshot({
      gateways: Array.from({ length: 20 }, (_one, i) => gateway(`g${i}`, [listener({ hostname: `*.g${i}.test` })])),
      services: Array.from({ length: count }, (_one, i) => service(`s${i}`)),
      httpRoutes: Array.from({ length: count }, (_one, i) =>
        httpRoute(`r${i}`, [{ backendRefs: [{ name: `s${i}`, port: 8080 }] }], {
          parents: [{ name: `g${i % 20}` }],
          hostnames: [`h${i}.g${i % 20}.test`],
        }),
      ),
    });

  test('is the same whatever the order of the lists', () => {
    const given = many(50);
    const turned = Object.fromEntries(
      Object.entries(given).map(([key, list]) => [key, list.toReversed()]),
    ) as unknown as typeof given;
    assert.deepEqual(translate(turned, settings()), translate(given, settings()));
  });

  test('takes time that grows with the number of objects', () => {
    const took = (count: number): number => {
      const given = many(count);
      translate(given, settings());
      const from = performance.now();
      translate(given, settings());
      return performance.now() - from;
    };
    const small = Math.max(took(500), 2);
    assert.ok(took(4000) < small * 8 * 6);
  });
});
