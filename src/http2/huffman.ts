/**
 * Lengths of the codes of RFC 7541 appendix B in bits, for symbols 0 to 255 and EOS. The code is canonical: codes of one length are consecutive, in the
 * order of their symbols, and each length begins where the one before it ended.
 */
// prettier-ignore
const CODE_BITS = Uint8Array.of(
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
);
const EOS = 256;
const MAX_BITS = 30;

// Per state (a place in the code's tree, at most 256 of them) and nibble: next state, symbol, and what happened. Four bits end at most one code, since none is shorter than five.
const NEXT_MASK = 0xff;
const SYMBOL_SHIFT = 8;
const EMITS = 1 << 16;
const FAILS = 1 << 17;

interface Machine {
  /** Index: state * 16 + nibble. */
  steps: Int32Array;
  /** States in which a string may end: less than eight bits of a code, all ones (RFC 7541 5.2). */
  accepts: Uint8Array;
}

const MACHINE = build();

function build(): Machine {
  // The tree: children[2 * node + bit] is a node, or -1 - symbol; 0 is nothing (the root is nobody's child).
  const children: number[] = [0, 0];
  let code = 0;
  for (let bits = 1; bits <= MAX_BITS; bits++) {
    code *= 2;
    for (let symbol = 0; symbol <= EOS; symbol++) {
      if (CODE_BITS[symbol] !== bits) continue;
      let node = 0;
      for (let bit = bits - 1; bit > 0; bit--) {
        const at = 2 * node + ((code >> bit) & 1);
        if (children[at] === 0) {
          children[at] = children.length / 2;
          children.push(0, 0);
        }
        node = children[at]!;
      }
      children[2 * node + (code & 1)] = -1 - symbol;
      code++;
    }
  }
  const states = children.length / 2;
  const steps = new Int32Array(states * 16);
  for (let state = 0; state < states; state++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = state;
      let step = 0;
      for (let bit = 3; bit >= 0 && (step & FAILS) === 0; bit--) {
        const child = children[2 * node + ((nibble >> bit) & 1)]!;
        if (child >= 0) node = child;
        else if (child === -1 - EOS) step |= FAILS;
        else {
          step |= EMITS | ((-1 - child) << SYMBOL_SHIFT);
          node = 0;
        }
      }
      steps[state * 16 + nibble] = step | node;
    }
  }
  const accepts = new Uint8Array(states);
  let node = 0;
  for (let bits = 0; bits < 8; bits++) {
    accepts[node] = 1;
    node = children[2 * node + 1]!;
  }
  return { steps, accepts };
}

/** Decodes from[start, end) into to[at…), which has room for 8/5 of it. Returns the index after the last byte, or -1 when it is not valid. */
export function decodeHuffman(from: Uint8Array, start: number, end: number, to: Uint8Array, at: number): number {
  const { steps, accepts } = MACHINE;
  let state = 0;
  let out = at;
  for (let i = start; i < end; i++) {
    const byte = from[i]!;
    const high = steps[(state << 4) | (byte >> 4)]!;
    if (high >= EMITS) {
      if ((high & FAILS) !== 0) return -1;
      to[out++] = high >> SYMBOL_SHIFT;
    }
    const low = steps[((high & NEXT_MASK) << 4) | (byte & 15)]!;
    if (low >= EMITS) {
      if ((low & FAILS) !== 0) return -1;
      to[out++] = low >> SYMBOL_SHIFT;
    }
    state = low & NEXT_MASK;
  }
  return accepts[state] === 1 ? out : -1;
}
