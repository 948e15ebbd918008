/** Certificates and keys that the configuration names: they are readable, whole and belong together before anything is started with them. */
import { checkPair, readCertificates, validityWarning } from '../tls/certificate-pair.ts';
import type { Path, Problem } from './config-error.ts';
import { problem } from './explain.ts';
import type { NamedFiles } from './named-files.ts';

export interface CertificateContext {
  files: NamedFiles;
  problems: Problem[];
  warnings: Problem[];
  /** Now: a certificate that is out of force is a warning. */
  wallMs: number;
}

/** Absolute paths of a certificate and its key; `at` is the mapping that has the keys `cert` and `key`. */
export function pairFiles(
  written: { cert: string; key: string },
  at: Path,
  { files, problems, warnings, wallMs }: CertificateContext,
): { certFile: string; keyFile: string } {
  const cert = files.bytes(written.cert, [...at, 'cert']);
  const key = files.bytes(written.key, [...at, 'key']);
  const paths = { certFile: files.resolve(written.cert), keyFile: files.resolve(written.key) };
  if (cert === null || key === null) return paths;
  const checked = checkPair(cert, key);
  if (!checked.ok) {
    const file = checked.which === 'cert' ? paths.certFile : paths.keyFile;
    problems.push(problem([...at, checked.which], `${file}: ${checked.reason}`, 'name files in PEM form'));
    return paths;
  }
  const warning = validityWarning(checked.pair, wallMs);
  if (warning !== null) warnings.push(problem([...at, 'cert'], `${paths.certFile}: ${warning}`));
  return paths;
}

/** Absolute path of a file of authorities' certificates. */
export function authoritiesFile(written: string, at: Path, { files, problems }: CertificateContext): string {
  const path = files.resolve(written);
  const content = files.bytes(written, at);
  const found = content === null ? [] : readCertificates(content);
  if (typeof found === 'string') problems.push(problem(at, `${path}: ${found}`, 'name a file in PEM form'));
  return path;
}
