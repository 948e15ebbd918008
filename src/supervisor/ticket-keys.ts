import { randomBytes } from 'node:crypto';

/** Name, HMAC key and AES key of a session ticket (RFC 5077 section 4), as OpenSSL wants them. */
export const TICKET_KEYS_BYTES = 48;

/**
 * How long one set of keys is used, ms. Whoever gets hold of the keys can read the connections that took up a session in that time; a client whose session was sealed with the former
 * ones makes a full handshake, once.
 */
const ROTATE_MS = 12 * 3_600_000;

/** The keys with which all workers seal the sessions of TLS clients, so that any of them, and a replacement of one that died, takes them up. They exist in memory only. */
export class TicketKeys {
  readonly #tell: (keys: string) => void;
  readonly #timer: NodeJS.Timeout;

  /** `tell` is called with new keys (base64), at once and after every `rotateMs`. */
  constructor(tell: (keys: string) => void, rotateMs = ROTATE_MS) {
    this.#tell = tell;
    this.#timer = setInterval(() => this.#rotate(), rotateMs);
    this.#timer.unref();
    this.#rotate();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #rotate(): void {
    this.#tell(randomBytes(TICKET_KEYS_BYTES).toString('base64'));
  }
}
