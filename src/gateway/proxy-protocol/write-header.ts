import { isIP } from 'node:net';
import { V2_SIGNATURE } from './read-header.ts';

const V2_LOCAL_COMMAND = 0x20;
const V2_PROXY_COMMAND = 0x21;
const TCP_OVER_IPV4 = 0x11;
const TCP_OVER_IPV6 = 0x21;

/** The header of a connection that is the gateway's own (a health check, a side call): UNKNOWN or LOCAL, the endpoint takes the connection's addresses. */
export function writeOwnProxyHeader(version: 'v1' | 'v2'): Buffer {
  if (version === 'v1') return Buffer.from('PROXY UNKNOWN\r\n', 'latin1');
  return Buffer.concat([V2_SIGNATURE, Buffer.from([V2_LOCAL_COMMAND, 0, 0, 0])]);
}

/**
 * The header with which a connection to an endpoint begins. `client`, `local`: addresses in the form of `plainAddress`, of the client and of where it connected to; when one is
 * IPv4 and the other IPv6, both are written as IPv6 (::ffff:a.b.c.d). What is no address makes an UNKNOWN or UNSPEC header: the endpoint then sees the gateway.
 */
export function writeProxyHeader(
  version: 'v1' | 'v2',
  client: string,
  clientPort: number,
  local: string,
  localPort: number,
): Buffer {
  const families = [isIP(client), isIP(local)];
  const family = families.includes(0) ? 0 : families.includes(6) ? 6 : 4;
  if (version === 'v1') {
    if (family === 0) return Buffer.from('PROXY UNKNOWN\r\n', 'latin1');
    const [from, to] = family === 6 ? [asV6(client), asV6(local)] : [client, local];
    return Buffer.from(`PROXY TCP${family} ${from} ${to} ${clientPort} ${localPort}\r\n`, 'latin1');
  }
  const width = family === 0 ? 0 : family === 4 ? 4 : 16;
  const addressBytes = family === 0 ? 0 : 2 * width + 4;
  const header = Buffer.alloc(V2_SIGNATURE.length + 4 + addressBytes);
  V2_SIGNATURE.copy(header);
  header[12] = V2_PROXY_COMMAND;
  header[13] = family === 0 ? 0 : family === 4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6;
  header.writeUInt16BE(addressBytes, 14);
  if (family === 0) return header;
  writeAddress(header, 16, client, width);
  writeAddress(header, 16 + width, local, width);
  header.writeUInt16BE(clientPort, 16 + 2 * width);
  header.writeUInt16BE(localPort, 18 + 2 * width);
  return header;
}

function asV6(address: string): string {
  return isIP(address) === 4 ? `::ffff:${address}` : address;
}

function writeAddress(header: Buffer, at: number, address: string, width: number): void {
  if (width === 4) {
    address.split('.').forEach((part, i) => (header[at + i] = Number(part)));
    return;
  }
  let text = asV6(address);
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  if (dotted !== null) {
    const [, head, a, b, c, d] = dotted;
    text = `${head}${(Number(a) * 256 + Number(b)).toString(16)}:${(Number(c) * 256 + Number(d)).toString(16)}`;
  }
  const [head = '', tail] = text.split('::');
  const start = head === '' ? [] : head.split(':');
  const end = tail === undefined || tail === '' ? [] : tail.split(':');
  start.forEach((group, i) => header.writeUInt16BE(Number.parseInt(group, 16), at + 2 * i));
  end.forEach((group, i) => header.writeUInt16BE(Number.parseInt(group, 16), at + 16 - 2 * (end.length - i)));
}
