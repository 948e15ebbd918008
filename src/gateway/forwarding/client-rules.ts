import type { ClientRules as ClientRulesConfig } from '../../model/config.ts';
import { DormouseError } from '../../model/errors.ts';
import { AddressSet } from './address-set.ts';

/** Which clients are let in: what `clients: { allow, deny }` of a listener, route or backend says. Compiled once per configuration. */
export class ClientRules {
  readonly #allow: AddressSet | null;
  readonly #deny: AddressSet | null;
  readonly #and: ClientRules | null;

  private constructor(allow: AddressSet | null, deny: AddressSet | null, and: ClientRules | null) {
    this.#allow = allow;
    this.#deny = deny;
    this.#and = and;
  }

  /**
   * null: everybody is let in, so that nothing has to be asked. `key`: place in the configuration, for errors. `and`: rules that have to agree as well. Throws
   * DORMOUSE_CLIENT_RULES for an entry that is no address and no CIDR block.
   */
  static compile(config: ClientRulesConfig, key: string, and: ClientRules | null = null): ClientRules | null {
    const allow = config.allow.length === 0 ? null : setOf(config.allow, `${key}.allow`);
    const deny = config.deny.length === 0 ? null : setOf(config.deny, `${key}.deny`);
    return allow === null && deny === null ? and : new ClientRules(allow, deny, and);
  }

  /** `address`: in the form of `plainAddress`, resolved as for X-Forwarded-For (ClientAddress.resolve). `deny` wins; what is no address is let in only where nothing is allowed by name. */
  allows(address: string): boolean {
    if (this.#deny !== null && this.#deny.has(address)) return false;
    if (this.#allow !== null && !this.#allow.has(address)) return false;
    return this.#and === null || this.#and.allows(address);
  }
}

function setOf(blocks: readonly string[], key: string): AddressSet {
  return new AddressSet(
    blocks,
    (block) =>
      new DormouseError(
        'DORMOUSE_CLIENT_RULES',
        `${key}: "${block}" is no address and no CIDR block; write e.g. 10.0.0.0/8 or 2001:db8::/32`,
        { userFault: true },
      ),
  );
}
