/**
 * What runs, on disk, for the start after a supervisor that was killed: `<stateDir>/instances/<id>.json`, mode 0600. Written beside the wake and not before
 * it; a child whose record was not written yet is found by its marker.
 */
import { mkdir, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../model/ports.ts';
import { writeSecret } from './marker.ts';
import { bootId } from './process-table.ts';
import type { ProcessTable } from './process-table.ts';

export interface InstanceRecord {
  instance: string;
  backend: string;
  pid: number;
  pgid: number;
  startTime: string;
  boot: string;
  marker: string;
  port: number;
}

const MAX_RECORD_BYTES = 4096;

export class InstanceRecords {
  readonly #folder: string;
  readonly #table: ProcessTable;
  readonly #logger: Logger;
  #ready: Promise<string> | null = null;
  /** Instance -> what is being done about its file: writing and removing never overtake each other. */
  readonly #pending = new Map<string, Promise<void>>();
  #complained = false;

  constructor(stateDir: string, table: ProcessTable, logger: Logger) {
    this.#folder = join(stateDir, 'instances');
    this.#table = table;
    this.#logger = logger;
  }

  /** Returns at once. A full disk is logged once and no reason to refuse a wake. */
  add(record: Omit<InstanceRecord, 'startTime' | 'boot'>): void {
    this.#after(record.instance, async () => {
      const startTime = await this.#table.startTime(record.pid);
      if (startTime === null) return;
      this.#ready ??= mkdir(this.#folder, { recursive: true, mode: 0o700 }).then(bootId);
      const boot = await this.#ready.catch((error: unknown) => {
        this.#ready = null;
        throw error;
      });
      await writeSecret(this.#file(record.instance), `${JSON.stringify({ ...record, startTime, boot })}\n`);
    });
  }

  /** Resolves when the file is gone. */
  remove(instance: string): Promise<void> {
    return this.#after(instance, () => rm(this.#file(instance), { force: true }));
  }

  #after(instance: string, step: () => Promise<void>): Promise<void> {
    const work = (this.#pending.get(instance) ?? Promise.resolve()).then(step).catch((error: unknown) => {
      if (this.#complained) return;
      this.#complained = true;
      this.#logger.warn(`can't keep records of running instances in ${this.#folder}: ${(error as Error).message}`);
    });
    this.#pending.set(instance, work);
    void work.then(() => {
      if (this.#pending.get(instance) === work) this.#pending.delete(instance);
    });
    return work;
  }

  #file(instance: string): string {
    return join(this.#folder, `${encodeURIComponent(instance)}.json`);
  }
}

/** All records of a state folder that can be read, with their files. Anything else in the folder is left out; half-written files are returned as `junk`. */
export async function readRecords(
  stateDir: string,
): Promise<{ records: { file: string; record: InstanceRecord }[]; junk: string[] }> {
  const folder = join(stateDir, 'instances');
  const names = await readdir(folder).catch(() => [] as string[]);
  const records: { file: string; record: InstanceRecord }[] = [];
  const junk: string[] = [];
  for (const name of names) {
    const file = join(folder, name);
    if (name.endsWith('.tmp')) junk.push(file);
    if (!name.endsWith('.json')) continue;
    const record = parseRecord(await readFile(file, 'utf8').catch(() => ''));
    if (record === null) junk.push(file);
    else records.push({ file, record });
  }
  return { records, junk };
}

function parseRecord(text: string): InstanceRecord | null {
  if (text.length > MAX_RECORD_BYTES) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const { instance, backend, pid, pgid, startTime, boot, marker, port } = value as Record<string, unknown>;
  const strings = [instance, backend, startTime, boot, marker].every((item) => typeof item === 'string');
  // 0, 1 and negative numbers mean "everybody" to kill(2).
  const numbers = [pid, pgid].every((item) => Number.isInteger(item) && (item as number) > 1) && Number.isInteger(port);
  return strings && numbers ? (value as InstanceRecord) : null;
}
