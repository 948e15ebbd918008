/** The environment that the chart gives a program, so that one that is started here runs as it does in a cluster. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

const RENDERED = join(import.meta.dirname, '../../charts/rendered/install.yaml');

interface Workload {
  kind?: string;
  metadata?: { name?: string };
  spec?: { template?: { spec?: { containers?: { env?: { name: string; value?: string }[] }[] } } };
}

/** Of the first container; what comes from elsewhere (fields of the pod, Secrets) is left out. */
export function chartEnvironment(workload: string): Record<string, string> {
  for (const document of parseAllDocuments(readFileSync(RENDERED, 'utf8'))) {
    const { metadata, spec } = (document.toJS() ?? {}) as Workload;
    const [container] = spec?.template?.spec?.containers ?? [];
    if (metadata?.name !== workload || container === undefined) continue;
    return Object.fromEntries(
      (container.env ?? []).flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]])),
    );
  }
  throw new Error(`${RENDERED} has no workload ${workload}; npm run chart renders it`);
}
