import { isDeepStrictEqual } from 'node:util';
import type { GatewayConfig } from '../link/messages.ts';
import type { ListenerConfig } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';
import { AddressSet } from './forwarding/address-set.ts';
import { ClientRules } from './forwarding/client-rules.ts';
import { SniRoutes } from './routing/sni-routes.ts';
import type { ListenerTls, ListenerTlsDeps } from './tls/listener-tls.ts';

/** What one listener does with a connection, compiled from one version of the configuration. */
export interface ListenerRules {
  config: ListenerConfig;
  /** Those of `security` and of the listener together; null: everybody may connect. */
  clients: ClientRules | null;
  /** Peers whose connections begin with a PROXY header; null: nobody's. */
  proxies: AddressSet | null;
  /** https only. */
  tls: ListenerTls | null;
  /** tls only. */
  sniRoutes: SniRoutes | null;
  /** A connection is HTTP from its first byte on, and nothing is asked about its peer. */
  plain: boolean;
}

/**
 * The rules of every listener of a configuration. `kept`: those of a listener that goes on with another configuration, so that its certificates need not be read again when nothing
 * about them has changed; null for others. Rejects with a DormouseError; nothing is left open then. Call `close` when they don't come into force.
 */
export async function prepareListeners(
  config: GatewayConfig,
  kept: (listener: ListenerConfig) => ListenerRules | null,
  deps: ListenerTlsDeps,
): Promise<{ rules: Map<string, ListenerRules>; close: () => void }> {
  const rules = new Map<string, ListenerRules>();
  const opened: ListenerTls[] = [];
  const close = (): void => {
    for (const tls of opened) tls.close();
  };
  try {
    for (const listener of config.listeners) {
      let tls: ListenerTls | null = null;
      if (listener.protocol === 'https' && listener.tls !== null) {
        tls = kept(listener)?.tls ?? null;
        if (tls !== null && isDeepStrictEqual(tls.config, listener.tls)) void tls.check();
        else {
          // Loaded only where it is used: it costs memory in each worker.
          const { ListenerTls } = await import('./tls/listener-tls.ts');
          tls = await ListenerTls.open(listener.name, listener.tls, deps);
          opened.push(tls);
        }
      }
      rules.set(listener.name, compileListener(listener, config, tls));
    }
    return { rules, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Throws a DormouseError for an entry that is no address and no CIDR block. */
function compileListener(config: ListenerConfig, of: GatewayConfig, tls: ListenerTls | null): ListenerRules {
  const { acceptFrom } = config.proxyProtocol;
  const key = `listeners.${config.name}`;
  const everywhere = ClientRules.compile(of.security.clients, 'security.clients');
  const clients = ClientRules.compile(config.clients, `${key}.clients`, everywhere);
  const proxies =
    acceptFrom.length === 0
      ? null
      : new AddressSet(
          acceptFrom,
          (block) =>
            new DormouseError(
              'DORMOUSE_CLIENT_RULES',
              `${key}.proxyProtocol.acceptFrom: "${block}" is no address and no CIDR block; write e.g. 10.0.0.0/8`,
              { userFault: true },
            ),
        );
  return {
    config,
    clients,
    proxies,
    tls,
    sniRoutes: config.protocol === 'tls' ? new SniRoutes(of.routes, config.name) : null,
    plain: config.protocol === 'http' && clients === null && proxies === null,
  };
}
