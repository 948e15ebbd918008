import { z } from 'zod';

/** A host name or address (IPv6 in brackets) without port. */
export const hostSchema = z
  .string()
  .regex(
    /^(?=.{1,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*|\[[0-9A-Fa-f:.]+\])$/,
    'a host name or address, e.g. www.example.com; no scheme and no wildcard',
  );

export const portSchema = z
  .int('a port is a number of 1 to 65535')
  .min(1, 'a port is a number of 1 to 65535')
  .max(65535, 'a port is a number of 1 to 65535');
