import { isIPv6 } from 'node:net';
import { HEX, REG_NAME } from './characters.ts';

/**
 * The host of an authority `host[:port]` (RFC 3986 3.2.2 and 3.2.3, no userinfo): lower case, without port and one trailing dot; an IPv6 literal keeps
 * its brackets. Null when the authority is not valid, its host is empty (RFC 9110 4.2.1), or its port is beyond 65535.
 */
export function hostnameOf(authority: string): string | null {
  const length = authority.length;
  let i = 0;
  if (authority.charCodeAt(0) === 0x5b) {
    i = authority.indexOf(']') + 1;
    if (i === 0) return null;
    const address = authority.slice(1, i - 1);
    if (!/^[0-9A-Fa-f:.]+$/.test(address) || !isIPv6(address)) return null;
  } else {
    for (; i < length; i++) {
      const code = authority.charCodeAt(i);
      if (code === 0x25) {
        if (
          HEX[authority.charCodeAt(i + 1) & 0xff] === 255 ||
          HEX[authority.charCodeAt(i + 2) & 0xff] === 255 ||
          i + 2 >= length
        )
          return null;
        i += 2;
      } else if (REG_NAME[code] === 0) {
        break;
      }
    }
  }
  if (i < length && !isPort(authority, i)) return null;
  const hostEnd = i > 1 && authority.charCodeAt(i - 1) === 0x2e ? i - 1 : i;
  if (hostEnd === 0 || (hostEnd === 1 && authority.charCodeAt(0) === 0x2e)) return null;
  return authority.slice(0, hostEnd).toLowerCase();
}

/** `:` *DIGIT up to 65535 at the end of an authority. */
function isPort(authority: string, colon: number): boolean {
  if (authority.charCodeAt(colon) !== 0x3a || authority.length - colon > 6) return false;
  let port = 0;
  for (let i = colon + 1; i < authority.length; i++) {
    const digit = authority.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) return false;
    port = port * 10 + digit;
  }
  return port <= 65_535;
}
