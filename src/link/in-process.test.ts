import { linkContract, scriptedGateway } from './link.contract.ts';
import { inProcessLink } from './in-process.ts';

linkContract('in process', () => {
  const [gateway, controller] = inProcessLink();
  scriptedGateway(gateway);
  const farClosed = new Promise<void>((resolve) => gateway.onClose(resolve));
  return { near: controller, crash: () => gateway.close(), farClosed };
});
