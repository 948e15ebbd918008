/** Two nodes: pods of both reach each other and every Service, whichever mode kube-proxy has. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { appObjects, ensureCluster, until, type TestNamespace } from './index.ts';

interface PodList {
  items: { metadata: { name: string }; spec: { nodeName: string }; status: { podIP: string } }[];
}

interface Answer {
  pod: string;
  client: string;
}

async function ask(namespace: TestNamespace, pod: string, url: string): Promise<Answer> {
  const script = `fetch('${url}').then(async (answer) => console.log(await answer.text()))`;
  return JSON.parse(await namespace.kubectl('exec', pod, '--', '/usr/local/bin/node', '-e', script)) as Answer;
}

test('pods of two nodes reach each other, Services and names, with their own addresses', async () => {
  const cluster = await ensureCluster({ nodes: 2 });
  await using namespace = await cluster.namespace();
  const spread = {
    topologySpreadConstraints: [
      {
        maxSkew: 1,
        topologyKey: 'kubernetes.io/hostname',
        whenUnsatisfiable: 'DoNotSchedule',
        labelSelector: { matchLabels: { app: 'web' } },
      },
    ],
  };
  await namespace.apply(appObjects({ name: 'web', replicas: 2, podSpec: spread }));
  await namespace.kubectl('rollout', 'status', 'deployment/web', '--timeout=60s');
  const { items } = JSON.parse(await namespace.kubectl('get', 'pods', '-o', 'json')) as PodList;
  assert.equal(new Set(items.map(({ spec }) => spec.nodeName)).size, 2);

  for (const from of items) {
    const to = items.find((pod) => pod !== from)!;
    const straight = await ask(namespace, from.metadata.name, `http://${to.status.podIP}:8080/`);
    assert.equal(straight.pod, to.metadata.name);
    assert.equal(straight.client, from.status.podIP);
    await until('an answer from the other node by name', async () => {
      const { pod, client } = await ask(namespace, from.metadata.name, 'http://web/');
      return pod === to.metadata.name && client === from.status.podIP;
    });
  }
});
