import type { Problem } from './config-error.ts';
import { readYamlDocument } from './yaml-document.ts';

/** The data in a YAML text, or what is wrong with it. */
export function readYaml(text: string): { data: unknown } | { problems: Problem[] } {
  return readYamlDocument(text);
}
