/** The Gateway API: its objects become the gateways' configuration, and are told in their statuses what became of them. */
export { certificateChecks, documentedDefaults, filterCompiler, patternProblem, unprivilegedPort } from './defaults.ts';
export { translate } from './translate.ts';
export type {
  Compiled,
  Defaults,
  GatewayApiSnapshot,
  GuardedBackend,
  ServiceBackend,
  StatusOf,
  Translation,
  TranslationSettings,
} from './translation.ts';
