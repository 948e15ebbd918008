/** Reads one parameter of a raw query without parsing the others. */

/**
 * First value of the parameter, decoded as application/x-www-form-urlencoded (`+` is a space); null when it is not there. A parameter
 * without `=` has the empty value. Broken percent-encoding stays as it is.
 */
export function queryValue(query: string, name: string): string | null {
  if (query === '') return null;
  let start = 0;
  while (start <= query.length) {
    let end = query.indexOf('&', start);
    if (end < 0) end = query.length;
    if (end > start) {
      let equals = query.indexOf('=', start);
      if (equals < 0 || equals > end) equals = end;
      if (decodeFormText(query.slice(start, equals)) === name)
        return equals === end ? '' : decodeFormText(query.slice(equals + 1, end));
    }
    start = end + 1;
  }
  return null;
}

function decodeFormText(text: string): string {
  const percent = text.indexOf('%') >= 0;
  if (!percent && text.indexOf('+') < 0) return text;
  const spaced = text.replaceAll('+', ' ');
  if (!percent) return spaced;
  const bytes = spaced.replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
