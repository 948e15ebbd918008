/** The Gateway API's standard kinds, from its Go module. */
import { join } from 'node:path';
import { kubectl } from './control-plane.ts';
import { moduleFiles } from './programs.ts';

export async function installGatewayApi(): Promise<void> {
  const folder = join(await moduleFiles('gateway-api', 'sigs.k8s.io/gateway-api'), 'config/crd/standard');
  await kubectl(['apply', '--server-side', '--force-conflicts', '-f', folder]);
}
