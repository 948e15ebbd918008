import type { TriggerRegistry } from './trigger.ts';

/** The triggers by their names in `backends.NAME.triggers`. Another one is a file and a line here. None is built in yet. */
export const triggers: TriggerRegistry = {};
