import type { RequestView } from '../request-view.ts';
import { HeadEdit } from './head-edit.ts';

/** What request filters read and change. Owned by the exchange; `begin` makes it ready for the next request. */
export class RequestEdit extends HeadEdit {
  /** As received; filters don't change it. */
  view!: RequestView;
  /** The resolved client address. */
  client = '';
  scheme: 'http' | 'https' = 'http';
  /** Path and query to send instead of the received target; null: as received. */
  target: string | null = null;
  /** Host to send instead of the received one; null: as received. */
  host: string | null = null;

  begin(view: RequestView, client: string, scheme: 'http' | 'https'): void {
    this.reset();
    this.view = view;
    this.client = client;
    this.scheme = scheme;
  }

  override reset(): void {
    super.reset();
    this.target = null;
    this.host = null;
  }

  /** Path that will be sent, as the filters before left it. */
  get path(): string {
    if (this.target === null) return this.view.path;
    const question = this.target.indexOf('?');
    return question < 0 ? this.target : this.target.slice(0, question);
  }

  /** `target`: origin form, begins with a slash. */
  setTarget(target: string): void {
    this.target = target;
  }

  /** `host`: with port when it isn't the scheme's own. */
  setHost(host: string): void {
    this.host = host;
  }
}

/** What response filters read and change. */
export class ResponseEdit extends HeadEdit {
  status = 0;
  private source: { readonly view: RequestView | null } | null = null;

  /** `source` knows the request that this response belongs to; its head is read again only if a filter asks for it. */
  begin(source: { readonly view: RequestView | null }, status: number): void {
    this.reset();
    this.source = source;
    this.status = status;
  }

  /** The request. */
  get view(): RequestView {
    const view = this.source?.view ?? null;
    if (view === null) throw new TypeError('a response filter was run without a request');
    return view;
  }
}
