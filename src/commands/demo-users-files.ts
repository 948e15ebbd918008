/** What `dormouse demo users` needs besides its configuration: a certificate for example.com, the keys of an issuer of tokens, and tokens. */
import { webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

const DAY_MS = 86_400_000;
const DAYS = 30;
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const ISSUER = 'https://login.example.com/';
const AUDIENCE = 'users-api';

export interface UsersFiles {
  /** PEM: the authority that signed the certificate of example.com. */
  ca: string;
  /** A token that may read users. */
  token: string;
  /** A token that may add them too. */
  writerToken: string;
}

/** Writes all files, over former ones, and gives the paths of those that clients need. Everything is good for 30 days. */
export async function writeUsersFiles(folder: string, nowMs: number): Promise<UsersFiles> {
  const files: UsersFiles = {
    ca: join(folder, 'ca.pem'),
    token: join(folder, 'token'),
    writerToken: join(folder, 'writer-token'),
  };
  const { ca, cert, key } = await certificates(nowMs);
  writeFileSync(files.ca, ca);
  writeFileSync(join(folder, 'example.com.pem'), cert);
  writeSecret(join(folder, 'example.com.key'), key);
  const { jwks, sign } = await issuer(nowMs);
  writeFileSync(join(folder, 'jwks.json'), `${JSON.stringify(jwks, null, 2)}\n`);
  writeSecret(files.token, await sign('ann', 'users.read'));
  writeSecret(files.writerToken, await sign('bob', 'users.read users.write'));
  return files;
}

function writeSecret(file: string, text: string): void {
  writeFileSync(file, text, { mode: 0o600 });
}

/** PEM of an authority, and of a certificate and key for example.com that it signed. Nothing is left of the authority's own key. */
async function certificates(nowMs: number): Promise<{ ca: string; cert: string; key: string }> {
  // The library below wants it to be there.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  const { subtle } = webcrypto;
  const [authority, server] = await Promise.all([
    subtle.generateKey(EC, true, ['sign', 'verify']),
    subtle.generateKey(EC, true, ['sign', 'verify']),
  ]);
  const times = { notBefore: new Date(nowMs - DAY_MS), notAfter: new Date(nowMs + DAYS * DAY_MS) };
  const issuerName = 'CN=dormouse demo users';
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    ...times,
    serialNumber: '01',
    name: issuerName,
    signingAlgorithm: EC,
    keys: authority,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  const cert = await x509.X509CertificateGenerator.create({
    ...times,
    serialNumber: '02',
    subject: 'CN=example.com',
    issuer: issuerName,
    signingAlgorithm: EC,
    publicKey: server.publicKey,
    signingKey: authority.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: 'example.com' }]),
    ],
  });
  const key = x509.PemConverter.encode(await subtle.exportKey('pkcs8', server.privateKey), 'PRIVATE KEY');
  return { ca: `${ca.toString('pem')}\n`, cert: `${cert.toString('pem')}\n`, key: `${key}\n` };
}

/** Nothing is left of the private key but the two tokens. */
async function issuer(nowMs: number): Promise<{ jwks: object; sign(user: string, scope: string): Promise<string> }> {
  const { exportJWK, generateKeyPair, SignJWT } = await import('jose');
  const { publicKey, privateKey } = await generateKeyPair('ES256');
  const kid = 'demo';
  return {
    jwks: { keys: [{ ...(await exportJWK(publicKey)), kid, alg: 'ES256', use: 'sig' }] },
    sign: (user, scope) =>
      new SignJWT({ scope })
        .setProtectedHeader({ alg: 'ES256', kid, typ: 'JWT' })
        .setIssuer(ISSUER)
        .setAudience(AUDIENCE)
        .setSubject(user)
        .setIssuedAt(new Date(nowMs))
        .setExpirationTime(new Date(nowMs + DAYS * DAY_MS))
        .sign(privateKey),
  };
}
