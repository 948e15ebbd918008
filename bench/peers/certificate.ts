import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Authority } from '../../src/gateway/fixtures/certificates.ts';

/** Writes a certificate (ECDSA P-256) for 127.0.0.1 and localhost and its key into `dir`. */
export async function writeCertificate(dir: string): Promise<{ certFile: string; keyFile: string }> {
  const authority = await Authority.create();
  const { cert, key } = await authority.issue({ names: ['127.0.0.1', 'localhost'] });
  const files = { certFile: join(dir, 'cert.pem'), keyFile: join(dir, 'key.pem') };
  writeFileSync(files.certFile, cert);
  writeFileSync(files.keyFile, key, { mode: 0o600 });
  return files;
}
