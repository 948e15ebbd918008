/** Many applications of one namespace, each guarded in place: Deployments at zero, Services, Backends. */

/** May sleep at any time. */
export const ALWAYS = { schedule: { timezone: 'UTC', allow: ['* * * * *'] } };

export function nameOf(index: number): string {
  return `app-${String(index).padStart(5, '0')}`;
}

/** In the order in which a user makes them. */
export function appObjects(name: string, namespace: string): { deployment: object; service: object; backend: object } {
  const metadata = { name, namespace, labels: { app: name } };
  return {
    deployment: {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata,
      spec: {
        replicas: 0,
        selector: { matchLabels: { app: name } },
        template: {
          metadata: { labels: { app: name } },
          spec: {
            containers: [
              {
                name: 'app',
                image: 'registry.example/app:1.0.0',
                ports: [{ name: 'http', containerPort: 8080 }],
                readinessProbe: { httpGet: { path: '/healthz', port: 'http' } },
                resources: { requests: { cpu: '100m', memory: '128Mi' } },
              },
            ],
          },
        },
      },
    },
    service: {
      apiVersion: 'v1',
      kind: 'Service',
      metadata,
      spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 'http' }] },
    },
    backend: {
      apiVersion: 'dormouse.dev/v1alpha1',
      kind: 'Backend',
      metadata,
      spec: {
        kubernetes: { target: { apiVersion: 'apps/v1', kind: 'Deployment', name }, service: name },
        scale: { idleAfter: '10m' },
        idle: ALWAYS,
      },
    },
  };
}

/** `work` for each, so many at once; the first error is thrown when all that was begun has ended. */
export async function eachOf<T>(
  items: readonly T[],
  atOnce: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) await work(items[next++]!);
  };
  const results = await Promise.allSettled(Array.from({ length: Math.min(atOnce, items.length) }, worker));
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
