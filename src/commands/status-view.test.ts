import assert from 'node:assert/strict';
import { test } from 'node:test';
import { STATUS } from '../apis/control/control-target.fixture.ts';
import type { BackendStatus, Status } from '../model/status.ts';
import type { CommandContext } from './command.ts';
import { durationText, sinceText } from './duration-text.ts';
import { LiveScreen } from './live-screen.ts';
import { backendStatus } from '../model/backend-status.fixture.ts';
import { backendLines, backendTable, statusLines, whyText } from './status-view.ts';
import { topLines } from './top.ts';

const NOW = 1_700_000_000_000;

function backend(name: string, over: Partial<BackendStatus> = {}): BackendStatus {
  return backendStatus({ name, sinceMs: NOW - 65_000, ...over });
}

const crash = {
  reason: 'exited with code 1',
  atMs: NOW,
  retryAtMs: NOW + 4000,
  attempts: 1,
  lastLogLines: ['l'.repeat(300)],
};
const idle = backend('idle').demand;
const status: Status = {
  ...STATUS,
  backends: [
    backend('quiet'),
    backend('held', { phase: 'waking', demand: { ...idle, held: 5 } }),
    backend('broken', { crash }),
    backend('busy', { phase: 'awake', demand: { ...idle, inFlight: 7, requestsPerSecond: 12_345 } }),
  ],
};

/** What a terminal shows of a line. */
function visible(line: string): string {
  // oxlint-disable-next-line no-control-regex
  return line.replaceAll(/\x1b\[[0-9;?]*[a-zA-Z]/g, '');
}

test('durations read as people say them', () => {
  assert.deepEqual(
    [0.04, 0.42, 12.34, 412, 999.6, 3210, 9960, 59_600, 130_000, 3_900_000, 90_000_000].map(durationText),
    ['0 ms', '0.4 ms', '12 ms', '412 ms', '1.0 s', '3.2 s', '10 s', '1m 0s', '2m 10s', '1h 5m', '1d 1h'],
  );
  assert.deepEqual([-5, 0, 59_999, 130_000].map(sinceText), ['0s', '0s', '59s', '2m 10s']);
});

test('no line is wider than the terminal, with colours or without', () => {
  for (const width of [20, 60, 100]) {
    for (const colours of [true, false]) {
      const failed = { ...status, config: { ...status.config, lastError: `${'e'.repeat(200)}\nmore` } };
      for (const line of statusLines(failed, { nowMs: NOW, colours, width }))
        assert.ok(visible(line).length <= width, `${width}: ${visible(line)}`);
    }
  }
});

test('without a width nothing is cut', () => {
  const long = backend('long', { why: 'w'.repeat(500) });
  const lines = statusLines({ ...status, backends: [long] }, { nowMs: NOW, colours: false, width: 0 });
  assert.ok(lines.some((line) => line.endsWith('w'.repeat(500))));
});

test('why: what keeps it awake, or when it will sleep, and who woke it', () => {
  const lastWoken = { atMs: NOW, tookMs: 5, by: { kind: 'dependency' as const, backend: 'shop', atMs: NOW } };
  assert.equal(
    whyText(backend('a', { phase: 'awake', awakeBecause: ['scale.min is 1', '1 open WebSocket'], lastWoken }), NOW),
    'scale.min is 1; 1 open WebSocket; woken by shop needs it',
  );
  assert.equal(
    whyText(backend('a', { phase: 'awake', why: 'woken', sleepsAtMs: NOW + 12_000 }), NOW),
    'woken; sleeps in 12s',
  );
  assert.equal(whyText(backend('a', { crash }), NOW), 'exited with code 1');
});

test('a crash: who tries again, and when', () => {
  const view = { nowMs: NOW, colours: false, width: 0 };
  const line = (over: Partial<BackendStatus>): string | undefined =>
    statusLines({ ...status, backends: [backend('a', over)] }, view).find((text) => text.includes('is crashing'));
  const over = { ...crash, retryAtMs: NOW - 1 };
  assert.match(line({ crash: { ...crash, retryAtMs: NOW + 5000 } })!, /; next try in 5\.0 s\)$/);
  assert.match(line({ crash: over })!, /; the next request tries again\)$/);
  assert.match(line({ crash: over, phase: 'waking' })!, /; trying again\)$/);
  assert.match(line({ crash: over, min: 1 })!, /; trying again\)$/);
});

test('top: what needs a look comes first', () => {
  const lines = topLines(status, { nowMs: NOW, colours: false, width: 0 });
  const order = lines.map((line) => /^(quiet|held|broken|busy) /.exec(line)?.[1]).filter(Boolean);
  assert.deepEqual(order, ['broken', 'held', 'busy', 'quiet']);
  assert.ok(lines.includes('1 awake, 1 waking, 0 falling asleep, 1 asleep, 1 crashing'));
});

test('open breakers and ejected instances stand before everything else', () => {
  const instance = {
    id: 'shop-1',
    state: 'ready',
    address: '127.0.0.1:1',
    pid: 1,
    sinceMs: NOW,
    reason: '',
    ejectedBy: 2,
  };
  const shop = backend('shop', {
    phase: 'awake',
    awakeBecause: ['2 requests in flight'],
    breaker: { closed: 1, halfOpen: 1, open: 2 },
    instances: [instance, { ...instance, id: 'shop-2', ejectedBy: 0 }],
  });
  assert.equal(
    whyText(shop, NOW),
    'breaker open in 2, trying in 1 of 4 workers; 1 of 2 instances ejected; 2 requests in flight',
  );
  const lines = backendLines(shop, { nowMs: NOW, colours: false, width: 0 });
  assert.ok(lines.includes('  breaker       open in 2, trying in 1 of 4 workers'));
  assert.ok(lines.some((line) => line.includes('shop-1') && line.endsWith('ejected by 2 workers')));
  const well = backend('shop', { phase: 'awake', awakeBecause: ['x'], breaker: { closed: 4, halfOpen: 0, open: 0 } });
  assert.equal(whyText(well, NOW), 'x');
  assert.ok(backendLines(well, { nowMs: NOW, colours: false, width: 0 }).includes('  breaker       closed'));
});

test('a live screen gives the terminal back, fits its lines, and ends by q and by Ctrl-C', () => {
  for (const key of ['q', '\x03']) {
    let written = '';
    let press: (key: string) => void = () => {};
    let listening = true;
    const context: CommandContext = {
      env: {},
      cwd: '/',
      out: (text) => void (written += text),
      err() {},
      input: () => null,
      terminal: {
        isTTY: true,
        attached: true,
        colours: false,
        size: () => ({ columns: 10, rows: 4 }),
        onKey: (listener) => {
          press = listener;
          return () => void (listening = false);
        },
      },
      interrupted: () => new AbortController().signal,
    };
    {
      using screen = new LiveScreen(context);
      screen.draw(['a'.repeat(50), 'b', 'c', 'd', 'e']);
      press('x');
      assert.equal(screen.ended.aborted, false);
      press(key);
      assert.equal(screen.ended.aborted, true);
    }
    assert.equal(listening, false);
    assert.ok(written.startsWith('\x1b[?1049h\x1b[?25l') && written.endsWith('\x1b[?25h\x1b[?1049l'));
    assert.deepEqual(visible(written).split('\r\n'), ['aaaaaaaaa…', 'b', '… 3 more …', '']);
  }
});

test('servers that somebody else runs have no number that they could be scaled to', () => {
  const server = { id: 'old-1', state: 'ready' } as BackendStatus['instances'][number];
  const old = backend('old', {
    driver: 'static',
    phase: 'awake',
    max: 1,
    instances: [server, { ...server, id: 'old-2' }],
  });
  const lines = backendTable([old], { nowMs: NOW, width: 0, colours: false });
  assert.match(lines[1]!, /^old\s+awake\s+1m 5s\s+2\/2\s+0/);
});
