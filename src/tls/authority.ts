/**
 * The certificates of the link between gateways and operator: an authority of our own, the operator's server certificate and the gateways' client
 * certificate. Only what can be computed: who stores them, and when, is the caller's. ECDSA on P-256 throughout.
 *
 * The authority is changed without a moment in which somebody is not trusted: a new one is published first (everybody trusts both), signs from an
 * overlap later, and the former one is left out once nothing that it signed is valid any more. All of this follows from the certificates' own dates, so
 * that any operator goes on where another one stopped.
 */
import 'reflect-metadata';
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import { DormouseError } from '../model/errors.ts';
import { checkPair, readCertificates } from './certificate-pair.ts';

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const { subtle } = webcrypto;

/** Validity of an authority, ms: 10 years. */
export const AUTHORITY_MS = 3650 * DAY_MS;
/** Validity of what it signs, ms. */
export const LEAF_MS = DAY_MS;
/** A new authority signs this long after it was made, ms: by then everybody trusts it. */
export const OVERLAP_MS = DAY_MS;
/** Certificates are valid from this much before they are made, ms: clocks of nodes differ. */
export const SKEW_MS = 5 * MINUTE_MS;
/** In the URI names of certificates of clients: who they are for. Servers ask for it. */
const ROLES = {
  gateway: 'spiffe://dormouse/gateway',
  operator: 'spiffe://dormouse/operator',
  'scaler-client': 'spiffe://dormouse/scaler-client',
} as const;
/**
 * Validity of KEDA's certificate, ms: a scaler of KEDA's keeps the one that it began with until its ScaledObject is written anew, so that one for a day would be over
 * before it is asked for again.
 */
export const SCALER_CLIENT_MS = 365 * DAY_MS;
const MAX_AUTHORITIES = 8;

/** One certificate of the authority, PEM. */
export interface AuthorityPart {
  cert: string;
  /** null: it signs no more, or somebody else does. Secret. */
  key: string | null;
  /** When it was made, wall clock ms. */
  madeMs: number;
  expiresMs: number;
}

/** The oldest first. */
export type Authority = readonly AuthorityPart[];

/** PEM. */
export interface IssuedPair {
  cert: string;
  /** Secret. */
  key: string;
}

/** A Kubernetes Secret's `data`: base64. */
export type SecretData = Readonly<Record<string, string>>;

/**
 * The authority as it should be at `wallMs`: a first one when there is none, a new one beside it when two thirds of the newest one's life are over, without those whose
 * signatures are all over. The very same array when nothing is to be done.
 */
export async function renewedAuthority(authority: Authority, wallMs: number): Promise<Authority> {
  let next: AuthorityPart[] = authority.filter((part) => part.expiresMs > wallMs);
  const newest = next.findLast(({ key }) => key !== null);
  if (newest === undefined || wallMs >= renewAtMs(newest)) next.push(await createAuthorityPart(wallMs));
  const signer = signerOf(next, wallMs);
  // What an older one signed last was signed just before this one began.
  if (wallMs >= signsFromMs(signer, next) + LEAF_MS + SKEW_MS) next = next.slice(next.indexOf(signer));
  return next.length === authority.length && next.every((part, i) => part === authority[i]) ? authority : next;
}

/** When `renewedAuthority` has something to do next, wall clock ms. */
export function authorityDueMs(authority: Authority, wallMs: number): number {
  const newest = authority.findLast(({ key }) => key !== null);
  if (newest === undefined) return wallMs;
  let dueMs = renewAtMs(newest);
  const signer = signerOf(authority, wallMs);
  if (authority[0] !== signer) dueMs = Math.min(dueMs, signsFromMs(signer, authority) + LEAF_MS + SKEW_MS);
  return Math.max(wallMs, dueMs);
}

/** All certificates that are to be trusted, PEM: for ca.crt of servers and gateways. */
export function trustBundle(authority: Authority): string {
  return authority.map(({ cert }) => cert).join('');
}

/** An operator's certificate: for servers only, with these DNS names and addresses (at least one). */
export function issueOperator(authority: Authority, names: readonly string[], wallMs: number): Promise<IssuedPair> {
  return issue(authority, wallMs, {
    commonName: 'dormouse operator',
    usage: x509.ExtendedKeyUsage.serverAuth,
    names: names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
  });
}

/** A certificate for clients only, with a role: of gateways, of operators that ask the leader, or of KEDA. */
export function issueClient(authority: Authority, role: keyof typeof ROLES, wallMs: number): Promise<IssuedPair> {
  return issue(authority, wallMs, {
    commonName: `dormouse ${role}`,
    usage: x509.ExtendedKeyUsage.clientAuth,
    names: [{ type: 'url', value: ROLES[role] }],
    ...(role === 'scaler-client' ? { validMs: SCALER_CLIENT_MS } : {}),
  });
}

/** Whether this pair has to be issued anew: a part is missing or broken, the authority doesn't sign as it any more, two thirds of its life are over, or `names` are not its names. */
export function pairIsDue(
  pair: IssuedPair | null,
  authority: Authority,
  wallMs: number,
  names: readonly string[] = [],
): boolean {
  if (pair === null) return true;
  const check = checkPair(Buffer.from(pair.cert), Buffer.from(pair.key));
  if (!check.ok) return true;
  const { notBeforeMs, notAfterMs } = check.pair;
  if (wallMs < notBeforeMs || wallMs >= renewAtMs({ madeMs: notBeforeMs, expiresMs: notAfterMs })) return true;
  if (names.some((name) => !check.pair.names.includes(name.toLowerCase()))) return true;
  const leaf = new X509Certificate(pair.cert);
  return !authority.some(({ cert }) => {
    const signer = new X509Certificate(cert);
    return leaf.checkIssued(signer) && leaf.verify(signer.publicKey);
  });
}

/** When a pair is due by its dates, wall clock ms: at two thirds of its life. */
export function pairDueMs({ cert, key }: IssuedPair): number {
  const check = checkPair(Buffer.from(cert), Buffer.from(key));
  return check.ok ? renewAtMs({ madeMs: check.pair.notBeforeMs, expiresMs: check.pair.notAfterMs }) : 0;
}

// ---- Secrets

/** `ca.crt`: all certificates, `ca.key`: the keys that are there. The operator's own Secret: nobody else may read it. */
export function authorityToSecret(authority: Authority): SecretData {
  return {
    'ca.crt': base64(trustBundle(authority)),
    'ca.key': base64(authority.map(({ key }) => key ?? '').join('')),
  };
}

/** Throws DORMOUSE_AUTHORITY when there is something that can't be read: to make a new authority over it would cut off everybody. None there: empty. */
export function authorityFromSecret(data: SecretData | null | undefined): Authority {
  const certs = bytes(data, 'ca.crt');
  const keys = bytes(data, 'ca.key');
  if (certs.length === 0 && keys.length === 0) return [];
  const read = readCertificates(certs);
  if (typeof read === 'string') throw broken(`ca.crt: ${read}`);
  if (read.length > MAX_AUTHORITIES) throw broken(`ca.crt has ${read.length} certificates, at most ${MAX_AUTHORITIES}`);
  const privateKeys = (keys.toString('latin1').match(/-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----/g) ?? []).map(
    (pem) => {
      try {
        return createPrivateKey(pem);
      } catch {
        throw broken('ca.key has a key that cannot be read');
      }
    },
  );
  const parts = read.map((certificate): AuthorityPart => {
    if (!certificate.ca) throw broken('ca.crt has a certificate that is not one of an authority');
    const key = privateKeys.find((candidate) => certificate.checkPrivateKey(candidate));
    return {
      cert: pem('CERTIFICATE', certificate.raw),
      key: key === undefined ? null : pem('PRIVATE KEY', key.export({ type: 'pkcs8', format: 'der' })),
      madeMs: certificate.validFromDate.getTime() + SKEW_MS,
      expiresMs: certificate.validToDate.getTime(),
    };
  });
  if (parts.every(({ key }) => key === null)) throw broken('ca.key has no key of any certificate of ca.crt');
  return parts.toSorted((a, b) => a.madeMs - b.madeMs);
}

/** `ca.crt`, `tls.crt`, `tls.key`, as a server or a gateway mounts them. */
export function pairToSecret(authority: Authority, pair: IssuedPair): SecretData {
  return { 'ca.crt': base64(trustBundle(authority)), 'tls.crt': base64(pair.cert), 'tls.key': base64(pair.key) };
}

/** null: there is none, or a part of it is missing. */
export function pairFromSecret(data: SecretData | null | undefined): IssuedPair | null {
  const cert = bytes(data, 'tls.crt').toString('utf8');
  const key = bytes(data, 'tls.key').toString('utf8');
  return cert === '' || key === '' ? null : { cert, key };
}

// ---- making and signing

/** Who signs: the newest that everybody has had time to trust; the only one, or all are new: the oldest. */
function signerOf(authority: Authority, wallMs: number): AuthorityPart {
  const able = authority.filter(({ key }) => key !== null);
  const signer = able.findLast((part) => wallMs >= signsFromMs(part, able)) ?? able[0];
  if (signer === undefined) throw broken('there is no authority that can sign');
  return signer;
}

/** The first one signs at once. */
function signsFromMs(part: AuthorityPart, authority: Authority): number {
  return part === authority[0] ? part.madeMs : part.madeMs + OVERLAP_MS;
}

function renewAtMs({ madeMs, expiresMs }: { madeMs: number; expiresMs: number }): number {
  return madeMs + ((expiresMs - madeMs) * 2) / 3;
}

async function createAuthorityPart(wallMs: number): Promise<AuthorityPart> {
  const keys = await subtle.generateKey(EC, true, ['sign', 'verify']);
  const serial = serialNumber();
  const notBefore = wholeSeconds(wallMs - SKEW_MS);
  const notAfter = wholeSeconds(wallMs + AUTHORITY_MS);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial,
    // Its own name for each: by the name alone a verifier could not tell two of them apart.
    name: `CN=dormouse link ${serial.slice(0, 8)}`,
    notBefore,
    notAfter,
    signingAlgorithm: EC,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return {
    cert: `${certificate.toString('pem')}\n`,
    key: await exported(keys.privateKey),
    madeMs: notBefore.getTime() + SKEW_MS,
    expiresMs: notAfter.getTime(),
  };
}

async function issue(
  authority: Authority,
  wallMs: number,
  asked: {
    commonName: string;
    usage: x509.ExtendedKeyUsage;
    names: { type: 'dns' | 'ip' | 'url'; value: string }[];
    validMs?: number;
  },
): Promise<IssuedPair> {
  if (asked.names.length === 0) throw new DormouseError('DORMOUSE_AUTHORITY', 'a certificate of the link needs a name');
  const signer = signerOf(authority, wallMs);
  const issuer = new x509.X509Certificate(signer.cert);
  const signingKey = await subtle.importKey(
    'pkcs8',
    createPrivateKey(signer.key!).export({ type: 'pkcs8', format: 'der' }),
    EC,
    false,
    ['sign'],
  );
  const keys = await subtle.generateKey(EC, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: `CN=${asked.commonName}`,
    issuer: issuer.subject,
    notBefore: wholeSeconds(wallMs - SKEW_MS),
    notAfter: wholeSeconds(Math.min(wallMs + (asked.validMs ?? LEAF_MS), signer.expiresMs)),
    signingAlgorithm: EC,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([asked.usage]),
      new x509.SubjectAlternativeNameExtension(asked.names),
      await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { cert: `${certificate.toString('pem')}\n`, key: await exported(keys.privateKey) };
}

/** Positive and of 16 bytes (RFC 5280 section 4.1.2.2: at most 20). */
function serialNumber(): string {
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  return serial.toString('hex');
}

/** Certificates know whole seconds only. */
function wholeSeconds(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000);
}

async function exported(key: webcrypto.CryptoKey): Promise<string> {
  return pem('PRIVATE KEY', Buffer.from(await subtle.exportKey('pkcs8', key)));
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').replace(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}

function bytes(data: SecretData | null | undefined, key: string): Buffer {
  return Buffer.from(data?.[key] ?? '', 'base64');
}

function broken(reason: string): DormouseError {
  return new DormouseError(
    'DORMOUSE_AUTHORITY',
    `the Secret of the link's authority cannot be used: ${reason}. Restore it; or delete it: a new authority is made, and gateways are without a link until they have its certificates`,
    { userFault: true },
  );
}
