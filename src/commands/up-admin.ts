/** The admin API of `dormouse up`: on the control socket always, over TCP as `admin:` says. */
import { hash, randomBytes } from 'node:crypto';
import { rename, rm, writeFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { AdminApi } from '../apis/admin/admin-api.ts';
import { AdminServer } from '../apis/admin/admin-server.ts';
import { MachineTarget, type MachineTargetOptions } from '../apis/admin/machine/machine-target.ts';
import type { AdminConfig, AdminToken, Config } from '../model/config.ts';
import { DormouseError } from '../model/errors.ts';
import type { MetricFamily } from '../model/metrics.ts';

/** In the state folder, for who has no token of the configuration: mode 0600, so for who may use the control socket too. */
export const TOKEN_FILE = 'admin-token';

export class UpAdmin {
  readonly target: MachineTarget;
  readonly api: AdminApi;
  readonly #options: MachineTargetOptions;
  #config: AdminConfig | null = null;
  #server: AdminServer | null = null;
  #ownToken: { text: string; token: AdminToken } | null = null;

  private constructor(options: MachineTargetOptions, target: MachineTarget) {
    this.#options = options;
    this.target = target;
    this.api = new AdminApi({ target, logger: options.logger, clock: options.clock });
  }

  /** Throws DORMOUSE_ADMIN_STATE. */
  static async open(options: MachineTargetOptions): Promise<UpAdmin> {
    return new UpAdmin(options, await MachineTarget.open(options));
  }

  /** Where it listens; null: nowhere. */
  get address(): { host: string; port: number } | null {
    return this.#server?.address ?? null;
  }

  /** None while it does not listen. */
  families(): MetricFamily[] {
    return this.#server?.families() ?? [];
  }

  /** A request over the control socket, which its rights let in. */
  async serve(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const mayRun = this.#config?.commands !== 'off';
    await this.api.serve(request, response, path, { name: 'socket', scope: 'commands', from: 'socket', mayRun });
  }

  /**
   * Gets ready what `next` asks for. Call one of what it returns: `apply` can't fail. Throws DORMOUSE_ADMIN_ADDRESS when the file names an address on which it can't listen.
   */
  async prepare({ admin: next }: Config): Promise<{ apply(): void; abandon(): Promise<void> }> {
    const before = this.#server;
    const stays =
      before !== null &&
      next !== null &&
      isDeepStrictEqual(next.address, this.#config?.address) &&
      (next.tls === null) === (this.#config?.tls == null) &&
      (next.tls?.clientCaFile == null) === (this.#config?.tls?.clientCaFile == null);
    const own = next === null ? null : await this.#tokenFor(next);
    const server = stays || next === null ? null : await this.#listen(next, own);
    return {
      apply: () => {
        this.#config = next;
        if (stays) this.#reconfigure(before, next, own);
        else {
          this.#server = server;
          void before?.close();
        }
        if (own === null) void this.#forgetToken();
      },
      abandon: async () => {
        await server?.close();
      },
    };
  }

  /** Certificates may be others in the same files. */
  renew(): void {
    if (this.#server !== null && this.#config !== null)
      this.#reconfigure(this.#server, this.#config, this.#ownToken?.token ?? null);
  }

  #reconfigure(server: AdminServer, next: AdminConfig, own: AdminToken | null): void {
    try {
      server.reconfigure(next, own);
    } catch (error) {
      this.#options.logger.error('the admin API goes on with its former certificate', {
        reason: error instanceof Error ? error.message : String(error),
      });
    }
  }

  async #listen(config: AdminConfig, ownToken: AdminToken | null): Promise<AdminServer | null> {
    const { logger, clock } = this.#options;
    try {
      return await AdminServer.start({ config, ownToken, api: this.api, logger, clock });
    } catch (error) {
      if (!config.isUsual || !(error instanceof DormouseError) || error.code !== 'DORMOUSE_ADMIN_ADDRESS') throw error;
      // Nobody asked for it: the control socket serves the commands.
      logger.info('the admin API does not listen at its usual address; set admin.address for another, or admin: off', {
        reason: error.message,
      });
      return null;
    }
  }

  async #tokenFor({ tokens }: AdminConfig): Promise<AdminToken | null> {
    if (tokens !== null) return null;
    if (this.#ownToken !== null) return this.#ownToken.token;
    const text = randomBytes(32).toString('base64url');
    const path = join(this.#options.stateDir, TOKEN_FILE);
    try {
      await writeFile(`${path}.next`, `${text}\n`, { mode: 0o600 });
      await rename(`${path}.next`, path);
    } catch (error) {
      throw new DormouseError(
        'DORMOUSE_ADMIN_STATE',
        `the token of the admin API can't be written to ${path}: ${(error as Error).message}; check the rights of the state folder`,
        { cause: error, userFault: true },
      );
    }
    const token: AdminToken = { name: TOKEN_FILE, hash: `sha256:${hash('sha256', text, 'hex')}`, scope: 'commands' };
    this.#ownToken = { text, token };
    return token;
  }

  async #forgetToken(): Promise<void> {
    if (this.#ownToken === null) return;
    this.#ownToken = null;
    await rm(join(this.#options.stateDir, TOKEN_FILE), { force: true }).catch(() => {});
  }

  async close(): Promise<void> {
    this.api.close();
    await this.#server?.close();
    await this.#forgetToken();
  }
}
