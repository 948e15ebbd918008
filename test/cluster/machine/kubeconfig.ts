/** Kubeconfig files with a client certificate in them. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Authority, KeyPairFiles } from './certificates.ts';
import { API_SERVER_URL, KUBECONFIGS } from './places.ts';

/** For one user, whose name and group are in the certificate; everything in one file, as users' files are. Returns its path. */
export async function writeKubeconfig(
  authority: Authority,
  name: string,
  user: { commonName: string; organization?: string },
): Promise<string> {
  const files = await authority.issue({ name, ...user });
  const path = join(KUBECONFIGS, name);
  mkdirSync(KUBECONFIGS, { recursive: true });
  writeFileSync(path, kubeconfig(authority.files.certificate, files), { mode: 0o600 });
  return path;
}

function kubeconfig(authority: string, client: KeyPairFiles): string {
  const inline = (file: string): string => readFileSync(file).toString('base64');
  // JSON is YAML.
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        { name: 'test', cluster: { server: API_SERVER_URL, 'certificate-authority-data': inline(authority) } },
      ],
      users: [
        {
          name: 'user',
          user: {
            'client-certificate-data': inline(client.certificate),
            'client-key-data': inline(client.key),
          },
        },
      ],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'user' } }],
      'current-context': 'test',
    },
    null,
    2,
  )}\n`;
}
