/** A plugin's strategy: when it fails, round-robin picks for that request. */
import type { BalanceConfig } from '../model/config.ts';
import type { Logger } from '../model/ports.ts';
import type { BalancedEndpoint, PickContext, Strategy, StrategyFactory } from '../gateway/balancing/strategy.ts';
import type { PluginStrategy, StrategyDefinition } from './plugin.ts';
import type { PluginFailures, PluginPlace } from './plugin-failures.ts';

/** `otherwise`: what picks when it can't. */
export function guardedStrategy(
  place: PluginPlace,
  definition: StrategyDefinition,
  otherwise: StrategyFactory,
  deps: { failures: PluginFailures; logger: Logger },
): StrategyFactory {
  return <E extends BalancedEndpoint>(balance: BalanceConfig): Strategy<E> => {
    const logger = deps.logger.child({ plugin: place.plugin, strategy: place.part });
    let made: Strategy<E> | null = null;
    try {
      // It is given endpoints of the gateway and picks among them: what type they have is nothing that it can change.
      made = definition.create((balance.options ?? {}) as never, {
        logger,
      }) as PluginStrategy as unknown as Strategy<E>;
    } catch (error) {
      deps.failures.count(place, 'create', error);
    }
    return new GuardedStrategy(made, otherwise<E>(balance), place, deps.failures);
  };
}

class GuardedStrategy<E extends BalancedEndpoint> implements Strategy<E> {
  readonly #made: Strategy<E> | null;
  readonly #otherwise: Strategy<E>;
  readonly #place: PluginPlace;
  readonly #failures: PluginFailures;
  #endpoints: readonly E[] = [];
  /** It does not know the present endpoints. */
  #behind = false;

  constructor(made: Strategy<E> | null, otherwise: Strategy<E>, place: PluginPlace, failures: PluginFailures) {
    this.#made = made;
    this.#otherwise = otherwise;
    this.#place = place;
    this.#failures = failures;
  }

  update(endpoints: readonly E[]): void {
    this.#endpoints = endpoints;
    this.#otherwise.update(endpoints);
    try {
      this.#made?.update(endpoints);
      this.#behind = false;
    } catch (error) {
      this.#behind = true;
      this.#failures.count(this.#place, 'update', error);
    }
  }

  pick(context: PickContext, exclude: readonly E[] | null): E | null {
    if (this.#made !== null && !this.#behind) {
      try {
        const picked = this.#made.pick(context, exclude);
        if (picked !== null) {
          if (this.#endpoints.includes(picked) && exclude?.includes(picked) !== true) return picked;
          throw new TypeError('it picked an endpoint that it was not offered');
        }
      } catch (error) {
        this.#failures.count(this.#place, 'pick', error);
      }
    }
    // Also when it found none: that is so only when there is none.
    return this.#otherwise.pick(context, exclude);
  }
}
