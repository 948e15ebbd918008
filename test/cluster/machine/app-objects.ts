/** A Deployment of the test application with its Service. */
import { APP_IMAGE } from './images.ts';

export interface AppOptions {
  name: string;
  /** Default: 1. */
  replicas?: number;
  /** For images/app/server.ts. */
  env?: Readonly<Record<string, string>>;
  /** Default: 80. The program listens on 8080. */
  servicePort?: number;
  labels?: Readonly<Record<string, string>>;
  annotations?: Readonly<Record<string, string>>;
  /** Default: 30. */
  terminationGracePeriodSeconds?: number;
  /** Pause between the pod's deletion and SIGTERM. Default: none. */
  preStopSeconds?: number;
  /** Merged over the pod's specification. */
  podSpec?: object;
}

/** Applied in a namespace of the test; both have the name that is given. */
export function appObjects(options: AppOptions): object[] {
  const { name, replicas = 1, servicePort = 80 } = options;
  const selector = { app: name };
  const metadata = { name, labels: { ...selector, ...options.labels }, annotations: options.annotations ?? {} };
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        replicas,
        selector: { matchLabels: selector },
        template: { metadata: { labels: { ...selector, ...options.labels } }, spec: podSpec(options) },
      },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector, ports: [{ name: 'http', port: servicePort, targetPort: 'http' }] },
    },
  ];
}

function podSpec(options: AppOptions): object {
  return {
    terminationGracePeriodSeconds: options.terminationGracePeriodSeconds ?? 30,
    containers: [
      {
        name: 'app',
        image: APP_IMAGE,
        imagePullPolicy: 'Never',
        env: Object.entries(options.env ?? {}).map(([name, value]) => ({ name, value })),
        ports: [{ name: 'http', containerPort: 8080 }],
        ...(options.preStopSeconds === undefined
          ? {}
          : { lifecycle: { preStop: { sleep: { seconds: options.preStopSeconds } } } }),
        // A busy machine answers late: that is no reason to be taken out of its Service.
        readinessProbe: { httpGet: { path: '/healthz', port: 'http' }, periodSeconds: 1, timeoutSeconds: 10 },
        securityContext: { runAsNonRoot: true, readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
      },
    ],
    ...options.podSpec,
  };
}
