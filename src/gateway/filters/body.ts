import { problemBody } from '../answers.ts';
import type { BodyOutput, BodyTransform } from './body-transform.ts';
import type { ResponseEdit } from './edits.ts';
import type { BodyStep, Filter } from './filter.ts';
import { compileJsonEdit, type JsonChange, type JsonEdit } from './json-edit.ts';
import { essence, isJson } from './media-type.ts';
import { markChanged, markUnmodified } from './representation.ts';
import { codedRefusal, hasJsonBody, jsonRefusal, notJson } from './request-json.ts';

export interface BodyOptions {
  /** null: left alone. */
  request: { changes: JsonChange[]; maxBody: number } | null;
  response: ResponseBodyOptions | null;
}

export interface ResponseBodyOptions {
  changes: JsonChange[];
  /** Bytes that are kept of one body. */
  maxBody: number;
  /** What becomes of JSON that can't be changed: too large, encoded, a part only, or broken. */
  unreadable: 'refuse' | 'pass';
}

/** Sets and removes fields of JSON bodies. Other bodies are left alone. */
export function body(options: BodyOptions): Filter {
  const { request, response } = options;
  const filter: Filter = {};
  if (request !== null) filter.body = requestStep(compileJsonEdit(request.changes), request.maxBody);
  if (request !== null || response !== null) {
    filter.request = (edit) => {
      // The backend shall send what can be read; compress may encode it for the client.
      if (response !== null) edit.removeHeader('accept-encoding');
      return request !== null && hasJsonBody(edit.view) ? codedRefusal(edit.view) : null;
    };
  }
  if (response !== null) {
    const change = compileJsonEdit(response.changes);
    filter.response = (edit) => changeResponse(edit, change, response);
  }
  return filter;
}

/** It keeps nothing from one call to the next. */
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function requestStep(change: JsonEdit, limitBytes: number): BodyStep {
  return {
    limitBytes,
    wants: ({ view }) => hasJsonBody(view),
    run(_edit, content) {
      if (content.length === 0) return null;
      const text = readJson(content);
      if (typeof text !== 'string') return jsonRefusal(text.why);
      const changed = change(text);
      return changed === null ? null : Buffer.from(changed, 'utf8');
    },
  };
}

function readJson(content: Buffer): string | { why: string } {
  let text: string;
  try {
    text = UTF8.decode(content);
  } catch {
    return { why: 'is not UTF-8' };
  }
  try {
    JSON.parse(text);
    return text;
  } catch (error) {
    return { why: notJson(error) };
  }
}

function changeResponse(edit: ResponseEdit, change: JsonEdit, options: ResponseBodyOptions): void {
  if (edit.own || edit.replacement !== null) return;
  if (edit.status === 304) markUnmodified(edit);
  if (!isJson(essence(edit.value('content-type')))) return;
  const coding = edit.value('content-encoding');
  const readable = edit.status !== 206 && (coding === undefined || coding.toLowerCase() === 'identity');
  if (!readable || (!edit.bodiless && edit.bodyBytes > options.maxBody)) {
    if (options.unreadable === 'refuse') refuse(edit);
    return;
  }
  if (edit.status === 204 || edit.status === 304 || edit.bodyBytes === 0) {
    if (edit.view.method !== 'HEAD') return;
  }
  markChanged(edit);
  edit.transformBody(new JsonBodyChange(change, options), 'content');
}

function refuse(edit: ResponseEdit): void {
  const detail = 'The response is JSON that could not be read here.';
  edit.setStatus(502);
  edit.replaceBody('application/problem+json', Buffer.from(problemBody(502, 'body-unreadable', detail)));
}

/** Keeps the whole body, changes it, and sends it at its end. */
class JsonBodyChange implements BodyTransform {
  private readonly change: JsonEdit;
  private readonly options: ResponseBodyOptions;
  private output!: BodyOutput;
  private parts: Buffer[] = [];
  private bytes = 0;
  private passing = false;

  constructor(change: JsonEdit, options: ResponseBodyOptions) {
    this.change = change;
    this.options = options;
  }

  start(output: BodyOutput): void {
    this.output = output;
  }

  write(part: Buffer): boolean {
    if (this.passing) return this.output.data(part);
    this.parts.push(part);
    this.bytes += part.length;
    if (this.bytes <= this.options.maxBody) return true;
    if (this.options.unreadable === 'refuse') {
      this.fail(`is larger than ${this.options.maxBody} bytes`);
      return true;
    }
    const kept = this.take();
    this.passing = true;
    return this.output.data(kept);
  }

  end(): void {
    if (!this.passing && this.bytes > 0) {
      const content = this.take();
      const text = readJson(content);
      if (typeof text === 'string') {
        const changed = this.change(text);
        this.output.data(changed === null ? content : Buffer.from(changed, 'utf8'));
      } else if (this.options.unreadable === 'pass') this.output.data(content);
      else {
        this.fail(text.why);
        return;
      }
    }
    this.output.end();
  }

  onDrain(): void {
    this.output.drained();
  }

  destroy(): void {
    this.parts = [];
  }

  private take(): Buffer {
    const content = this.parts.length === 1 ? this.parts[0]! : Buffer.concat(this.parts, this.bytes);
    this.parts = [];
    return content;
  }

  /** The head has gone out as it came: only a broken transfer can tell the client. */
  private fail(why: string): void {
    this.parts = [];
    this.output.fail(new Error(`the JSON of a response ${why}`));
  }
}
