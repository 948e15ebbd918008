import type { ClientCertificate } from '../connection-info.ts';

/** Longer ones (a certificate may have hundreds of names) are told by the hash and the subject only. */
const MAX_BYTES = 4096;

/**
 * The line that tells an endpoint of the client's verified certificate, in the form that Envoy made common: `Hash=…;Subject="…";DNS=…;URI=…`. Values with a separator are quoted; what is not
 * visible ASCII is written as `\xx` for each byte of UTF-8 (RFC 4514 section 2.4).
 */
export function clientCertificateLine(certificate: ClientCertificate): string {
  const start = `X-Forwarded-Client-Cert: Hash=${certificate.fingerprint};Subject=${quoted(certificate.subject)}`;
  let names = '';
  for (const match of certificate.subjectAltName.matchAll(/(?:^|, )(DNS|URI):("(?:[^"\\]|\\.)*"|[^,]*)/g)) {
    names += `;${match[1]}=${valueOf(match[2]!)}`;
  }
  return start.length + names.length <= MAX_BYTES ? `${start}${names}\r\n` : `${start}\r\n`;
}

/** Node writes a name with special characters as a JSON string. */
function valueOf(name: string): string {
  if (!name.startsWith('"')) return plain(name);
  try {
    return quoted(String(JSON.parse(name)));
  } catch {
    return quoted(name);
  }
}

function plain(text: string): string {
  return /^[\w.:/@*~-]+$/.test(text) ? text : quoted(text);
}

function quoted(text: string): string {
  const visible = text.replace(/[^\x20-\x7e]+/gu, (other) =>
    Array.from(Buffer.from(other, 'utf8'), (byte) => `\\${byte.toString(16).padStart(2, '0')}`).join(''),
  );
  return `"${visible.replaceAll('"', '\\"')}"`;
}
