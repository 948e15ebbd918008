/** The API server's own record of who scaled what and when: the moment at which it received each write of a /scale subresource, to the microsecond. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { LOGS, RUN_FOLDER } from './places.ts';

const FILE = join(LOGS, 'scale-audit.log');
const KEPT_MB = 20;

const POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    { level: 'Metadata', verbs: ['update', 'patch'], resources: [{ group: 'apps', resources: ['*/scale'] }] },
    { level: 'None' },
  ],
};

/** Flags of the API server; writes the policy that they name. */
export function auditFlags(): string[] {
  const policy = join(RUN_FOLDER, 'audit-policy.json');
  writeFileSync(policy, JSON.stringify(POLICY));
  return [
    `--audit-policy-file=${policy}`,
    `--audit-log-path=${FILE}`,
    `--audit-log-maxsize=${KEPT_MB}`,
    '--audit-log-maxbackup=1',
  ];
}

export interface ScaleWrite {
  namespace: string;
  name: string;
  userAgent: string;
  /** Wall clock ms with a fraction. */
  receivedAtMs: number;
  answeredAtMs: number;
  status: number;
}

interface AuditEvent {
  userAgent?: string;
  objectRef?: { namespace?: string; name?: string };
  responseStatus?: { code?: number };
  requestReceivedTimestamp: string;
  stageTimestamp: string;
}

/** In the order in which they were answered. */
export function scaleWrites(): ScaleWrite[] {
  if (!existsSync(FILE)) return [];
  return readFileSync(FILE, 'utf8')
    .split('\n')
    .filter((line) => line.endsWith('}'))
    .map((line) => JSON.parse(line) as AuditEvent)
    .map(({ userAgent = '', objectRef, responseStatus, requestReceivedTimestamp, stageTimestamp }) => ({
      namespace: objectRef?.namespace ?? '',
      name: objectRef?.name ?? '',
      userAgent,
      receivedAtMs: microseconds(requestReceivedTimestamp),
      answeredAtMs: microseconds(stageTimestamp),
      status: responseStatus?.code ?? 0,
    }));
}

/** RFC 3339 with six digits of a second, as ms. */
function microseconds(time: string): number {
  const fraction = /\.(\d+)Z$/.exec(time)?.[1] ?? '';
  return Date.parse(time.replace(/\.\d+Z$/, 'Z')) + Number(`0.${fraction === '' ? '0' : fraction}`) * 1000;
}
