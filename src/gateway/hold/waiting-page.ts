import type { GatewayBackend } from '../backend.ts';

export interface PageAnswer {
  status: number;
  headers: string;
  body: string;
}

/** Whether the client is a browser that navigates: it prefers text/html by name. Tools that accept anything are held instead. */
export function acceptsHtml(accept: string | undefined): boolean {
  return accept !== undefined && /(^|,)\s*text\/html\s*(;|,|$)/i.test(accept);
}

const HEADERS = 'Cache-Control: no-store\r\nRetry-After: 1\r\nx-dormouse-state: waking\r\n';

/** What the page's script asks: 204 when the backend answers, else 503 with the seconds since the wake began. Never forwarded. */
export function waitingAnswer(backend: GatewayBackend, wallMs: number): PageAnswer {
  if (backend.hasReady) return { status: 204, headers: 'Cache-Control: no-store\r\n', body: '' };
  const crash = backend.activeCrash();
  const body = JSON.stringify({
    state: crash === null ? 'waking' : 'crashing',
    seconds: backend.wakingSinceMs === 0 ? 0 : Math.max(0, Math.round((wallMs - backend.wakingSinceMs) / 100) / 10),
    reason: crash?.reason ?? '',
  });
  return { status: 503, headers: `${HEADERS}Content-Type: application/json\r\n`, body: `${body}\n` };
}

/**
 * The page for browsers while a backend wakes (wake.page). It shows how long it has taken and loads the address again as soon as the backend
 * answers; without scripts it reloads every two seconds. Nothing on it comes from the request.
 */
export function waitingPage(backend: GatewayBackend, wallMs: number): PageAnswer {
  const since = backend.wakingSinceMs === 0 ? wallMs : backend.wakingSinceMs;
  const name = escapeHtml(backend.name);
  const body = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<noscript><meta http-equiv="refresh" content="2"></noscript>
<title>${name} is waking up</title>
<style>
:root { color-scheme: light dark; font-family: system-ui, sans-serif; }
body { display: grid; place-items: center; min-height: 90vh; margin: 0; }
main { text-align: center; max-width: 30rem; padding: 1rem; }
progress { width: 100%; }
#reason { color: #b00020; overflow-wrap: anywhere; }
</style>
</head>
<body>
<main>
<h1>${name} is waking up</h1>
<p>It was asleep because nobody needed it. This page opens it as soon as it answers.</p>
<progress aria-label="waking"></progress>
<p><span id="seconds">${Math.max(0, Math.round((wallMs - since) / 1000))}</span> s</p>
<p id="reason" role="status"></p>
</main>
<script>
const began = performance.now() - ${Math.max(0, Math.round(wallMs - since))};
const seconds = document.getElementById('seconds');
const reason = document.getElementById('reason');
setInterval(() => { seconds.textContent = Math.round((performance.now() - began) / 1000); }, 250);
const look = async () => {
  try {
    const answer = await fetch(location.href, { headers: { 'x-dormouse-wait': '1' }, cache: 'no-store', redirect: 'manual' });
    if (answer.status !== 503) return location.reload();
    const told = await answer.json();
    reason.textContent = told.reason ?? '';
  } catch {}
  setTimeout(look, 400);
};
setTimeout(look, 200);
</script>
</body>
</html>
`;
  return { status: 503, headers: `${HEADERS}Content-Type: text/html; charset=utf-8\r\n`, body };
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}
