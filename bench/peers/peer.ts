/** A proxy that a bench compares: the same job for each (keep-alive to the backend, a line per request into a file, metrics switched on). */
import type { Program } from '../processes.ts';

export interface PeerSetting {
  /** A folder of its own, empty. */
  dir: string;
  port: number;
  /** For metrics; also the administration's where there is one. */
  metricsPort: number;
  backendPort: number;
  core: number | null;
  /** Clients come with TLS (HTTP/1.1 and HTTP/2 by ALPN); undefined: plain. */
  tls?: { certFile: string; keyFile: string };
}

export interface Peer {
  name: string;
  start(setting: PeerSetting): Promise<Program>;
}
