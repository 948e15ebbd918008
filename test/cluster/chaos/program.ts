/** The application that is put to sleep: the tests' own one, which besides speaks gRPC (h2c) on a port of its own, behind the same Service. */
import type { Witness } from '../fixtures/witness.ts';
import { appObjects } from '../machine/index.ts';

const GRPC_PORT = 9090;

/**
 * How long a program that drains still answers on connections that it has, with `connection: close`. Node's own server closes idle ones at once, also those on which a POST is on its
 * way, which no client may send again.
 */
const LINGER_MS = 1500;

/** Loaded before the program. Each call is told to the witness as HTTP requests are; calls in flight end before the process does. */
const PRELOAD = `
import { Server } from 'node:http';
import { createServer } from 'node:http2';
import { createSocket } from 'node:dgram';
const [host, port] = process.env.WITNESS.split(':');
const socket = createSocket('udp4').unref();
await new Promise((resolve) => socket.connect(Number(port), host, resolve));
const server = createServer();
const sessions = new Set();
server.on('session', (session) => {
  sessions.add(session);
  session.on('error', () => {});
  session.once('close', () => sessions.delete(session));
});
server.on('stream', (stream, headers) => {
  socket.send('POST ' + headers['x-id'] + ' ' + process.env.HOSTNAME);
  stream.on('error', () => {});
  stream.resume();
  stream.once('end', () => {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.once('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.alloc(5));
  });
});
server.on('sessionError', () => {});
if (process.env.DRAIN !== '0') {
  const exit = process.exit.bind(process);
  let mayExitAt = 0;
  process.on('SIGTERM', () => {
    mayExitAt = Date.now() + ${LINGER_MS};
    server.close();
    for (const session of sessions) session.close();
  });
  process.exit = (code) => {
    if (sessions.size === 0 && Date.now() >= mayExitAt) exit(code);
    else setTimeout(() => process.exit(code), 10);
  };
  const closeIdle = Server.prototype.closeIdleConnections;
  Server.prototype.closeIdleConnections = function () {
    setTimeout(() => closeIdle.call(this), ${LINGER_MS});
  };
}
setTimeout(() => server.listen(${GRPC_PORT}), Number(process.env.START_DELAY_MS ?? 0));
`;

export interface ProgramOptions {
  name: string;
  drains: boolean;
  replicas?: number;
  /** Told in every answer. */
  identity: string;
  startDelayMs?: number;
}

/** Deployment, Service with the ports 80 (HTTP) and 90 (gRPC), and what both need. `reset`: the Service's selector, to be put back. */
export function programObjects(
  witness: Witness,
  { name, drains, identity, replicas = 1, startDelayMs = 0 }: ProgramOptions,
): object[] {
  const { WITNESS = '' } = witness.env;
  const files = { name: 'preload', configMap: { name: 'preload' } };
  const [deployment, service] = appObjects({
    name,
    replicas,
    env: {
      WITNESS,
      NODE_OPTIONS: '--import=/witness/witness.mjs --import=/preload/grpc.mjs',
      DRAIN: drains ? '1' : '0',
      NAME: identity,
      START_DELAY_MS: String(startDelayMs),
    },
    podSpec: { volumes: [witness.volume, files] },
  }) as [Workload, object];
  const [container] = deployment.spec.template.spec.containers;
  // Without it, a pod gets next to nothing of a machine that has more to do than it can.
  container!.resources = { requests: { cpu: '40m' } };
  container!.volumeMounts = [witness.mount, { name: 'preload', mountPath: '/preload', readOnly: true }];
  const ports = [
    { name: 'http', port: 80, targetPort: 'http' },
    { name: 'grpc', port: 90, targetPort: GRPC_PORT, appProtocol: 'kubernetes.io/h2c' },
  ];
  return [
    witness.configMap,
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name: 'preload' }, data: { 'grpc.mjs': PRELOAD } },
    deployment,
    { ...service, spec: { selector: { app: name }, ports } },
  ];
}

interface Workload {
  spec: { template: { spec: { containers: { volumeMounts?: object[]; resources?: object }[] } } };
}

/** Scales the Deployment and has something to say all the time: a cron trigger that wants as many as there are. */
export function scaledObject(name: string): object {
  return {
    apiVersion: 'keda.sh/v1alpha1',
    kind: 'ScaledObject',
    metadata: { name },
    spec: {
      scaleTargetRef: { name },
      minReplicaCount: 1,
      maxReplicaCount: 3,
      pollingInterval: 5,
      triggers: [
        {
          type: 'cron',
          metadata: { timezone: 'UTC', start: '0 0 1 1 *', end: '59 23 31 12 *', desiredReplicas: '1' },
        },
      ],
    },
  };
}
