/** The Gateway API: its objects become the gateways' configuration, and are told in their statuses what became of them. */
export { certificateChecks, documentedDefaults, patternProblem, podPorts } from './defaults.ts';
export { translate } from './translate.ts';
export type {
  Defaults,
  GatewayApiSnapshot,
  GuardedBackend,
  ServiceBackend,
  StatusOf,
  Translation,
  TranslationSettings,
} from './translation.ts';
export { GatewayApi } from './reconciler.ts';
export type { GatewayApiDeps } from './reconciler.ts';
export { ServiceEndpoints } from './service-endpoints.ts';
