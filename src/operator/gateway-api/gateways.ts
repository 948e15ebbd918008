/** Which Gateways are ours, and what of each can be served: classes, addresses, parameters. */
import { byAge, nameOf } from './by-age.ts';
import { condition } from './conditions.ts';
import { EvaluatedListener } from './listener.ts';
import type { Gateway, GatewayClass } from './objects.ts';
import { SUPPORTED_FEATURES } from './supported-features.ts';
import type { GatewayApiSnapshot, NewCondition, StatusOf, TranslationSettings } from './translation.ts';

/** Versions of the API's objects that this was written for. */
const SUPPORTED_VERSION = /^v1\.(?:[0-6])\.\d+$/;
const MAX_ADDRESSES = 16;

export interface Problem {
  reason: string;
  message: string;
}

export interface EvaluatedGateway {
  gateway: Gateway;
  /** Why nothing of it is served; null: it is. */
  refused: Problem | null;
  /** Why it can't be reached at the addresses that it asks for; null: it can. */
  unreachable: Problem | null;
  addresses: { type: string; value: string }[];
  listeners: EvaluatedListener[];
}

/** Statuses of the classes that name this controller. */
export function classStatuses(
  { gatewayClasses, bundleVersions }: GatewayApiSnapshot,
  { controllerName }: TranslationSettings,
): (StatusOf & { kind: 'GatewayClass' })[] {
  const unknown = bundleVersions.filter((version) => !SUPPORTED_VERSION.test(version));
  return byAge(gatewayClasses)
    .filter(({ spec }) => spec.controllerName === controllerName)
    .map((object) => {
      const { generation } = object.metadata;
      const parameters = object.spec.parametersRef;
      const conditions: NewCondition[] = [
        parameters === undefined
          ? condition('Accepted', true, 'Accepted', 'Gateways of this class are served by dormouse', generation)
          : condition(
              'Accepted',
              false,
              'InvalidParameters',
              `parametersRef: this class takes no parameters (${parameters.kind} ${parameters.name}); remove it`,
              generation,
            ),
        unknown.length === 0
          ? condition('SupportedVersion', true, 'SupportedVersion', 'The CRDs are of a supported version', generation)
          : condition(
              'SupportedVersion',
              false,
              'UnsupportedVersion',
              `The CRDs are of version ${unknown.map((version) => version || '(none)').join(', ')}; supported are v1.0 to v1.6. What is known of them is used`,
              generation,
            ),
      ];
      return {
        kind: 'GatewayClass',
        object,
        status: { conditions, supportedFeatures: SUPPORTED_FEATURES.map((name) => ({ name })) },
      };
    });
}

/** The Gateways of our classes, oldest first, without the conflicts among their listeners (ports.ts). */
export function ownGateways(snapshot: GatewayApiSnapshot, settings: TranslationSettings): EvaluatedGateway[] {
  const classes = new Map<string, GatewayClass>();
  for (const one of snapshot.gatewayClasses)
    if (one.spec.controllerName === settings.controllerName) classes.set(one.metadata.name, one);
  return byAge(snapshot.gateways.filter(({ spec }) => classes.has(spec.gatewayClassName))).map((gateway) => {
    const { assigned, refused, unreachable } = addressesOf(gateway, settings);
    return {
      gateway,
      refused: refusal(gateway, classes.get(gateway.spec.gatewayClassName)!) ?? refused,
      unreachable,
      addresses: assigned,
      listeners: gateway.spec.listeners.map((listener) => new EvaluatedListener(gateway, listener)),
    };
  });
}

function refusal({ spec }: Gateway, { spec: ofClass, metadata }: GatewayClass): Problem | null {
  if (ofClass.parametersRef !== undefined) {
    return { reason: 'Invalid', message: `GatewayClass ${metadata.name} is not accepted: look at its status` };
  }
  const parameters = spec.infrastructure?.parametersRef;
  if (parameters === undefined) return null;
  return {
    reason: 'InvalidParameters',
    message: `infrastructure.parametersRef: Gateways of this class take no parameters (${parameters.kind} ${parameters.name}); remove it`,
  };
}

function addressesOf(
  { spec }: Gateway,
  { addresses: known }: TranslationSettings,
): { assigned: { type: string; value: string }[]; refused: Problem | null; unreachable: Problem | null } {
  const asked = spec.addresses ?? [];
  const foreign = asked.find(({ type = 'IPAddress' }) => type !== 'IPAddress' && type !== 'Hostname');
  if (foreign !== undefined) {
    const message = `addresses: ${foreign.type} is not supported; IPAddress and Hostname are`;
    return { assigned: [], refused: { reason: 'UnsupportedAddress', message }, unreachable: null };
  }
  if (known.length === 0) {
    const message =
      'The Service of the gateways has no address yet: a LoadBalancer gives it one, or name addresses in the settings of the operator';
    return { assigned: [], refused: null, unreachable: { reason: 'AddressNotAssigned', message } };
  }
  const assigned = known.filter(
    (address) =>
      asked.length === 0 ||
      asked.some(
        ({ type = 'IPAddress', value = '' }) => type === address.type && (value === '' || value === address.value),
      ),
  );
  const missing = asked.find(
    ({ type = 'IPAddress', value = '' }) =>
      !known.some((address) => address.type === type && (value === '' || value === address.value)),
  );
  const unreachable =
    missing === undefined
      ? null
      : missing.value === undefined || missing.value === ''
        ? {
            reason: 'AddressNotAssigned',
            message: `addresses: the gateways have no ${missing.type ?? 'IPAddress'}; they have ${list(known)}`,
          }
        : {
            reason: 'AddressNotUsable',
            message: `addresses: ${missing.value} is none of the gateways' addresses, which are ${list(known)}`,
          };
  return {
    assigned: assigned.slice(0, MAX_ADDRESSES).map(({ type, value }) => ({ type, value })),
    refused: null,
    unreachable,
  };
}

function list(addresses: readonly { value: string }[]): string {
  return addresses.map(({ value }) => value).join(', ');
}

/** `attached`: accepted routes on each listener. */
export function gatewayStatus(
  { gateway, refused, unreachable, addresses, listeners }: EvaluatedGateway,
  attached: ReadonlyMap<EvaluatedListener, number>,
): StatusOf {
  const { generation } = gateway.metadata;
  const invalid = listeners.filter((listener) => !listener.serves);
  const named = invalid.map(({ spec }) => spec.name).join(', ');
  const conditions: NewCondition[] = [];
  if (refused !== null) {
    conditions.push(
      condition('Accepted', false, refused.reason, refused.message, generation),
      condition('Programmed', false, 'Invalid', refused.message, generation),
    );
  } else {
    const some = invalid.length < listeners.length;
    conditions.push(
      invalid.length === 0
        ? condition('Accepted', true, 'Accepted', 'All listeners are served', generation)
        : condition(
            'Accepted',
            some,
            'ListenersNotValid',
            `Not served: ${named}. Look at their conditions`,
            generation,
          ),
    );
    if (!some) {
      conditions.push(condition('Programmed', false, 'Invalid', 'No listener can be served', generation));
    } else if (unreachable !== null) {
      conditions.push(condition('Programmed', false, unreachable.reason, unreachable.message, generation));
    } else {
      conditions.push(condition('Programmed', true, 'Programmed', `${nameOf(gateway)} is in force`, generation));
    }
  }
  return {
    kind: 'Gateway',
    object: gateway,
    status: {
      addresses: refused === null ? addresses : [],
      conditions,
      listeners: listeners.map((listener) => listener.status(attached.get(listener) ?? 0, refused)),
    },
  };
}
