/** The beginning and the end of a gRPC server, and who calls it. */
import type { Server, ServerCredentials } from '@grpc/grpc-js';

/** `address`: `HOST:PORT`, port 0 for any that is free. Resolves with the port that was taken; rejects with what the system says about the address. */
export function listen(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, taken) => {
      if (error === null) resolve(taken);
      else reject(error);
    });
  });
}

/** Listens no more and waits until all calls have ended; those that haven't within `withinMs` are cut. */
export function closeServer(server: Server, withinMs: number): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, withinMs);
    server.tryShutdown(() => {
      clearTimeout(cut);
      resolve();
    });
  });
}

/**
 * Whether a client's certificate names this role (a URI). `names` is what node:tls makes of a subjectAltName; it quotes a value that could be taken for
 * several, and there is none such in a certificate of ours.
 */
export function hasRole(names: string | undefined, role: string): boolean {
  return names !== undefined && !names.includes('"') && names.split(', ').includes(`URI:${role}`);
}
