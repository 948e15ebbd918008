/** A real browser (Chromium, headless), driven over its DevTools protocol: https://chromedevtools.github.io/devtools-protocol/ */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startProgram } from '../../bench/processes.ts';

const START_MS = 30_000;
const CALL_MS = 20_000;

interface Reply {
  id?: number;
  result?: Record<string, unknown>;
  error?: { message: string };
}

export interface Browser {
  goto(url: string): Promise<void>;
  /** What an expression gives in the page. */
  evaluate(expression: string): Promise<unknown>;
  /** Polls until the expression is true in whatever page is loaded then; rejects after `timeoutMs`. */
  until(expression: string, timeoutMs: number): Promise<void>;
  screenshot(path: string): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

export async function startBrowser(): Promise<Browser> {
  const profile = mkdtempSync(join(tmpdir(), 'dormouse-browser-'));
  const program = startProgram(
    [
      'chromium',
      '--headless=new',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-dev-shm-usage',
      '--no-first-run',
      '--disable-background-networking',
      '--remote-debugging-port=0',
      `--user-data-dir=${profile}`,
      'about:blank',
    ],
    { core: null, env: { HOME: profile } },
  );
  const dispose = async (): Promise<void> => {
    await program.stop();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const page = await pageAddress(() => program.errors());
    const socket = new WebSocket(page);
    await new Promise((resolve, reject) => {
      socket.addEventListener('open', resolve, { once: true });
      socket.addEventListener('error', () => reject(new Error(`no connection to ${page}`)), { once: true });
    });
    return browserOver(socket, dispose);
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** The browser says on standard error where it listens. */
async function pageAddress(errors: () => string): Promise<string> {
  const deadline = performance.now() + START_MS;
  for (;;) {
    const base = /DevTools listening on ws:\/\/([^/\s]+)/.exec(errors())?.[1];
    if (base !== undefined) {
      const pages = (await (await fetch(`http://${base}/json/list`)).json()) as {
        type: string;
        webSocketDebuggerUrl: string;
      }[];
      const page = pages.find((one) => one.type === 'page');
      if (page) return page.webSocketDebuggerUrl;
    }
    if (performance.now() > deadline) throw new Error(`chromium did not start:\n${errors()}`);
    await delay(50);
  }
}

function browserOver(socket: WebSocket, dispose: () => Promise<void>): Browser {
  const waiting = new Map<number, (reply: Reply) => void>();
  let last = 0;
  socket.addEventListener('message', (event) => {
    const reply = JSON.parse(String(event.data)) as Reply;
    if (reply.id !== undefined) waiting.get(reply.id)?.(reply);
  });
  const call = async (method: string, params: Record<string, unknown> = {}): Promise<Record<string, unknown>> => {
    const id = ++last;
    const reply = await new Promise<Reply>((resolve) => {
      const bound = setTimeout(() => resolve({ error: { message: 'no answer' } }), CALL_MS);
      waiting.set(id, (value) => {
        clearTimeout(bound);
        resolve(value);
      });
      socket.send(JSON.stringify({ id, method, params }));
    });
    waiting.delete(id);
    if (reply.error) throw new Error(`${method}: ${reply.error.message}`);
    return reply.result ?? {};
  };
  const evaluate = async (expression: string): Promise<unknown> => {
    const { result } = await call('Runtime.evaluate', { expression, returnByValue: true, awaitPromise: true });
    return (result as { value?: unknown }).value;
  };
  return {
    evaluate,
    async goto(url) {
      const { errorText } = await call('Page.navigate', { url });
      if (typeof errorText === 'string') throw new Error(`${url}: ${errorText}`);
    },
    async until(expression, timeoutMs) {
      const deadline = performance.now() + timeoutMs;
      // While a page is being replaced there is nothing to evaluate in: that counts as "not yet".
      while ((await evaluate(expression).catch(() => false)) !== true) {
        if (performance.now() > deadline) {
          throw new Error(
            `not seen within ${timeoutMs} ms: ${expression}; the page says: ${String(await evaluate('document.body.innerText'))}`,
          );
        }
        await delay(50);
      }
    },
    async screenshot(path) {
      const { data } = await call('Page.captureScreenshot', { format: 'png' });
      writeFileSync(path, Buffer.from(String(data), 'base64'));
    },
    async [Symbol.asyncDispose]() {
      socket.close();
      await dispose();
    },
  };
}
