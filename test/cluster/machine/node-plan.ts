/** Where each node has its addresses and files. */
import { basename, join } from 'node:path';
import { RUN_FOLDER } from './places.ts';

export interface ClusterNode {
  /** From 1. */
  number: number;
  name: string;
  address: string;
  podRange: string;
  podBridge: string;
  /** Null: the machine's own; otherwise a file to enter. */
  networkNamespace: string | null;
  folder: string;
  containerdSocket: string;
  /** Below the root of each cgroup hierarchy. */
  cgroup: string;
}

export const MAX_NODES = 4;

/** dormouse; a cluster in another folder has others, and can't take these for its own. */
const CGROUP_PREFIX = basename(RUN_FOLDER).replace(/-cluster$/, '');

export function planNode(number: number): ClusterNode {
  const name = `node-${number}`;
  const folder = join(RUN_FOLDER, name);
  return {
    number,
    name,
    address: `10.240.0.${number}`,
    // 1,022 addresses each.
    podRange: `10.244.${(number - 1) * 4}.0/22`,
    podBridge: 'dormouse-pods',
    networkNamespace: number === 1 ? null : `/run/netns/${name}`,
    folder,
    containerdSocket: join(folder, 'containerd.sock'),
    cgroup: `${CGROUP_PREFIX}-${name}`,
  };
}

export function planNodes(count: number): ClusterNode[] {
  return Array.from({ length: count }, (_, index) => planNode(index + 1));
}
