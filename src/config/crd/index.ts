/** The custom resources of the program, generated from the schema of dormouse.yaml: charts/dormouse/crds. */
import { stringify } from 'yaml';
import type { ConfigRegistry } from '../schema/file.ts';
import { backendResource } from './backend-crd.ts';
import { meanings } from './describe.ts';
import { routeFilterResource } from './route-filter-crd.ts';
import { routePolicyResource } from './route-policy-crd.ts';
import type { Schema } from './structural.ts';

/** Tools of Kubernetes read YAML 1.1, in which a plain on or off is true or false. */
const OPTIONS = { version: '1.1', lineWidth: 120, aliasDuplicateObjects: false } as const;

export interface ResourceFile {
  /** `backends.dormouse.dev.yaml`. */
  file: string;
  text: string;
  resource: Schema;
}

/** `page`: the text of docs/configuration.md, which has the meaning of each key. */
export function resourceFiles(registry: ConfigRegistry, page: string): ResourceFile[] {
  const keys = meanings(page);
  const resources = [backendResource(registry, keys), routeFilterResource(registry, keys), routePolicyResource(keys)];
  return resources.map((resource) => ({
    file: `${(resource['metadata'] as { name: string }).name}.yaml`,
    text: `# Generated from the schema of dormouse.yaml by \`npm run crd\`.\n${stringify(resource, OPTIONS)}`,
    resource,
  }));
}
