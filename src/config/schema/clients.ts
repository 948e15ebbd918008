import { z } from 'zod';
import { network, section } from './scalars.ts';

/** `clients: { allow, deny }`, which listeners, backends, routes and the whole program have. */
export function clientsSection() {
  return section({
    allow: networks(),
    deny: networks(),
  }).prefault({});
}

/** Addresses and CIDR blocks, v4 and v6. */
export function networks() {
  return z.array(network()).max(10_000).prefault([]);
}
