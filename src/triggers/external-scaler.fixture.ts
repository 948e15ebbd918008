/** A KEDA external scaler on a real socket, in a test's hands. */
import {
  Server,
  ServerCredentials,
  status,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import {
  decodeMetricsRequest,
  decodeRef,
  encodeActive,
  encodeSpecs,
  encodeValues,
  EXTERNAL_SCALER,
  type MetricSpec,
  type ScaledObjectRef,
} from '../protobuf/external-scaler.ts';

export class FakeScaler {
  active = false;
  specs: MetricSpec[] = [{ metricName: 'depth', target: 5 }];
  values = new Map<string, number>([['depth', 0]]);
  streams = true;
  /** Answers nothing. */
  hangs = false;
  readonly asked: ScaledObjectRef[] = [];
  readonly #listeners = new Set<ServerWritableStream<Buffer, Buffer>>();
  #server: Server | null = null;
  #port = 0;
  readonly #credentials: ServerCredentials;

  constructor(credentials = ServerCredentials.createInsecure()) {
    this.#credentials = credentials;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    const server = new Server();
    const same = (bytes: Buffer): Buffer => bytes;
    const method = (path: string, responseStream = false) => ({
      path,
      requestStream: false,
      responseStream,
      requestSerialize: same,
      requestDeserialize: same,
      responseSerialize: same,
      responseDeserialize: same,
    });
    const unary =
      (answer: (request: Buffer) => Buffer): handleUnaryCall<Buffer, Buffer> =>
      ({ request }, callback) => {
        if (!this.hangs) callback(null, answer(request));
      };
    const stream: handleServerStreamingCall<Buffer, Buffer> = (call) => {
      if (!this.streams) {
        call.emit('error', { code: status.UNIMPLEMENTED, details: 'none' });
        return;
      }
      this.#listeners.add(call);
      call.on('cancelled', () => this.#listeners.delete(call));
    };
    server.addService(
      {
        isActive: method(EXTERNAL_SCALER.isActive),
        getMetricSpec: method(EXTERNAL_SCALER.getMetricSpec),
        getMetrics: method(EXTERNAL_SCALER.getMetrics),
        streamIsActive: method(EXTERNAL_SCALER.streamIsActive, true),
      },
      {
        isActive: unary((request) => {
          this.asked.push(decodeRef(request));
          return encodeActive(this.active);
        }),
        getMetricSpec: unary(() => encodeSpecs(this.specs)),
        getMetrics: unary((request) => {
          const { metricName } = decodeMetricsRequest(request);
          return encodeValues([{ metricName, value: this.values.get(metricName) ?? 0 }]);
        }),
        streamIsActive: stream,
      },
    );
    this.#port = await new Promise<number>((resolve, reject) =>
      server.bindAsync(this.#port === 0 ? '127.0.0.1:0' : this.address, this.#credentials, (error, port) =>
        error === null ? resolve(port) : reject(error),
      ),
    );
    this.#server = server;
  }

  get listeners(): number {
    return this.#listeners.size;
  }

  push(active: boolean): void {
    for (const call of this.#listeners) call.write(encodeActive(active));
  }

  stop(): void {
    this.#server?.forceShutdown();
    this.#server = null;
    this.#listeners.clear();
  }
}
