/** What a filter's schema left for the configuration to look up: files and backends. */
import { NamedBackend } from '../model/named-backend.ts';
import { NamedFile } from '../model/named-file.ts';
import type { Path } from './config-error.ts';
import type { NamedFiles } from './named-files.ts';
import { isMapping } from './plain-data.ts';

/** A name of a backend in a filter's options. */
export interface BackendMention {
  name: string;
  path: Path;
}

/** Replaces them in `value`, however deep (in place where it is plain data), and returns it. Names of backends go to `mentions`; `prefix` is put before each. */
export function lookUpNamed(
  value: unknown,
  at: Path,
  files: NamedFiles,
  mentions: BackendMention[],
  prefix = '',
): unknown {
  if (value instanceof NamedFile) {
    if (value.as === 'text') return files.text(value.written, at, value.read);
    if (value.read === null) return files.path(value.written, at);
    // Only to be told here what is wrong with it.
    files.text(value.written, at, value.read);
    return files.resolve(value.written);
  }
  if (value instanceof NamedBackend) {
    const name = prefix + value.name;
    mentions.push({ name, path: at });
    return name;
  }
  if (Array.isArray(value))
    return value.map((item, index) => lookUpNamed(item, [...at, index], files, mentions, prefix));
  // A schema may have made something else than plain data of its options.
  if (!isMapping(value) || Object.getPrototypeOf(value) !== Object.prototype) return value;
  for (const [key, entry] of Object.entries(value)) {
    const found = lookUpNamed(entry, [...at, key], files, mentions, prefix);
    if (found !== entry) value[key] = found;
  }
  return value;
}
