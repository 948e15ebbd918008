import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** In a checkout `./dormouse` works, an installed package has it on the PATH. */
export function shownCommand(cwd: string): string {
  return existsSync(join(cwd, 'dormouse')) && existsSync(join(cwd, 'examples/services')) ? './dormouse' : 'dormouse';
}
