import type { NewCondition } from './translation.ts';

/** The API's bound on a condition's message, characters. */
const MAX_MESSAGE = 32_768;

/** A condition of an object with this generation. */
export function condition(
  type: string,
  status: boolean,
  reason: string,
  message: string,
  generation: number | undefined,
): NewCondition {
  return {
    type,
    status: status ? 'True' : 'False',
    reason,
    message: message.length > MAX_MESSAGE ? `${message.slice(0, MAX_MESSAGE - 1)}…` : message,
    observedGeneration: generation ?? 0,
  };
}
