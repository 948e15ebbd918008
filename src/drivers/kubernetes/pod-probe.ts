/** Asks a pod's port until it answers: the kubelet looks once a second at best, and what it finds still has to come through the API server. */
import type { HostPort } from '../../model/config.ts';
import type { Clock } from '../../model/ports.ts';
import { probe, type ProbeResult, type ProbeTarget } from '../probe/probe.ts';
import type { ProbePace } from '../probe/readiness.ts';
import type { Speech } from '../probe/speech.ts';

/** A connection within a cluster is there in a millisecond or was lost on the way. */
const CONNECT_TIMEOUT_MS = 500;
const ANSWER_TIMEOUT_MS = 1000;
/** As long as nobody but us was to reach it: a network policy may keep this program from pods that serve others well. */
const UNREACHABLE_AFTER_MS = 2000;
/** A program that hasn't listened for so long is asked seldom. */
const PATIENCE_MS = 300_000;
const SELDOM_MS = 5000;

const UNREACHABLE = new Set(['TIMEOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EACCES', 'EPERM', 'ENETDOWN', 'EHOSTDOWN']);

export interface PodProbeOptions {
  target: HostPort;
  http: ProbeTarget['http'];
  speech: Speech;
  pace: ProbePace;
  clock: Clock;
  /** Called once, and then it is over. */
  ready(): void;
  /** Called once, when for 2 s every packet was lost on the way. It goes on asking. */
  unreachable(): void;
}

/** Begins at once, ends with the first success or the returned function. One timer or one connection at any time. */
export function probePod(options: PodProbeOptions): () => void {
  const { target, http, speech, pace, clock } = options;
  const beganMs = clock.nowMs();
  const timeoutMs = http === null ? CONNECT_TIMEOUT_MS : ANSWER_TIMEOUT_MS;
  let reachedMs = beganMs;
  let toldUnreachable = false;
  let ended = false;
  let timer: NodeJS.Timeout | null = null;
  let abandon: (() => void) | null = null;
  let patient = true;
  pace.enter();

  const end = (): void => {
    if (ended) return;
    ended = true;
    if (patient) pace.leave();
    if (timer !== null) clearTimeout(timer);
    abandon?.();
  };

  const attempt = (): void => {
    const startedMs = clock.nowMs();
    timer = null;
    abandon = probe({ ...target, http, speech }, timeoutMs, (result) => {
      if (ended) return;
      if (result.ok) {
        end();
        options.ready();
        return;
      }
      const nowMs = clock.nowMs();
      noteReach(result, nowMs);
      if (ended) return;
      const elapsedMs = nowMs - beganMs;
      if (patient && elapsedMs > PATIENCE_MS) {
        patient = false;
        pace.leave();
      }
      const intervalMs = patient ? pace.intervalMs(elapsedMs, result.answered) : SELDOM_MS;
      timer = setTimeout(attempt, Math.max(1, intervalMs - (nowMs - startedMs)));
    });
  };

  const noteReach = (result: ProbeResult & { ok: false }, nowMs: number): void => {
    if (result.answered || !UNREACHABLE.has(result.code)) {
      reachedMs = nowMs;
      return;
    }
    if (toldUnreachable || nowMs - reachedMs < UNREACHABLE_AFTER_MS) return;
    toldUnreachable = true;
    options.unreachable();
  };

  attempt();
  return end;
}
