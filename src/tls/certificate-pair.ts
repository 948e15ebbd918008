/** A certificate file and its key file: whether they are whole, belong together and are in force. Used when a configuration is checked and whenever the files change. */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';

export interface CertificatePair {
  /** PEM: the certificate, then those of its issuers. */
  cert: Buffer;
  /** PEM. Never logged. */
  key: Buffer;
  /** 'rsa', 'ec', 'ed25519' …: a client that can't use one may be able to use another. */
  keyType: string;
  /** DNS names and addresses that it is for, lower case; wildcards as `*.example.com`. */
  names: string[];
  /** Wall clock ms. */
  notBeforeMs: number;
  notAfterMs: number;
}

export type PairCheck = { ok: true; pair: CertificatePair } | { ok: false; which: 'cert' | 'key'; reason: string };

const BEGIN = '-----BEGIN CERTIFICATE-----';
const END = '-----END CERTIFICATE-----';

/** Never throws: what is wrong is the answer. */
export function checkPair(cert: Buffer, key: Buffer): PairCheck {
  const chain = readCertificates(cert);
  if (typeof chain === 'string') return { ok: false, which: 'cert', reason: chain };
  const leaf = chain[0]!;
  const privateKey = readKey(key);
  if (typeof privateKey === 'string') return { ok: false, which: 'key', reason: privateKey };
  if (!leaf.checkPrivateKey(privateKey)) {
    return { ok: false, which: 'key', reason: 'the key is not the one of the certificate' };
  }
  return {
    ok: true,
    pair: {
      cert,
      key,
      keyType: privateKey.asymmetricKeyType ?? 'unknown',
      names: namesOf(leaf),
      notBeforeMs: leaf.validFromDate.getTime(),
      notAfterMs: leaf.validToDate.getTime(),
    },
  };
}

/** All certificates of a PEM file; a string says what is wrong with it. */
export function readCertificates(pem: Buffer): X509Certificate[] | string {
  const blocks = pem.toString('latin1').split(BEGIN).slice(1);
  if (blocks.length === 0) return pem.length === 0 ? 'the file is empty' : 'there is no PEM certificate in it';
  const found: X509Certificate[] = [];
  for (const block of blocks) {
    const end = block.indexOf(END);
    if (end < 0) return 'it is incomplete: a certificate has no END line';
    try {
      found.push(new X509Certificate(BEGIN + block.slice(0, end) + END));
    } catch (error) {
      return `certificate ${found.length + 1} of the file cannot be read (${(error as Error).message})`;
    }
  }
  return found;
}

function readKey(pem: Buffer): KeyObject | string {
  if (pem.length === 0) return 'the file is empty';
  const text = pem.toString('latin1');
  if (!text.includes('-----BEGIN ')) return 'there is no PEM key in it';
  if (!text.includes('-----END ')) return 'it is incomplete: the key has no END line';
  if (/BEGIN ENCRYPTED PRIVATE KEY|Proc-Type: 4,ENCRYPTED/.test(text)) {
    return 'the key is encrypted; write it without a passphrase (openssl pkey -in KEY -out NEW) and guard the file by its rights';
  }
  try {
    return createPrivateKey(pem);
  } catch {
    // What OpenSSL says of a key may quote it.
    return 'the key cannot be read';
  }
}

/** Names of the subjectAltName; only a certificate without any is known by its common name (RFC 9110 section 4.3.4). */
function namesOf(leaf: X509Certificate): string[] {
  const names: string[] = [];
  for (const match of (leaf.subjectAltName ?? '').matchAll(/(?:^|, )(?:DNS|IP Address):([^,"\s]+)/g)) {
    names.push(match[1]!.toLowerCase());
  }
  if (names.length > 0) return names;
  const common = /^CN=([^\s+,]+)$/m.exec(leaf.subject)?.[1];
  return common === undefined ? [] : [common.toLowerCase()];
}

/** A sentence about a certificate that is out of force or soon will be; null: all is well. */
export function validityWarning(pair: CertificatePair, wallMs: number): string | null {
  const day = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  if (wallMs > pair.notAfterMs) return `the certificate expired on ${day(pair.notAfterMs)}; clients will refuse it`;
  if (wallMs < pair.notBeforeMs) {
    return `the certificate is not valid before ${day(pair.notBeforeMs)}; clients will refuse it until then`;
  }
  return null;
}
