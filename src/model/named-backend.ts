/**
 * What the schema of a filter's options puts where it names a backend (a mirror, a service that is asked). It is replaced by the name once
 * the configuration has looked whether there is such a backend.
 */
export class NamedBackend {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}
