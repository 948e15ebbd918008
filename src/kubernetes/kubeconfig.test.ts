import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, describe, it } from 'node:test';
import { systemClock } from '../model/ports.ts';
import { loadClusterConfig } from './cluster-config.ts';
import { loadInCluster } from './in-cluster.ts';

const folder = mkdtempSync(join(tmpdir(), 'kubeconfig-'));
after(() => rmSync(folder, { recursive: true }));

let files = 0;
function file(content: unknown): string {
  files += 1;
  const path = join(folder, `file-${files}`);
  writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content));
  return path;
}

function config(user: object = {}, cluster: object = {}, more: object = {}): object {
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'dev',
    contexts: [{ name: 'dev', context: { cluster: 'c', user: 'u', namespace: 'shop' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443/prefix/', ...cluster } }],
    users: [{ name: 'u', user }],
    ...more,
  };
}

const load = (env: Record<string, string>, more: object = {}) =>
  loadClusterConfig({ env, home: folder, clock: systemClock, ...more });

describe('kubeconfig', () => {
  it('takes server, namespace, token and impersonation of the current context', async () => {
    const path = file(config({ token: 'secret', as: 'jane', 'as-groups': ['devs'] }, { 'tls-server-name': 'api' }));
    const loaded = await load({ KUBECONFIG: path });
    assert.equal(loaded.server, 'https://10.0.0.1:6443/prefix');
    assert.equal(loaded.namespace, 'shop');
    assert.deepEqual(loaded.impersonate, { user: 'jane', groups: ['devs'] });
    assert.equal(loaded.source, `context "dev" of ${path}`);
    const { token, tls } = await loaded.credentials();
    assert.equal(token, 'secret');
    assert.deepEqual(tls, { ca: null, cert: null, key: null, serverName: 'api', insecure: false });
  });

  it('several files are one: the first that names something holds, missing ones are left out', async () => {
    const first = file({ 'current-context': 'prod', users: [{ name: 'u', user: { token: 'first' } }] });
    const second = file(
      config({ token: 'second' }, {}, { contexts: [{ name: 'prod', context: { cluster: 'c', user: 'u' } }] }),
    );
    const paths = [join(folder, 'missing'), first, second];
    const loaded = await load({ KUBECONFIG: paths.join(delimiter) });
    assert.equal((await loaded.credentials()).token, 'first');
    assert.equal(loaded.namespace, 'default');
  });

  it('a file that was named, and a context that was named, go before everything else', async () => {
    const two = [
      { name: 'dev', context: { cluster: 'c', user: 'u' } },
      { name: 'other', context: { cluster: 'c', namespace: 'else' } },
    ];
    const path = file(config({ token: 't' }, {}, { contexts: two }));
    const loaded = await load({ KUBERNETES_SERVICE_HOST: '10.96.0.1' }, { kubeconfig: path, context: 'other' });
    assert.equal(loaded.namespace, 'else');
    assert.equal((await loaded.credentials()).token, null);
  });

  it('a token file is read again: after a minute, and at once when the server refused what was in it', async () => {
    let now = 0;
    const token = file('one\n');
    const path = file(config({ tokenFile: token.slice(folder.length + 1) }));
    const loaded = await load({ KUBECONFIG: path }, { clock: { ...systemClock, nowMs: () => now } });
    writeFileSync(token, 'two\n');
    assert.equal((await loaded.credentials()).token, 'one');
    now = 61_000;
    assert.equal((await loaded.credentials()).token, 'two');
    writeFileSync(token, 'three');
    assert.equal((await loaded.credentials(true)).token, 'three');
    writeFileSync(token, '');
    assert.equal((await loaded.credentials(true)).token, 'three');
  });

  const instead = /which (?:is not supported|Kubernetes \S+ has dropped): use a token/;
  const refused: [string, unknown, RegExp][] = [
    ['exec', config({ exec: { command: 'aws' } }), /user "u" runs a program for its credentials \(exec\)/],
    ['exec says what instead', config({ exec: { command: 'aws' } }), instead],
    ['auth-provider', config({ 'auth-provider': { name: 'gcp' } }), instead],
    ['passwords', config({ username: 'a', password: 'b' }), instead],
    ['a proxy', config({}, { 'proxy-url': 'http://proxy' }), /cluster "c" has a proxy-url, which is not supported/],
    ['a certificate without key', config({ 'client-certificate': 'a' }), /client-certificate without its client-key/],
    [
      'a certificate that is none',
      config({ 'client-certificate-data': 'aGVsbG8=', 'client-key-data': 'aGVsbG8=' }),
      /client-certificate can't be used: there is no PEM certificate in it/,
    ],
    ['data that is no base64', config({}, { 'certificate-authority-data': '!' }), /is not base64/],
    [
      'authority and insecure together',
      config({}, { 'certificate-authority-data': 'aGVsbG8=', 'insecure-skip-tls-verify': true }),
      /has both insecure-skip-tls-verify and a certificate-authority/,
    ],
    ['a file that is missing', config({ tokenFile: '/nowhere/token' }), /tokenFile: \/nowhere\/token can't be read/],
    ['a server without scheme', config({}, { server: '10.0.0.1:6443' }), /must be an address such as https:/],
    ['no current context', config({}, {}, { 'current-context': '' }), /has no current-context/],
    ['an unknown context', config({}, {}, { 'current-context': 'x' }), /no context "x"; there are dev/],
    ['an unknown user', config({}, {}, { users: [] }), /context "dev" names the user "u", which is not there/],
    ['a list that is none', config({}, {}, { users: 3 }), /users must be a list/],
    ['an entry that is none', config({}, {}, { users: [3] }), /an entry of users must be a mapping/],
    ['no YAML', '{', /is no YAML/],
    ['a list', '- a', /must be a mapping/],
  ];
  for (const [what, content, message] of refused) {
    it(`refused: ${what}`, async () => {
      const path = file(content);
      await assert.rejects(load({ KUBECONFIG: path }), (error: Error & { code?: string; userFault?: boolean }) => {
        assert.match(error.message, message);
        assert.deepEqual([error.code, error.userFault], ['DORMOUSE_KUBECONFIG', true]);
        return true;
      });
    });
  }

  it('without any file: says where one was looked for', async () => {
    await assert.rejects(load({}), new RegExp(`${folder}/\\.kube/config can't be read`));
    await assert.rejects(load({ KUBECONFIG: ['/a', '/b'].join(delimiter) }), /none of the files of KUBECONFIG exists/);
  });
});

describe("a pod's service account", () => {
  it('token, authorities and namespace are those of its folder, and rotate', async () => {
    let now = 0;
    const account = mkdtempSync(join(folder, 'account-'));
    const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' };
    const options = { env, clock: { ...systemClock, nowMs: () => now }, folder: account };
    await assert.rejects(loadInCluster(options), /automountServiceAccountToken: true/);
    writeFileSync(join(account, 'token'), 'one');
    writeFileSync(join(account, 'ca.crt'), 'first authority');
    const loaded = await loadInCluster(options);
    assert.equal(loaded.server, 'https://[fd00::1]:6443');
    assert.equal(loaded.namespace, 'default');
    writeFileSync(join(account, 'namespace'), 'dormouse');
    assert.equal((await loadInCluster(options)).namespace, 'dormouse');
    const before = await loaded.credentials();
    writeFileSync(join(account, 'token'), 'two');
    now = 61_000;
    const rotated = await loaded.credentials();
    assert.deepEqual([rotated.token, rotated.tlsRevision], ['two', before.tlsRevision]);
    writeFileSync(join(account, 'ca.crt'), 'second authority');
    const renewed = await loaded.credentials(true);
    assert.equal(renewed.tlsRevision, before.tlsRevision + 1);
    assert.equal(renewed.tls.ca?.toString(), 'second authority');
  });

  it('outside of a pod it says so', async () => {
    await assert.rejects(loadInCluster({ env: {}, clock: systemClock }), { code: 'DORMOUSE_IN_CLUSTER' });
    const env = { KUBERNETES_SERVICE_HOST: 'a/b' };
    await assert.rejects(loadInCluster({ env, clock: systemClock }), /are no address/);
  });
});
