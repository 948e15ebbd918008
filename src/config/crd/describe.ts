/** Descriptions of keys from docs/configuration.md: what is said of a key is written once. */

/** The meaning of each key that has one said, by its place, `backends.NAME.scale.max`, without marks of Markdown. `page`: the text of docs/configuration.md. */
export function meanings(page: string): Map<string, string> {
  const rows = page.matchAll(/^\| `([^`]+)` \| (?:[^|\n]*) \| ([^\n]*?) ?\|$/gm);
  return new Map([...rows].map((row) => [row[1]!, plain(row[2]!)] as const).filter(([, meaning]) => meaning !== ''));
}

function plain(text: string): string {
  return text
    .replaceAll(/\[([^\]]+)\]\([^)]*\)/g, '$1')
    .replaceAll('`', '')
    .trim();
}
