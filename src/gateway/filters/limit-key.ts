/** By what requests are told apart that a limit counts. */
import { hash } from 'node:crypto';
import { joinedValue } from '../request-view.ts';
import type { RequestEdit } from './edits.ts';

export type LimitKeyOptions =
  | { by: 'route' }
  | { by: 'client' }
  | { by: 'identity' }
  | { by: 'header'; name: string }
  | { by: 'claim'; name: string };

/** What a request is counted by that has no such value: its address, one bucket for all of them, or nothing. */
export type MissingKey = 'client' | 'shared' | 'allow';

/** Longer values are kept as their digest. */
const MAX_CHARS = 64;
const SHARED = 'none';

/** The key of a request; null: it isn't limited. */
export function compileLimitKey(options: LimitKeyOptions, missing: MissingKey): (edit: RequestEdit) => string | null {
  const otherwise = (edit: RequestEdit): string | null => {
    if (missing === 'allow') return null;
    return missing === 'shared' ? SHARED : clientKey(edit.client);
  };
  switch (options.by) {
    case 'route':
      return () => '';
    case 'client':
      return (edit) => clientKey(edit.client);
    case 'identity':
      return (edit) => (edit.identity === '' ? otherwise(edit) : bounded('i', edit.identity));
    case 'header': {
      const { name } = options;
      return (edit) => {
        const value = joinedValue(edit.view, name);
        // It may be a credential: neither another process nor a Redis gets to see it.
        return value === undefined || value === '' ? otherwise(edit) : digest('h', value);
      };
    }
    case 'claim': {
      const { name } = options;
      return (edit) => {
        const { claims } = edit;
        const value = claims !== null && Object.hasOwn(claims, name) ? claims[name] : undefined;
        const isPlain = typeof value === 'number' || typeof value === 'boolean';
        if (!isPlain && (typeof value !== 'string' || value === '')) return otherwise(edit);
        return bounded('t', String(value));
      };
    }
  }
}

function bounded(kind: string, value: string): string {
  return value.length <= MAX_CHARS ? `${kind}:${value}` : digest(kind, value);
}

function digest(kind: string, value: string): string {
  return `${kind}#${hash('sha256', value, 'base64url')}`;
}

/** An IPv4 address, or the /64 network of an IPv6 one: who has one address there has 2^64 (RFC 6177). */
export function clientKey(address: string): string {
  return address.includes(':') ? `c:${network64(address)}` : `c:${address}`;
}

function network64(address: string): string {
  const [head = '', tail] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  // An IPv4 address at the end stands for two groups.
  const groups = before.length + after.length + (address.includes('.') ? 1 : 0);
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - groups);
  return [...before, ...Array<string>(zeros).fill('0'), ...after]
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
