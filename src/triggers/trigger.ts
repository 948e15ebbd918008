/**
 * What a trigger is: something besides requests that says how many instances a backend needs (messages in a queue, the time of day). A
 * trigger is one file with a definition, its options' schema, and a line in registry.ts; plugins bring others. It runs in the supervisor, once per
 * entry of `backends.NAME.triggers`, from the time that the configuration names it until that no longer does.
 */
import type { OptionsSchema } from '../model/options-schema.ts';
import type { Clock, Logger } from '../model/ports.ts';

/** What a trigger knows at a moment. It replaces what was reported before, and stands until the next report. */
export interface TriggerReport {
  /** Whether the backend is to be awake. It wakes it, and keeps it awake while it stands. */
  active: boolean;
  /** Instances that would be right, >= 0. While anything keeps the backend awake the largest of all triggers and of the requests' demand counts, within scale.min and scale.max. */
  desired: number;
  /** For people, in `dormouse status`: "12 messages wait in jobs". Cut to 200 characters. */
  reason: string;
  /**
   * What it measured, for a formula and for whoever else scales (HPA, KEDA). `value`: of the whole backend, e.g. messages, >= 0; `target`: of one instance, > 0;
   * `activation`: it is active above this. `desired` is value / target then, rounded up. Left out: the value is `desired`, the target 1.
   */
  metric?: { value: number; target: number; activation: number };
}

export interface TriggerContext {
  /** The backend's name. */
  readonly backend: string;
  /** The trigger's name. */
  readonly name: string;
  readonly clock: Clock;
  /** Says whose trigger it is on each line. */
  readonly logger: Logger;
  /**
   * The source could not be asked. What was reported last stands, the backend is neither put to sleep nor made smaller, and `reason` is shown (one
   * sentence with the next step, cut to 300 characters), until the next report. Failures in a row count for scale.fallback.
   */
  failed(reason: string): void;
  /**
   * Calls this whenever somebody scales by what was reported and it is some seconds old: a source that is asked now and then is asked at once. Without it what was reported counts
   * as the present. One listener: the last one.
   */
  onAsked(listener: () => void): void;
  /**
   * A Secret of the namespace of the backend, as text by its keys. Rejects with an Error that says what to do when there is none, or when nothing can be
   * read: outside of a cluster. Bounded by `signal`.
   */
  readSecret(name: string, signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
}

export interface TriggerDefinition {
  /** How its options are checked; without it there are none. */
  options?: OptionsSchema;
  /**
   * Watches until `signal` aborts, and calls `report` at the beginning and when something changes. It may return when it has begun, or
   * a promise that lives as long as it does. When it throws or the promise rejects it is started again (after 1 s, doubled up to 60 s);
   * meanwhile the last report stands. What it holds must be given back when the signal aborts.
   */
  start(
    options: never,
    signal: AbortSignal,
    report: (report: TriggerReport) => void,
    context: TriggerContext,
  ): void | Promise<void>;
}

export type TriggerRegistry = Readonly<Record<string, TriggerDefinition>>;
