/** Authorities, certificates and keys of the cluster, PEM files below one folder. */
import { webcrypto } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { join } from 'node:path';
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { CERTIFICATES } from './places.ts';

const { subtle } = webcrypto;
const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;
const DAYS = 3_650;

export interface KeyPairFiles {
  certificate: string;
  key: string;
}

export interface CertificateRequest {
  /** File name without ending. */
  name: string;
  commonName: string;
  /** Groups of the user, for Kubernetes. */
  organization?: string;
  /** DNS names and addresses; none: a certificate for clients only. */
  hosts?: readonly string[];
}

/** An authority that signs as long as this object lives; its key is on disk too, so that a later command can sign again. */
export class Authority {
  readonly files: KeyPairFiles;
  readonly #certificate: x509.X509Certificate;
  readonly #keys: webcrypto.CryptoKeyPair;

  private constructor(files: KeyPairFiles, certificate: x509.X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.files = files;
    this.#certificate = certificate;
    this.#keys = keys;
  }

  /** Reads it from the folder of certificates, or makes it. */
  static async open(name: string): Promise<Authority> {
    const files = filesOf(name);
    if (existsSync(files.key)) return Authority.#read(files);
    const keys = await newKeys();
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      ...validity(),
      serialNumber: newSerialNumber(),
      name: [{ CN: [`dormouse test cluster ${name}`] }],
      signingAlgorithm: EC,
      keys,
      extensions: [
        new x509.BasicConstraintsExtension(true, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    await write(files, certificate, keys);
    return new Authority(files, certificate, keys);
  }

  static async #read(files: KeyPairFiles): Promise<Authority> {
    const certificate = new x509.X509Certificate(readFileSync(files.certificate, 'utf8'));
    const pkcs8 = x509.PemConverter.decodeFirst(readFileSync(files.key, 'utf8'));
    const privateKey = await subtle.importKey('pkcs8', pkcs8, EC, true, ['sign']);
    const publicKey = await subtle.importKey('spki', certificate.publicKey.rawData, EC, true, ['verify']);
    return new Authority(files, certificate, { privateKey, publicKey });
  }

  /** A certificate and its key, made when they aren't there yet. */
  async issue({ name, commonName, organization, hosts = [] }: CertificateRequest): Promise<KeyPairFiles> {
    const files = filesOf(name);
    if (existsSync(files.key)) return files;
    const keys = await newKeys();
    const usages = [x509.ExtendedKeyUsage.clientAuth, ...(hosts.length > 0 ? [x509.ExtendedKeyUsage.serverAuth] : [])];
    const certificate = await x509.X509CertificateGenerator.create({
      ...validity(),
      serialNumber: newSerialNumber(),
      subject: [...(organization === undefined ? [] : [{ O: [organization] }]), { CN: [commonName] }],
      issuer: this.#certificate.subjectName,
      signingAlgorithm: EC,
      signingKey: this.#keys.privateKey,
      publicKey: keys.publicKey,
      extensions: [
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(usages),
        await x509.AuthorityKeyIdentifierExtension.create(this.#keys.publicKey),
        ...(hosts.length === 0
          ? []
          : [
              new x509.SubjectAlternativeNameExtension(
                hosts.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
              ),
            ]),
      ],
    });
    await write(files, certificate, keys);
    return files;
  }
}

/** A key pair without a certificate: what signs the tokens of service accounts. */
export async function signingKeys(name: string): Promise<{ publicKey: string; privateKey: string }> {
  const files = { publicKey: join(CERTIFICATES, `${name}.pub`), privateKey: join(CERTIFICATES, `${name}.key`) };
  if (existsSync(files.privateKey)) return files;
  const keys = await newKeys();
  mkdirSync(CERTIFICATES, { recursive: true });
  writeFileSync(
    files.publicKey,
    x509.PemConverter.encode(await subtle.exportKey('spki', keys.publicKey), 'PUBLIC KEY'),
  );
  await writeKey(files.privateKey, keys);
  return files;
}

const filesOf = (name: string): KeyPairFiles => ({
  certificate: join(CERTIFICATES, `${name}.crt`),
  key: join(CERTIFICATES, `${name}.key`),
});

const newKeys = (): Promise<webcrypto.CryptoKeyPair> => subtle.generateKey(EC, true, ['sign', 'verify']);

function validity(): { notBefore: Date; notAfter: Date } {
  return { notBefore: new Date(Date.now() - DAY_MS), notAfter: new Date(Date.now() + DAYS * DAY_MS) };
}

/** Positive, 127 random bits (RFC 5280, 4.1.2.2). */
function newSerialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return Buffer.from(bytes).toString('hex');
}

async function write(
  files: KeyPairFiles,
  certificate: x509.X509Certificate,
  keys: webcrypto.CryptoKeyPair,
): Promise<void> {
  mkdirSync(CERTIFICATES, { recursive: true });
  writeFileSync(files.certificate, `${certificate.toString('pem')}\n`);
  await writeKey(files.key, keys);
}

async function writeKey(file: string, keys: webcrypto.CryptoKeyPair): Promise<void> {
  const pem = x509.PemConverter.encode(await subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY');
  writeFileSync(file, `${pem}\n`, { mode: 0o600 });
}
