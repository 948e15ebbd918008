/** Messages and methods of KEDA's external scalers (proto/externalscaler.proto), both ways. Fields that are not known are left out. */
import { doubleOf, FieldWriter, numberOf, readFields, textOf } from './wire.ts';

/** Whom KEDA asks for, and what its trigger says. */
export interface ScaledObjectRef {
  name: string;
  namespace: string;
  scalerMetadata: Record<string, string>;
}

export interface MetricSpec {
  metricName: string;
  /** Of one instance. */
  target: number;
}

export interface MetricValue {
  metricName: string;
  value: number;
}

export interface MetricsRequest {
  ref: ScaledObjectRef;
  /** Without the prefix that KEDA gives it in the HPA. */
  metricName: string;
}

/** How a method is named on the wire. */
export const EXTERNAL_SCALER = {
  isActive: '/externalscaler.ExternalScaler/IsActive',
  streamIsActive: '/externalscaler.ExternalScaler/StreamIsActive',
  getMetricSpec: '/externalscaler.ExternalScaler/GetMetricSpec',
  getMetrics: '/externalscaler.ExternalScaler/GetMetrics',
} as const;

/** Keys of a trigger's metadata; more are a mistake. */
const MAX_METADATA = 100;

export function encodeRef({ name, namespace, scalerMetadata }: ScaledObjectRef): Buffer {
  const writer = new FieldWriter().text(1, name).text(2, namespace);
  for (const [key, value] of Object.entries(scalerMetadata))
    writer.bytes(3, new FieldWriter().text(1, key).text(2, value).end());
  return writer.end();
}

/** Throws RangeError, as all that decode. */
export function decodeRef(message: Buffer): ScaledObjectRef {
  // Names are the caller's: `__proto__` is one like any other.
  const ref: ScaledObjectRef = { name: '', namespace: '', scalerMetadata: Object.create(null) as never };
  let entries = 0;
  for (const field of readFields(message)) {
    if (field.number === 1) ref.name = textOf(field);
    else if (field.number === 2) ref.namespace = textOf(field);
    else if (field.number === 3) {
      if (++entries > MAX_METADATA) throw new RangeError(`more than ${MAX_METADATA} keys of metadata`);
      let key = '';
      let value = '';
      for (const part of readFields(field.bytes)) {
        if (part.number === 1) key = textOf(part);
        else if (part.number === 2) value = textOf(part);
      }
      ref.scalerMetadata[key] = value;
    }
  }
  return ref;
}

export function encodeActive(result: boolean): Buffer {
  return new FieldWriter().flag(1, result).end();
}

export function decodeActive(message: Buffer): boolean {
  let result = false;
  for (const { number, varint } of readFields(message)) if (number === 1) result = varint !== 0n;
  return result;
}

export function encodeSpecs(specs: readonly MetricSpec[]): Buffer {
  const writer = new FieldWriter();
  for (const { metricName, target } of specs)
    writer.bytes(1, new FieldWriter().text(1, metricName).int64(2, Math.ceil(target)).double(3, target).end());
  return writer.end();
}

export function decodeSpecs(message: Buffer): MetricSpec[] {
  const specs: MetricSpec[] = [];
  for (const field of readFields(message)) {
    if (field.number !== 1) continue;
    const { name, whole, float } = named(field.bytes);
    specs.push({ metricName: name, target: float > 0 ? float : whole });
  }
  return specs;
}

export function encodeMetricsRequest({ ref, metricName }: MetricsRequest): Buffer {
  return new FieldWriter().bytes(1, encodeRef(ref)).text(2, metricName).end();
}

export function decodeMetricsRequest(message: Buffer): MetricsRequest {
  const request: MetricsRequest = { ref: decodeRef(Buffer.alloc(0)), metricName: '' };
  for (const field of readFields(message)) {
    if (field.number === 1) request.ref = decodeRef(field.bytes);
    else if (field.number === 2) request.metricName = textOf(field);
  }
  return request;
}

export function encodeValues(values: readonly MetricValue[]): Buffer {
  const writer = new FieldWriter();
  for (const { metricName, value } of values)
    writer.bytes(1, new FieldWriter().text(1, metricName).int64(2, Math.ceil(value)).double(3, value).end());
  return writer.end();
}

export function decodeValues(message: Buffer): MetricValue[] {
  const values: MetricValue[] = [];
  for (const field of readFields(message)) {
    if (field.number !== 1) continue;
    const { name, whole, float } = named(field.bytes);
    values.push({ metricName: name, value: float > 0 ? float : whole });
  }
  return values;
}

/** A name with a number, whole and as a double: a MetricSpec or a MetricValue. */
function named(message: Buffer): { name: string; whole: number; float: number } {
  const found = { name: '', whole: 0, float: 0 };
  for (const field of readFields(message)) {
    if (field.number === 1) found.name = textOf(field);
    else if (field.number === 2) found.whole = numberOf(field);
    else if (field.number === 3) found.float = doubleOf(field);
  }
  return found;
}
