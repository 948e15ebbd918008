/** What bench/apps/stamping-app.cjs answers. */
export interface Stamp {
  pid: number;
  readyNs: string;
  ownMs: number;
  sequence: number;
  bodyBytes: number;
  echo?: string;
}

/** The same on node:net, prompt from its first request on. */
export const PROMPT_APP = new URL('prompt-app.cjs', import.meta.url).pathname;

export const STAMPING_APP = new URL('stamping-app.cjs', import.meta.url).pathname;

/** A backend entry of dormouse.yaml that runs the stamping application. */
export function stampingBackend(overrides: {
  process?: Record<string, unknown>;
  scale?: Record<string, unknown>;
  wake?: Record<string, unknown>;
  endpoints?: Record<string, unknown>;
}): Record<string, unknown> {
  return {
    ...overrides,
    process: { command: [process.execPath, STAMPING_APP], ...overrides.process },
  };
}
