import { isDeepStrictEqual } from 'node:util';
import type { GatewayBackendConfig } from '../../link/messages.ts';
import type { Logger } from '../../model/ports.ts';
import { writeOwnProxyHeader, writeProxyHeader } from '../proxy-protocol/write-header.ts';
import type { EndpointTls } from './endpoint-tls.ts';
import type { EndpointSecurity } from './socket.ts';

/** How connections to the endpoints of each backend begin: TLS and PROXY headers, prepared before a configuration comes into force. */
export class EndpointSecurities {
  /** Of the configuration in force, by backend. */
  private tls: ReadonlyMap<string, EndpointTls> = new Map();
  private readonly of = new WeakMap<GatewayBackendConfig, EndpointSecurity>();
  private readonly logger: Logger;

  constructor(logger: Logger) {
    this.logger = logger;
  }

  /** null: plain TCP. `config`: of a configuration that was prepared. */
  for(config: GatewayBackendConfig): EndpointSecurity | null {
    return this.of.get(config) ?? null;
  }

  /** Reads what these backends need; rejects with a DormouseError, nothing has changed then. Call `commit` when they come into force, else `abandon`. */
  async prepare(backends: readonly GatewayBackendConfig[]): Promise<{ commit: () => void; abandon: () => void }> {
    const next = new Map<string, EndpointTls>();
    const abandon = (): void => {
      for (const [name, tls] of next) if (this.tls.get(name) !== tls) tls.close();
    };
    try {
      for (const config of backends) {
        if (config.tls === null && config.proxyProtocol === 'off') continue;
        let tls: EndpointTls | null = null;
        if (config.tls !== null) {
          const known = this.tls.get(config.name);
          if (known !== undefined && isDeepStrictEqual(known.config, config.tls)) {
            tls = known;
            void known.check();
          } else {
            const { EndpointTls } = await import('./endpoint-tls.ts');
            tls = await EndpointTls.open(config.name, config.tls, this.logger);
          }
          next.set(config.name, tls);
        }
        this.of.set(config, securityOf(tls, config.proxyProtocol));
      }
    } catch (error) {
      abandon();
      throw error;
    }
    return {
      abandon,
      commit: () => {
        for (const [name, tls] of this.tls) if (next.get(name) !== tls) tls.close();
        this.tls = next;
      },
    };
  }

  close(): void {
    for (const tls of this.tls.values()) tls.close();
  }
}

function securityOf(tls: EndpointTls | null, proxyProtocol: 'off' | 'v1' | 'v2'): EndpointSecurity {
  return {
    connectTls: tls === null ? null : tls.connectTls,
    tlsOptions: tls === null ? null : tls.tlsOptions,
    keepSession: tls === null ? null : tls.keepSession,
    proxyHeader:
      proxyProtocol === 'off'
        ? null
        : (source) =>
            source === null
              ? writeOwnProxyHeader(proxyProtocol)
              : writeProxyHeader(proxyProtocol, source.address, source.port, source.localAddress, source.localPort),
  };
}
