import { nearestName } from '../model/nearest-name.ts';

/** `did you mean "max"?`, or undefined when nothing is near. */
export function didYouMean(word: string, candidates: Iterable<string>): string | undefined {
  const candidate = nearestName(word, candidates);
  return candidate === null ? undefined : `did you mean ${JSON.stringify(candidate)}?`;
}
