/** Lists of names with a hash each: inline in the configuration, or a file with a line `name:hash` each, as htpasswd writes them. */

export interface NamedHash {
  name: string;
  hash: string;
}

/** Names and hashes of a file take at most this. */
export const MAX_LIST_BYTES = 1024 * 1024;

const NAME = /^[!-9;-~](?:[ -9;-~]{0,126}[!-9;-~])?$/;

/** A name that can be passed on as a header: printable ASCII without a colon and without a space at its ends, 1 to 128 characters. */
export function isName(name: string): boolean {
  return NAME.test(name);
}

/** Empty lines and those that begin with # say nothing. Throws an Error that names the line, but not what it says. */
export function parseNameList(text: string): NamedHash[] {
  const list: NamedHash[] = [];
  const lines = text.replace(/^\ufeff/, '').split(/\r?\n/);
  for (const [index, line] of lines.entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || trimmed.startsWith('#')) continue;
    const colon = trimmed.indexOf(':');
    const name = trimmed.slice(0, Math.max(0, colon)).trimEnd();
    if (colon < 0 || !isName(name)) throw new Error(`line ${index + 1} is not of the form name:hash`);
    list.push({ name, hash: trimmed.slice(colon + 1).trim() });
  }
  return list;
}
