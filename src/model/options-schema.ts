/**
 * How a plugin says what its options are: by a Standard Schema (https://standardschema.dev, version 1: zod, valibot, arktype and others are one), or by a
 * function that returns the options or throws an Error whose message says what is wrong. It is run once per configuration, in the process that reads
 * the file; what it returns goes on to workers as plain data, so that workers need no schema library.
 */
export type OptionsSchema<Options = unknown> = StandardSchema<Options> | ((given: unknown) => Options);

/** The part of the Standard Schema interface that is used. `validate` must answer at once, not by a promise. */
export interface StandardSchema<Output = unknown> {
  readonly '~standard': {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => SchemaResult<Output> | Promise<SchemaResult<Output>>;
  };
}

export type SchemaResult<Output> =
  | { readonly value: Output; readonly issues?: undefined }
  | { readonly issues: readonly SchemaIssue[] };

export interface SchemaIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}
