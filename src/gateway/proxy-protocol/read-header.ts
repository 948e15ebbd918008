/**
 * Reads the header of the PROXY protocol, version 1 or 2 (the specification of HAProxy, https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). Looks at all bytes
 * that have come each time it is called: a header is short and mostly comes in one piece.
 */
import { isIP } from 'node:net';
import type { ToldAddresses } from '../connection-info.ts';
import { plainAddress } from '../forwarding/client-address.ts';

export type ProxyHeader =
  /** Not complete yet; the bytes so far are those of a header. */
  | { kind: 'more' }
  | { kind: 'malformed'; reason: string }
  /** `size`: bytes of the header. `told`: null when the proxy speaks for itself (LOCAL, UNKNOWN, AF_UNIX): the connection's own addresses count. */
  | { kind: 'header'; size: number; told: ToldAddresses | null };

/** Section 2.1: the longest line of version 1, CR LF included. */
const V1_MAX_BYTES = 107;
/** Version 2 says its own length, up to 65,535; with every TLV in use (certificates' names too) it stays far below this. */
export const V2_MAX_BYTES = 4096;

const V1_START = Buffer.from('PROXY ', 'latin1');
/** Section 2.2. */
export const V2_SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const V2_FIXED_BYTES = 16;

const MORE: ProxyHeader = { kind: 'more' };

export function readProxyHeader(bytes: Buffer): ProxyHeader {
  if (bytes.length === 0) return MORE;
  if (bytes[0] === V1_START[0]) return beginsWith(bytes, V1_START) ? readV1(bytes) : notThere();
  if (bytes[0] === V2_SIGNATURE[0]) return beginsWith(bytes, V2_SIGNATURE) ? readV2(bytes) : notThere();
  return notThere();
}

/** As far as there are bytes. */
function beginsWith(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function notThere(): ProxyHeader {
  return malformed('the connection does not begin with a PROXY header');
}

function malformed(reason: string): ProxyHeader {
  return { kind: 'malformed', reason };
}

function readV1(bytes: Buffer): ProxyHeader {
  const end = bytes.subarray(0, V1_MAX_BYTES).indexOf('\r\n', 0, 'latin1');
  if (end < 0) return bytes.length < V1_MAX_BYTES ? MORE : malformed('version 1: longer than 107 bytes');
  const size = end + 2;
  const words = bytes.toString('latin1', V1_START.length, end).split(' ');
  // Section 2.1: whatever follows UNKNOWN is ignored.
  if (words[0] === 'UNKNOWN') return { kind: 'header', size, told: null };
  const [protocol, peer = '', localAddress = '', peerPort = '', localPort = ''] = words;
  const family = protocol === 'TCP4' ? 4 : protocol === 'TCP6' ? 6 : 0;
  if (family === 0) return malformed('version 1: the protocol is none of TCP4, TCP6 and UNKNOWN');
  if (words.length !== 5) return malformed('version 1: not four fields after the protocol');
  if (isIP(peer) !== family || isIP(localAddress) !== family) return malformed('version 1: a wrong address');
  if (!isPort(peerPort) || !isPort(localPort)) return malformed('version 1: a wrong port');
  return {
    kind: 'header',
    size,
    told: {
      peer: plainAddress(peer),
      peerPort: Number(peerPort),
      localAddress: plainAddress(localAddress),
      localPort: Number(localPort),
    },
  };
}

function isPort(text: string): boolean {
  return /^(?:0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}

function readV2(bytes: Buffer): ProxyHeader {
  // What can be refused is refused before the rest has come.
  if (bytes.length > 12 && bytes[12]! >> 4 !== 2) return malformed('version 2: the version is not 2');
  if (bytes.length > 12 && (bytes[12]! & 0x0f) > 1)
    return malformed('version 2: the command is neither LOCAL nor PROXY');
  if (bytes.length < V2_FIXED_BYTES) return MORE;
  const length = bytes.readUInt16BE(14);
  const size = V2_FIXED_BYTES + length;
  if (size > V2_MAX_BYTES) return malformed(`version 2: longer than ${V2_MAX_BYTES} bytes`);
  if (bytes.length < size) return MORE;
  const isLocal = (bytes[12]! & 0x0f) === 0;
  const family = bytes[13]! >> 4;
  const transport = bytes[13]! & 0x0f;
  if (family > 3 || transport > 2) return malformed('version 2: unknown family or transport');
  // LOCAL: a health check of the proxy. UNSPEC and AF_UNIX have no addresses that mean anything here. What follows the addresses are TLVs, which nobody asks for.
  if (isLocal || transport !== 1 || family === 0 || family === 3) return { kind: 'header', size, told: null };
  const width = family === 1 ? 4 : 16;
  if (length < 2 * width + 4) return malformed('version 2: too short for its addresses');
  const at = V2_FIXED_BYTES;
  return {
    kind: 'header',
    size,
    told: {
      peer: addressAt(bytes, at, width),
      localAddress: addressAt(bytes, at + width, width),
      peerPort: bytes.readUInt16BE(at + 2 * width),
      localPort: bytes.readUInt16BE(at + 2 * width + 2),
    },
  };
}

function addressAt(bytes: Buffer, at: number, width: number): string {
  if (width === 4) return `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`;
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(bytes.readUInt16BE(at + i));
  // ::ffff:a.b.c.d is an IPv4 address, as everywhere (plainAddress).
  if (groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)) return addressAt(bytes, at + 12, 4);
  return shortV6(groups);
}

/** RFC 5952 section 4: lower case, the longest run of zeros (two at least, the first of equals) is `::`. */
function shortV6(groups: readonly number[]): string {
  let best = -1;
  let bestLength = 1;
  for (let i = 0; i < 8; i++) {
    let length = 0;
    while (i + length < 8 && groups[i + length] === 0) length++;
    if (length > bestLength) {
      best = i;
      bestLength = length;
    }
    i += length;
  }
  const hex = groups.map((group) => group.toString(16));
  if (best < 0) return hex.join(':');
  return `${hex.slice(0, best).join(':')}::${hex.slice(best + bestLength).join(':')}`;
}
