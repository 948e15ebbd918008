import type { FilterConfig, MatchConfig, RouteConfig, RuleConfig } from '../../model/config.ts';

/** Where a match leads: one per match of a rule, since a filter may depend on the match (prefix rewrite). Made when the configuration changes. */
export class RuleTarget {
  readonly route: string;
  readonly routeIndex: number;
  readonly ruleIndex: number;
  readonly filters: FilterConfig[];
  readonly backends: { name: string; weight: number }[];
  /** 0: nothing may be sent anywhere, so only a filter can answer. */
  readonly totalWeight: number;
  readonly rule: RuleConfig;
  /** Who may ask on this route. */
  readonly clients: RouteConfig['clients'];
  readonly match: MatchConfig;
  /** The gateway's own slot: what it compiles for this target, set once before the router is used. */
  data: unknown;

  constructor(route: RouteConfig, routeIndex: number, ruleIndex: number, match: MatchConfig) {
    const rule = route.rules[ruleIndex]!;
    this.route = route.name;
    this.routeIndex = routeIndex;
    this.ruleIndex = ruleIndex;
    this.filters = rule.filters;
    this.backends = rule.backends;
    this.totalWeight = rule.backends.reduce((sum, backend) => sum + backend.weight, 0);
    this.rule = rule;
    this.clients = route.clients;
    this.match = match;
    this.data = undefined;
  }
}
