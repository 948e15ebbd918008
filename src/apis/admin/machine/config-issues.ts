/** From the place of a key in the configuration (`backends.shop.scale.max`, `backends["my.shop"].env[0]`) to a JSON pointer into the body that made it. */

/** null: it is about something else. A route of the backend is told by its hosts and path, which stand at the top of the body. */
export function pointerOf(key: string, name: string): string | null {
  const parts = partsOf(key);
  if (parts[0] !== 'backends' || parts[1] !== name) return null;
  const rest = parts.slice(2);
  if (rest[0] !== 'route') return pointer(rest);
  if (rest[1] === 'hosts' || rest[1] === 'listeners') return pointer(rest.slice(1));
  return rest.includes('path') ? '/path' : '';
}

function pointer(parts: readonly string[]): string {
  return parts.map((part) => `/${part.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function partsOf(key: string): string[] {
  const parts: string[] = [];
  for (const match of key.matchAll(/\[("(?:[^"\\]|\\.)*")\]|\[(\d+)\]|([^.[\]]+)/g)) {
    parts.push(match[1] === undefined ? (match[2] ?? match[3]!) : (JSON.parse(match[1]) as string));
  }
  return parts;
}
