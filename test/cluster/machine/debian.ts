/** What the distribution provides: the container runtime and the network's tools. */
import { existsSync } from 'node:fs';
import { ensurePrograms, hasProgram } from '../../../bench/packages.ts';

/** A file or program that shows that the package is there. */
const SHOWN_BY: Readonly<Record<string, string>> = {
  containerd: 'containerd',
  runc: 'runc',
  'containernetworking-plugins': '/usr/lib/cni/bridge',
  buildah: 'buildah',
  iptables: 'iptables',
  nftables: 'nft',
  conntrack: 'conntrack',
  iproute2: 'ip',
  socat: 'socat',
  kmod: 'modprobe',
};

/** Installs with apt-get what is missing. Throws when this user may not, with the line to run. */
export function ensureDebianPackages(): void {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    throw new Error('the test cluster needs Linux and root: it makes network namespaces, cgroups and mounts');
  // None of these packages has a program of its own name that is missing here for another reason.
  ensurePrograms(
    Object.entries(SHOWN_BY)
      .filter(([, shownBy]) => !(shownBy.startsWith('/') ? existsSync(shownBy) : hasProgram(shownBy)))
      .map(([name]) => name),
  );
}
