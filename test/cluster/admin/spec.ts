import { APP_IMAGE } from '../machine/index.ts';

/** The test application behind a route. */
export function specOf(name: string): Record<string, unknown> {
  return {
    image: APP_IMAGE,
    pullPolicy: 'Never',
    port: 8080,
    hosts: [`${name}.admin.example`],
    env: { NAME: name },
    scale: { idleAfter: '10m' },
  };
}
