/** Whether a reference to a target, as autoscalers have it, means the one of a Backend. */
import type { KubernetesConfig } from '../model/config.ts';

export function scales(
  ref: { apiVersion?: string; kind?: string; name: string } | undefined,
  target: KubernetesConfig['target'],
): boolean {
  // What KEDA and HPAs fill in when it is left out.
  const { apiVersion = 'apps/v1', kind = 'Deployment', name } = ref ?? { name: '' };
  return name === target.name && kind === target.kind && groupOf(apiVersion) === groupOf(target.apiVersion);
}

function groupOf(apiVersion: string): string {
  return apiVersion.includes('/') ? apiVersion.split('/')[0]! : '';
}
