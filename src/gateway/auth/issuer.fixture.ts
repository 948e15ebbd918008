/** An issuer of tokens for tests: makes keys, signs, and serves its key set over HTTP as the test wants. */
import { createHmac, generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface SigningPair {
  kid: string;
  alg: string;
  privateKey: KeyObject;
  publicKey: KeyObject;
}

export function signingPair(kid: string, alg = 'ES256'): SigningPair {
  const pair = alg.startsWith('ES')
    ? generateKeyPairSync('ec', { namedCurve: { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[alg]! })
    : alg === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { kid, alg, ...pair };
}

export function publicJwk(
  { kid, alg, publicKey }: SigningPair,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig', ...more };
}

export function keySetText(...pairs: SigningPair[]): string {
  return JSON.stringify({ keys: pairs.map((pair) => publicJwk(pair)) });
}

export function encoded(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
}

/** A token in JWS compact form, signed whatever its header says. */
export function token(
  pair: SigningPair,
  claims: Record<string, unknown>,
  header: Record<string, unknown> = {},
): string {
  const content = `${encoded({ alg: pair.alg, kid: pair.kid, typ: 'JWT', ...header })}.${encoded(claims)}`;
  const bytes = Buffer.from(content);
  const hashName = `sha${pair.alg.slice(2)}`;
  const signature =
    pair.alg === 'EdDSA'
      ? sign(null, bytes, pair.privateKey)
      : sign(hashName, bytes, { key: pair.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${content}.${signature.toString('base64url')}`;
}

/** A token with an HMAC. */
export function hmacToken(
  secret: string | Buffer,
  claims: Record<string, unknown>,
  header: Record<string, unknown>,
): string {
  const content = `${encoded({ alg: 'HS256', ...header })}.${encoded(claims)}`;
  return `${content}.${createHmac('sha256', secret).update(content).digest('base64url')}`;
}

/** Claims that pass, as of `nowMs`. */
export function goodClaims(nowMs = Date.now(), more: Record<string, unknown> = {}): Record<string, unknown> {
  const now = Math.floor(nowMs / 1000);
  return { iss: 'https://issuer.test', aud: 'api', sub: 'alice', iat: now, exp: now + 300, ...more };
}

/** A real server whose answer the test chooses. */
export class KeyServer {
  requests = 0;
  /** Answers one request; may leave it open. */
  answer: (response: ServerResponse) => void;
  readonly #server: Server;

  private constructor(text: string) {
    this.answer = KeyServer.json(text);
    this.#server = createServer((_request, response) => {
      this.requests++;
      this.answer(response);
    });
  }

  static json(text: string): (response: ServerResponse) => void {
    return (response) => void response.writeHead(200, { 'content-type': 'application/json' }).end(text);
  }

  static async start(text: string): Promise<KeyServer> {
    const server = new KeyServer(text);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/jwks.json`;
  }

  /** Connections that are open now. */
  connections(): Promise<number> {
    return new Promise((resolve, reject) =>
      this.#server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
    );
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
