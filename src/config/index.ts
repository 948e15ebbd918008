/** The configuration file: text to the compiled, frozen model, with errors that say where and what next. */
export type { Additions } from './additions.ts';
export { ConfigError, renderIssue } from './config-error.ts';
export type { ConfigIssue } from './config-error.ts';
export { toGatewayConfig } from './gateway-config.ts';
export { jsonSchema } from './json-schema.ts';
export { loadConfig } from './load.ts';
export type { LoadOptions } from './load.ts';
export { ObjectCompiler } from './objects/object-compiler.ts';
export type {
  CompiledBackend,
  CompiledFilter,
  Refused,
  RoutePolicyConfig,
  SpecObject,
} from './objects/object-compiler.ts';
export { renderObjectProblem } from './objects/problem.ts';
export type { ObjectProblem } from './objects/problem.ts';
export { parseConfig } from './parse.ts';
export type { ParseOptions, Part } from './parse.ts';
export type { LoadPlugins, PluginLoading } from './plugins-named.ts';
export type { ConfigRegistry, PluginParts } from './schema/file.ts';
