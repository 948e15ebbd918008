import type { Problem } from './config-error.ts';
import { readPlainYaml } from './plain-yaml.ts';
import { readYamlDocument } from './yaml-document.ts';

/** The data in a YAML text, or what is wrong with it: the fast reader where it is certain, the full parser otherwise. */
export function readYaml(text: string): { data: unknown } | { problems: Problem[] } {
  const data = readPlainYaml(text);
  return data === undefined ? readYamlDocument(text) : { data };
}
