/** Measures each of several candidates once a round, one after the other, so that what the machine does meanwhile falls on all of them. */
export async function inTurns<C, S>(
  candidates: readonly C[],
  rounds: number,
  what: { name: (candidate: C) => string; progress: (text: string) => void; measure: (candidate: C) => Promise<S> },
): Promise<Map<string, S[]>> {
  const samples = new Map<string, S[]>(candidates.map((candidate) => [what.name(candidate), []]));
  for (let round = 1; round <= rounds; round++) {
    what.progress(`round ${round} of ${rounds}`);
    for (const candidate of candidates) samples.get(what.name(candidate))!.push(await what.measure(candidate));
  }
  return samples;
}
