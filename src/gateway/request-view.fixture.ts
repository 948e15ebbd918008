import type { RequestView } from './request-view.ts';

export interface ViewParts {
  method?: string;
  target?: string;
  host?: string;
  minor?: number;
  headers?: readonly (readonly [string, string])[];
}

/** A request view from parts, for tests: the head is laid out as on the wire. */
export function requestView(parts: ViewParts = {}): RequestView {
  const { method = 'GET', target = '/', host = 'localhost', minor = 1, headers = [] } = parts;
  const lines: (readonly [string, string])[] = host === '' ? [...headers] : [['Host', host], ...headers];
  let text = `${method} ${target} HTTP/1.${minor}\r\n`;
  const offsets = new Int32Array(lines.length * 5);
  lines.forEach(([name, value], i) => {
    const start = text.length;
    text += `${name}: ${value}\r\n`;
    offsets.set([start, start + name.length, start + name.length + 2, text.length - 2, text.length], i * 5);
  });
  text += '\r\n';
  const question = target.indexOf('?');
  const bracket = host.indexOf(']');
  const colon = host.indexOf(':', bracket + 1);
  const indexOf = (lowerName: string): number => lines.findIndex(([name]) => name.toLowerCase() === lowerName);
  return {
    text,
    method,
    target,
    path: question < 0 ? target : target.slice(0, question),
    query: question < 0 ? '' : target.slice(question + 1),
    minor,
    host,
    hostname: (colon < 0 ? host : host.slice(0, colon)).toLowerCase(),
    count: lines.length,
    offsets,
    indexOf,
    value: (lowerName) => lines[indexOf(lowerName)]?.[1],
    valueAt: (i) => lines[i]![1],
    nameAt: (i) => lines[i]![0],
  };
}
