/** h2spec, built from its Go module into a cache outside of the repository. */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const MODULE = 'github.com/summerwind/h2spec/cmd/h2spec';
const VERSION = 'v2.2.1+incompatible';
const BUILD_MS = 5 * 60_000;
const RUN_MS = 2 * 60_000;

export interface Case {
  /** As in `http2/5.1.1: Sends even-numbered stream identifier`. */
  name: string;
  failed: boolean;
  /** What was expected and what came. */
  detail: string;
}

/** The program's path; builds it where it is missing. Throws with what to do when that is not possible. */
export function ensureH2spec(): string {
  const cache = process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache');
  const folder = join(cache, 'dormouse', `h2spec-${VERSION.slice(1).replace('+incompatible', '')}`);
  const program = join(folder, 'h2spec');
  if (existsSync(program)) return program;
  if (spawnSync('go', ['version']).status !== 0) {
    throw new Error(
      `h2spec is built from its Go module, and there is no go here. Install Go 1.21 or later (https://go.dev/dl), or put an h2spec ${VERSION} at ${program}.`,
    );
  }
  mkdirSync(folder, { recursive: true });
  try {
    execFileSync('go', ['install', `${MODULE}@${VERSION}`], {
      env: { ...process.env, GOBIN: folder, GOFLAGS: '-mod=mod' },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: BUILD_MS,
    });
  } catch (error) {
    const { stderr } = error as { stderr?: Buffer };
    throw new Error(`h2spec could not be built: ${stderr?.toString().trim() ?? String(error)}`, { cause: error });
  }
  return program;
}

/** Runs all cases, strict ones too, against 127.0.0.1. `report`: a file that it may write. */
export async function runH2spec(program: string, port: number, tls: boolean, report: string): Promise<Case[]> {
  const args = ['-h', '127.0.0.1', '-p', String(port), '-S', '-o', '2', '-j', report, ...(tls ? ['-t', '-k'] : [])];
  // Its exit code says whether a case failed; the report says which.
  await new Promise<void>((resolve, reject) => {
    execFile(program, args, { timeout: RUN_MS, maxBuffer: 1 << 26 }, (error) => {
      if (error?.killed === true) reject(error);
      else resolve();
    });
  });
  return parseReport(readFileSync(report, 'utf8'));
}

/** JUnit's XML as h2spec writes it. */
export function parseReport(xml: string): Case[] {
  return Array.from(
    xml.matchAll(/<testcase ([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs),
    ([, attributes = '', content = '']) => {
      const of = (name: string): string => unescape(new RegExp(`${name}="([^"]*)"`).exec(attributes)?.[1] ?? '');
      return {
        name: `${of('package')}: ${of('classname')}`,
        failed: /<(?:failure|error)/.test(content),
        detail: unescape(content.replace(/<[^>]*>/g, ' ')).trim(),
      };
    },
  );
}

function unescape(text: string): string {
  const named: Record<string, string> = {
    lt: '<',
    gt: '>',
    quot: '"',
    apos: "'",
    amp: '&',
    '#34': '"',
    '#39': "'",
    '#xA': '\n',
  };
  return text.replace(/&(#?\w+);/g, (whole, name: string) => named[name] ?? whole);
}
