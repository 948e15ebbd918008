import { accepts } from './accept.ts';
import type { ResponseEdit } from './edits.ts';
import type { Filter } from './filter.ts';
import { essence } from './media-type.ts';

export interface ErrorPagesOptions {
  /** At least one; the first that fits counts, single statuses before ranges. */
  pages: ErrorPage[];
  /** Responses of the backend get them too, not only the gateway's own. */
  backend: boolean;
}

export interface ErrorPage {
  /** Inclusive, 400 to 599. */
  status: { from: number; to: number }[];
  /** Content-Type. */
  type: string;
  /** One of the two: as it stands in the configuration, or what the named file says. */
  body?: string;
  file?: string;
}

interface Choice {
  type: string;
  mediaType: string;
  body: Buffer;
}

/** Puts a page in the place of an error's body; its status stays. */
export function errorPages(options: ErrorPagesOptions): Filter {
  const choices = byStatus(options.pages);
  return {
    response(edit) {
      const pages = choices.get(edit.status);
      if (pages === undefined || (!edit.own && !options.backend)) return;
      // A gRPC client reads status and message from trailers; a page would only hide them.
      if (isGrpc(edit)) return;
      const accept = edit.view.value('accept');
      edit.addHeader('Vary', 'Accept');
      const page = pages.find(({ mediaType }) => accepts(accept, mediaType));
      if (page !== undefined) edit.replaceBody(page.type, page.body);
    },
  };
}

function isGrpc(edit: ResponseEdit): boolean {
  return essence(edit.view.value('content-type')).startsWith('application/grpc');
}

function byStatus(pages: readonly ErrorPage[]): Map<number, Choice[]> {
  const choices = new Map<number, Choice[]>();
  const add = (single: boolean): void => {
    for (const { status, type, body, file } of pages) {
      const choice = { type, mediaType: essence(type), body: Buffer.from(body ?? file ?? '') };
      for (const { from, to } of status) {
        if ((from === to) !== single) continue;
        for (let code = from; code <= to; code++) choices.set(code, [...(choices.get(code) ?? []), choice]);
      }
    }
  };
  add(true);
  add(false);
  return choices;
}
