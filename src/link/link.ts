/** One end of the conversation between the controller and one gateway. Implementations: in-process.ts, ipc.ts; contract test in link.contract.ts. */
export interface Link<Out, In> {
  /** Never throws and never waits; after close it does nothing. */
  send(message: Out): void;
  /** One handler; messages that come before it is set are kept (at most 10,000) and delivered in order. */
  onMessage(handler: (message: In) => void): void;
  /** Called once, when either end has closed. */
  onClose(handler: () => void): void;
  close(): void;
}
