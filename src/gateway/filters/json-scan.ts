/** What can be said about a JSON text before it is parsed, in one pass without recursion. */

/**
 * `deep`: objects and arrays lie in each other further than `maxDepth`, so that whatever walks them might run out of stack. `duplicate`: an object has
 * a name twice, and parsers disagree about which one counts (RFC 8259 section 4): what was checked here could be read differently behind. null: neither,
 * or it is no JSON, which JSON.parse says.
 */
export function scanJson(text: string, maxDepth: number): 'deep' | 'duplicate' | null {
  /** Names of each open object; null for an array. */
  const open: (Set<string> | null)[] = [];
  let names: Set<string> | null = null;
  let nameNext = false;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: {
        const end = stringEnd(text, i);
        if (nameNext && names !== null) {
          const name = stringValue(text, i, end);
          if (names.has(name)) return 'duplicate';
          names.add(name);
          nameNext = false;
        }
        i = end - 1;
        break;
      }
      case 0x2c:
        nameNext = names !== null;
        break;
      case 0x7b:
      case 0x5b:
        if (open.length === maxDepth) return 'deep';
        names = text.charCodeAt(i) === 0x7b ? new Set() : null;
        nameNext = names !== null;
        open.push(names);
        break;
      case 0x7d:
      case 0x5d:
        open.pop();
        names = open.at(-1) ?? null;
        nameNext = false;
        break;
      default:
    }
  }
  return null;
}

/** Behind the closing quote of the string that begins at `start`; the end of the text when there is none. */
export function stringEnd(text: string, start: number): number {
  let i = start + 1;
  while (i < text.length) {
    const code = text.charCodeAt(i);
    if (code === 0x22) return i + 1;
    i += code === 0x5c ? 2 : 1;
  }
  return text.length;
}

/** What the string token text[start, end) means; a broken one as it stands. */
export function stringValue(text: string, start: number, end: number): string {
  const inner = text.slice(start + 1, end - 1);
  if (!inner.includes('\\')) return inner;
  try {
    return JSON.parse(text.slice(start, end)) as string;
  } catch {
    return inner;
  }
}
