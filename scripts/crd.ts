/**
 * `npm run crd`: writes what is made of schemas anew after the schema of dormouse.yaml, docs/configuration.md or the models of the admin API have changed: the custom
 * resources, and openapi.json.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { openApiText } from '../src/apis/admin/openapi.ts';
import { defaultRegistry } from '../src/commands/registry.ts';
import { resourceFiles } from '../src/config/crd/index.ts';
import { jsonSchema } from '../src/config/index.ts';

const folder = new URL('../charts/dormouse/crds/', import.meta.url);
const page = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8');
const registry = defaultRegistry();
mkdirSync(folder, { recursive: true });
for (const { file, text } of resourceFiles(registry, page)) writeFileSync(new URL(file, folder), text);

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
  version: string;
};
writeFileSync(new URL('../src/apis/admin/openapi.json', import.meta.url), openApiText(version, jsonSchema(registry)));
