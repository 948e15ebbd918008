/** W3C Trace Context, level 1: the traceparent header. */
export interface TraceParent {
  traceId: string;
  parentId: string;
  sampled: boolean;
}

const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;

/** null for one that is no traceparent: the trace then begins anew (section 3.2.2.3 and 4.3). Later versions are read as far as version 00 goes. */
export function readTraceParent(value: string): TraceParent | null {
  if (value.length > 256) return null;
  const match = FORM.exec(value);
  if (match === null) return null;
  const [, version, traceId, parentId, flags, rest] = match;
  if (version === 'ff' || (version === '00' && rest !== undefined)) return null;
  if (/^0+$/.test(traceId!) || /^0+$/.test(parentId!)) return null;
  return { traceId: traceId!, parentId: parentId!, sampled: (Number.parseInt(flags!, 16) & 1) === 1 };
}

export function traceParentLine(traceId: string, spanId: string, sampled: boolean): string {
  return `traceparent: 00-${traceId}-${spanId}-${sampled ? '01' : '00'}\r\n`;
}

/** `digits` lower-case hex digits, not all zero. Not for secrets. */
export function randomHex(digits: number, random: () => number): string {
  let hex = '';
  while (hex.length < digits)
    hex += Math.floor(random() * 0x1_0000_0000)
      .toString(16)
      .padStart(8, '0');
  hex = hex.slice(0, digits);
  return /^0+$/.test(hex) ? `${hex.slice(1)}1` : hex;
}
