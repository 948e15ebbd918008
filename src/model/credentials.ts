/** Where what a source asks for is read from, each time that a connection is made, so that a changed file or Secret counts from then on. */
export type CredentialName = 'username' | 'password' | 'token' | 'ca' | 'cert' | 'key';

export interface CredentialSources {
  /** As written in the file, or out of the environment. */
  given: Partial<Record<CredentialName, string>>;
  /** Absolute paths. */
  files: Partial<Record<CredentialName, string>>;
  /** A Secret in the namespace of the Backend; `keys`: where one of them has another name in it. null: none. */
  secret: { name: string; keys: Partial<Record<CredentialName, string>> } | null;
}

export type Credentials = Partial<Record<CredentialName, string>>;

/** What nobody but its owner may see. */
export const SECRET_CREDENTIALS: readonly CredentialName[] = ['password', 'token', 'key'];
