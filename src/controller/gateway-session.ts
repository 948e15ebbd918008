/** One attached gateway: its end of the link, whether it knows the configuration, and which answers it owes. */
import type { Link } from '../link/link.ts';
import {
  LINK_VERSION,
  type DownMessage,
  type GatewayConfig,
  type GatewayStatus,
  type UpMessage,
} from '../link/messages.ts';
import type { MetricFamily } from '../model/metrics.ts';
import type { Peer } from './backend-host.ts';
import type { PortPeer } from './port-peer.ts';

export type ConfigAnswer = { ok: true } | { ok: false; reason: string };
export interface Collected {
  metrics: MetricFamily[];
  status: GatewayStatus;
}

export class GatewaySession implements Peer {
  readonly id: string;
  readonly #link: Link<DownMessage, UpMessage>;
  /** Said hello in our version of the protocol. */
  greeted = false;
  /** Was sent a configuration, so that it is told of backends and counted in drains. */
  configured = false;
  closed = false;
  /** It said that it ends soon: nothing new may rely on it. */
  leaving = false;
  /** The newest configuration that it has said to have in force. */
  inForce = 0;
  /** Further ports of backends, by the name that they have here. */
  readonly ports = new Map<string, PortPeer>();
  readonly #configAnswers = new Map<number, (answer: ConfigAnswer) => void>();
  readonly #collections = new Map<number, (collected: Collected | null) => void>();

  constructor(id: string, link: Link<DownMessage, UpMessage>) {
    this.id = id;
    this.#link = link;
  }

  send(message: DownMessage): void {
    if (!this.closed) this.#link.send(message);
  }

  /** Null when it speaks our version, otherwise what is wrong. */
  hello(linkVersion: number): string | null {
    if (linkVersion !== LINK_VERSION)
      return `it speaks version ${linkVersion} of the link, this controller version ${LINK_VERSION}`;
    this.greeted = true;
    return null;
  }

  /** Sends the configuration. `answered` is called once, also when the link closes (as a yes: it serves nobody any more). */
  configure(version: number, config: GatewayConfig, answered: (answer: ConfigAnswer) => void): void {
    this.configured = true;
    this.#configAnswers.set(version, answered);
    this.send({ type: 'configure', version, config });
  }

  configAnswer(version: number, answer: ConfigAnswer): void {
    if (answer.ok) this.inForce = Math.max(this.inForce, version);
    // An answer to a later version says that the earlier ones are history.
    for (const [asked, answered] of [...this.#configAnswers]) {
      if (asked > version) continue;
      this.#configAnswers.delete(asked);
      answered(asked === version ? answer : { ok: true });
    }
  }

  collect(id: number, answered: (collected: Collected | null) => void): void {
    this.#collections.set(id, answered);
    this.send({ type: 'collect', id });
  }

  collected(id: number, answer: Collected | null): void {
    const answered = this.#collections.get(id);
    this.#collections.delete(id);
    answered?.(answer);
  }

  close(): void {
    this.closed = true;
    this.configured = false;
    this.#link.close();
    for (const answered of this.#configAnswers.values()) answered({ ok: true });
    this.#configAnswers.clear();
    for (const answered of this.#collections.values()) answered(null);
    this.#collections.clear();
  }
}
