/**
 * What the schema of a filter's options puts where the configuration names another file. Once the folder of dormouse.yaml is known it is
 * replaced: by the absolute path (`path`), or by what the file says (`text`, UTF-8, at most 1 MiB). A file that is missing or can't be read is
 * an error of the configuration, with the key's place.
 */
export class NamedFile {
  /** As written, relative or absolute. */
  readonly written: string;
  readonly as: 'path' | 'text';
  /** What becomes of the text; with `path` it is only tried, so that a file that can't be used is an error of the configuration. It throws an Error whose message says what is wrong with it and begins with a verb: "is not JSON". */
  readonly read: ((text: string) => unknown) | null;

  constructor(written: string, as: 'path' | 'text', read: ((text: string) => unknown) | null = null) {
    this.written = written;
    this.as = as;
    this.read = read;
  }
}
