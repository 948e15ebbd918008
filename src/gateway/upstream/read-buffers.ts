/** Size of one read, bytes: the kernel gives at most this much at a time. */
export const READ_BYTES = 65_536;

/**
 * Read buffers of upstream connections. `shared` serves every connection whose bytes are used up during the read callback; long bodies get a
 * buffer of their own from a small stock (at most 32 kept), because what is written on asynchronously must not be overwritten.
 */
export class ReadBuffers {
  readonly shared: Buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  private readonly stock: Buffer[] = [];

  /** The buffer that the caller has already, or one from the stock. */
  take(present: Buffer | null): Buffer {
    return present ?? this.stock.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES);
  }

  give(buffer: Buffer): void {
    if (this.stock.length < 32) this.stock.push(buffer);
  }
}
