/** TLSRoutes and TCPRoutes: where connections go that nobody looks into. */
import type { RuleConfig } from '../../model/config.ts';
import type { BackendReferences } from './backend-references.ts';
import type { Problem } from './gateways.ts';
import type { RawRoute } from './objects.ts';
import type { CompiledRule } from './rules.ts';
import type { TranslationSettings } from './translation.ts';

const EVERYTHING = { path: { kind: 'prefix', value: '/' }, methods: [], headers: [], query: [] } as const;

/** The first rule is the only one that counts (the schema allows no other). */
export function rawRules(
  route: RawRoute,
  references: BackendReferences,
  { defaults }: TranslationSettings,
): CompiledRule[] {
  return (route.spec.rules ?? []).slice(0, 1).map(({ backendRefs = [] }): CompiledRule => {
    const unresolved: Problem[] = [];
    const weights = new Map<string, number>();
    for (const reference of backendRefs) {
      const from = { kind: route.kind, namespace: route.metadata.namespace ?? '' };
      const resolved = references.resolve(reference, from, 'raw');
      if ('problem' in resolved) unresolved.push(resolved.problem);
      const name = 'problem' in resolved ? references.standIn('raw') : resolved.name;
      weights.set(name, (weights.get(name) ?? 0) + (reference.weight ?? 1));
    }
    let backends = [...weights].map(([name, weight]) => ({ name, weight }));
    if (backends.every(({ weight }) => weight === 0)) backends = [{ name: references.standIn('raw'), weight: 1 }];
    if (route.kind === 'TCPRoute' && backends.filter(({ weight }) => weight > 0).length > 1) {
      return { invalid: 'backendRefs: connections of a TCP listener go to one backend; name one of them' };
    }
    const { path, methods, headers, query } = EVERYTHING;
    const rule: RuleConfig = {
      ...defaults.rule,
      matches: [{ path: { ...path }, methods: [...methods], headers: [...headers], query: [...query] }],
      filters: [],
      backends,
    };
    return { rule, dependsOnPort: false, unresolved };
  });
}
