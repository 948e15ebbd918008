/**
 * `npm run chart`: renders charts/dormouse with its defaults into charts/rendered/install.yaml, which `dormouse install` prints. What its options set
 * stands there as `${NAME}`. A test of the cluster renders it again and fails when the file is out of date.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ensureBuilt, program } from '../test/cluster/machine/programs.ts';

const root = join(import.meta.dirname, '..');
export const RENDERED = join(root, 'charts/rendered/install.yaml');

const NAMESPACE = 'namespace-of-the-installation';
const IMAGE = 'image-of-the-installation:tag';
/** Numbers that stand nowhere else in the chart: checked below. */
const OPERATOR_REPLICAS = 9;
const GATEWAY_REPLICAS = 991;

const HEAD = `# Written by \`npm run chart\` from charts/dormouse; \`dormouse install\` prints it with its \${…} filled in, behind the CRDs.
apiVersion: v1
kind: Namespace
metadata:
  name: \${NAMESPACE}
  labels:
    app.kubernetes.io/name: dormouse
    pod-security.kubernetes.io/enforce: restricted
`;

/** Needs helm, which must have been built (\`ensureBuilt\`). */
export function renderChart(helm: string): string {
  const [repository, tag] = IMAGE.split(':');
  const values = [
    ...[`image.repository=${repository}`, `image.tag=${tag}`, 'gatewayApi.createClass=true'],
    ...[`operator.replicas=${OPERATOR_REPLICAS}`, `gateway.replicas=${GATEWAY_REPLICAS}`],
  ];
  const rendered = execFileSync(
    helm,
    [
      ...['template', 'dormouse', join(root, 'charts/dormouse'), '--namespace', NAMESPACE, '--no-hooks'],
      ...['--kube-version', '1.34.0', ...values.flatMap((value) => ['--set', value])],
    ],
    { encoding: 'utf8', maxBuffer: 8 << 20 },
  );
  const filled = [
    [NAMESPACE, '${NAMESPACE}', 20],
    [IMAGE, '${IMAGE}', 2],
    [`replicas: ${OPERATOR_REPLICAS}\n`, 'replicas: ${OPERATOR_REPLICAS}\n', 1],
    [`replicas: ${GATEWAY_REPLICAS}\n`, 'replicas: ${GATEWAY_REPLICAS}\n', 1],
    ['type: ClusterIP\n', 'type: ${SERVICE_TYPE}\n', 1],
    ['imagePullPolicy: IfNotPresent\n', 'imagePullPolicy: ${PULL_POLICY}\n', 2],
    ['app.kubernetes.io/managed-by: Helm\n', 'app.kubernetes.io/managed-by: dormouse-install\n', 20],
  ] as const;
  let text = rendered;
  for (const [from, to, least] of filled) {
    const parts = text.split(from);
    // A number or a word that means something else by now would be replaced, too.
    if (least < 20 ? parts.length !== least + 1 : parts.length <= least)
      throw new Error(
        `"${from.trim()}" stands in the rendered chart ${parts.length - 1} times: look at scripts/render-chart.ts`,
      );
    text = parts.join(to);
  }
  // Helm's own marks.
  return HEAD + text.replace(/^# Source: .*\n/gm, '').replace(/^ *helm\.sh\/chart: .*\n/gm, '');
}

if (process.argv[1] === import.meta.filename) {
  await ensureBuilt(['helm']);
  const text = renderChart(program('helm'));
  if (process.argv.includes('--check')) {
    if (readFileSync(RENDERED, 'utf8') !== text)
      throw new Error('charts/rendered/install.yaml is out of date: npm run chart');
  } else {
    writeFileSync(RENDERED, text);
  }
}
