/** Codes of Node and OpenSSL for a handshake that failed, or a certificate that is not accepted. */
const TLS_FAULTS =
  /^(?:ERR_TLS_|ERR_SSL_|EPROTO$|CERT_|CRL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_CA|INVALID_PURPOSE|HOSTNAME_MISMATCH|PATH_LENGTH_)/;

/** Whether this is why a connection failed: waiting doesn't make it better, as it might where nobody listens yet. `code`: of the socket's error. */
export function isTlsFault(code: string): boolean {
  return TLS_FAULTS.test(code);
}
