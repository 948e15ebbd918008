/**
 * What KEDA and HPAs are told of a backend. The leader knows; another replica asks it for each answer, so that no replica ever says of a backend that is wanted that it is
 * not: a false is what KEDA goes to zero by.
 */
import type { ScaleMetric } from '../../model/demand.ts';
import { DormouseError } from '../../model/errors.ts';

export interface ScaleFigures {
  /** Whether it is to run. */
  wanted: boolean;
  /** At least one. */
  metrics: Figure[];
}

export interface Figure extends ScaleMetric {
  /** Too old to be scaled by: whoever asks is told so and stands still. */
  isStale: boolean;
}

export interface FiguresSource {
  /**
   * `backend`: `NAMESPACE/NAME`. `fresh`: by its metrics something is scaled, so that sources whose last answer is older than 5 s are asked anew first, for a second at most. Rejects with DORMOUSE_FIGURES_UNKNOWN (no such
   * Backend) or DORMOUSE_FIGURES_UNAVAILABLE (nobody can say at the moment: ask again).
   */
  get(backend: string, signal: AbortSignal, fresh?: boolean): Promise<ScaleFigures>;
  /** Told at once of each backend that becomes wanted, perhaps more than once. */
  onWanted(listener: (backend: string) => void): () => void;
}

export function unknownFigures(backend: string): DormouseError {
  const [namespace, name] = backend.split('/');
  return new DormouseError(
    'DORMOUSE_FIGURES_UNKNOWN',
    `there is no Backend ${name} in namespace ${namespace}, or it is not accepted: look at kubectl get backends -n ${namespace}`,
    { userFault: true },
  );
}

/** The metric of this name. Throws DORMOUSE_FIGURES_UNKNOWN with the names that there are, or DORMOUSE_FIGURES_UNAVAILABLE when it is stale. */
export function figureOf(backend: string, { metrics }: ScaleFigures, name: string): Figure {
  const figure = metrics.find((one) => one.name === name);
  if (figure === undefined) {
    const known = metrics.map((one) => one.name).join(', ');
    const asked = JSON.stringify(name.length > 100 ? `${name.slice(0, 99)}…` : name);
    throw new DormouseError('DORMOUSE_FIGURES_UNKNOWN', `Backend ${backend} has no metric ${asked}; it has ${known}`, {
      userFault: true,
    });
  }
  if (figure.isStale) throw unavailableFigures(`${name} of ${backend} is older than 5 s: no gateway is heard of`);
  return figure;
}

export function unavailableFigures(reason: string, cause?: unknown): DormouseError {
  return new DormouseError(
    'DORMOUSE_FIGURES_UNAVAILABLE',
    `what it is scaled by is not known at the moment: ${reason}`,
    {
      cause,
    },
  );
}
