/** The greatest value of the last slots: a scale-down waits until the higher number has left the window. */
export interface DelayWindow {
  /** Length of one slot in ms. */
  readonly slotMs: number;
  /** ceil(delay / slot); 0: no delay. */
  readonly slots: number;
  /** Newest last; at most `slots` of them. */
  readonly values: readonly { readonly slot: number; readonly max: number }[];
}

export function delayWindow(delayMs: number, slotMs: number): DelayWindow {
  return { slotMs, slots: Math.ceil(delayMs / slotMs), values: [] };
}

/** Adds `value` at `nowMs`; gives the window after it and the greatest value of its slots. */
export function delayed(window: DelayWindow, nowMs: number, value: number): { window: DelayWindow; max: number } {
  if (window.slots === 0) return { window, max: value };
  const slot = Math.floor(nowMs / window.slotMs);
  const values = window.values.filter((entry) => entry.slot > slot - window.slots);
  const last = values.at(-1);
  if (last !== undefined && last.slot === slot) values[values.length - 1] = { slot, max: Math.max(last.max, value) };
  else values.push({ slot, max: value });
  let max = value;
  for (const entry of values) max = Math.max(max, entry.max);
  return { window: { ...window, values }, max };
}
