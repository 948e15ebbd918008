export interface FrameParts {
  opcode: number;
  fin?: boolean;
  /** RSV1 to RSV3 as a number of three bits. */
  reserved?: number;
  masked?: boolean;
  body: Buffer;
}

/** A frame as RFC 6455 5.2 has it, or as it must not be. */
export function frame({ opcode, fin = true, reserved = 0, masked = false, body }: FrameParts): Buffer {
  const { length } = body;
  const head = [(fin ? 0x80 : 0) | (reserved << 4) | opcode];
  const mask = masked ? 0x80 : 0;
  if (length < 126) head.push(mask | length);
  else if (length < 65_536) head.push(mask | 126, length >> 8, length & 255);
  else
    head.push(mask | 127, 0, 0, 0, 0, (length >>> 24) & 255, (length >> 16) & 255, (length >> 8) & 255, length & 255);
  if (!masked) return Buffer.concat([Buffer.from(head), body]);
  const key = [0x11, 0x22, 0x33, 0x44];
  return Buffer.concat([Buffer.from(head), Buffer.from(key), body.map((byte, i) => byte ^ key[i % 4]!)]);
}
