/** Reads parameters of a raw query (application/x-www-form-urlencoded: `+` is a space). */

/** One parameter: as it stands in the query, and decoded. One without `=` has the empty value. Broken percent-encoding stays as it is. */
export interface QueryField {
  text: string;
  name: string;
  value: string;
}

/** First value of the parameter, without parsing the others' values; null when it is not there. */
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

/** All parameters in order, empty ones (`&&`) left out. */
export function queryFields(query: string): QueryField[] {
  const fields: QueryField[] = [];
  for (const text of query.split('&')) {
    if (text === '') continue;
    const equals = text.indexOf('=');
    fields.push({
      text,
      name: decodeFormText(equals < 0 ? text : text.slice(0, equals)),
      value: equals < 0 ? '' : decodeFormText(text.slice(equals + 1)),
    });
  }
  return fields;
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
