/** `npm run crd`: writes the custom resources anew after the schema of dormouse.yaml or docs/configuration.md has changed. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { defaultRegistry } from '../src/commands/registry.ts';
import { resourceFiles } from '../src/config/crd/index.ts';

const folder = new URL('../charts/dormouse/crds/', import.meta.url);
const page = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8');
mkdirSync(folder, { recursive: true });
for (const { file, text } of resourceFiles(defaultRegistry(), page)) writeFileSync(new URL(file, folder), text);
