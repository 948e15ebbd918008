/** The custom resource RouteFilter: one filter of dormouse.yaml, for `extensionRef` of an HTTPRoute or GRPCRoute. */
import { z } from 'zod';
import type { ConfigRegistry } from '../schema/file.ts';
import { AGE, conditions, customResource, observedGeneration } from './definition.ts';
import { exactlyOne } from './exactly-one.ts';
import { structural, type CelRule, type Schema } from './structural.ts';

const ROOT = 'routes[].rules[].filters[]';

/** Files of the gateways' own file system are nobody's to name. */
const LEFT_OUT = ['jwt.jwks.file', 'apiKey.file', 'basic.file', 'validate.json.file', 'errorPages.pages[].file'];

/** What stands in the place of such a file. */
const REQUIRED: Readonly<Record<string, readonly string[]>> = {
  apiKey: ['keys'],
  basic: ['users'],
  'validate.json': ['schema'],
  'errorPages.pages[]': ['body'],
};

const SECTIONS: Readonly<Record<string, string>> = {
  requestHeaders: 'Changes headers of the request',
  responseHeaders: 'Changes headers of the response',
  rewrite: 'Changes what the backend is asked for',
  'rewrite.path': 'Changes the path in one of these ways',
  'rewrite.query': 'Changes parameters of the query',
  redirect: 'Answers with a redirect; keys that are left out stay as the client asked',
  'redirect.path': 'Changes the path in one of these ways',
  jwt: 'Lets those through who show a JSON Web Token',
  'jwt.jwks': 'Where the keys are that tokens are signed with',
  'jwt.require': 'What a token must say',
  apiKey: 'Lets those through who show a key',
  basic: 'Lets those through who show a name and a password (RFC 7617)',
  forwardAuth: 'Asks another service whether a request may pass',
  'forwardAuth.cache': 'Remembers its answers',
  rateLimit: 'So many requests in a time',
  'rateLimit.redis': 'A Redis in which all gateways count together',
  concurrency: 'So many requests at once',
  validate: 'Refuses requests that are not as they should be',
  'validate.path': 'What paths may have in them',
  'validate.json': 'Bodies that are JSON of a given shape',
  body: 'Changes JSON bodies',
  'body.request': 'Of requests',
  'body.response': 'Of responses',
  compress: 'Compresses bodies of responses',
  'compress.levels': 'How hard it tries',
  errorPages: 'Pages in place of errors',
  mirror: 'Sends a copy of requests to another Backend of this namespace',
  cors: 'Answers browsers that ask for other origins (CORS)',
};

const PLACES: CelRule = exactlyOne(['header', 'cookie', 'query']);
const PATH_CHANGE: readonly CelRule[] = [
  {
    rule: '[has(self.prefix), has(self.full), has(self.regex), has(self.stripPrefix) || has(self.addPrefix)].exists_one(given, given)',
    message:
      'needs exactly one of prefix, full, regex with replacement, and stripPrefix with addPrefix (or one of these two)',
  },
  { rule: 'has(self.regex) == has(self.replacement)', message: 'regex and replacement stand beside each other' },
];

const RULES: Readonly<Record<string, readonly CelRule[]>> = {
  'jwt.jwks': [
    exactlyOne(['url', 'backend']),
    {
      rule: 'has(self.backend) == has(self.path)',
      message: 'backend needs path, e.g. /.well-known/jwks.json; url has none',
    },
  ],
  'jwt.from[]': [PLACES],
  'apiKey.from[]': [PLACES],
  forwardAuth: [
    exactlyOne(['backend', 'url']),
    { rule: '!has(self.path) || has(self.backend)', message: 'path stands beside backend only' },
  ],
  'rewrite.path': PATH_CHANGE,
  'redirect.path': PATH_CHANGE,
  rewrite: [
    {
      rule: 'has(self.host) || has(self.path) || has(self.query)',
      message: 'nothing to rewrite: give host, path or query',
    },
  ],
  redirect: [
    {
      rule: 'has(self.scheme) || has(self.host) || has(self.port) || has(self.path)',
      message: 'this would lead to itself: give scheme, host, port or path',
    },
  ],
};

export function routeFilterResource(registry: ConfigRegistry, meanings: ReadonlyMap<string, string>): Schema {
  const at = (key: string): string => (key === '' ? ROOT : `${ROOT}.${key}`);
  const filters = Object.keys(registry.filters);
  const properties = Object.fromEntries(
    Object.entries(registry.filters).map(([name, schema]) => [
      name,
      z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Schema,
    ]),
  );
  const spec = structural({ type: 'object', properties }, ROOT, {
    leftOut: new Set(LEFT_OUT.map(at)),
    required: new Map(Object.entries(REQUIRED).map(([key, keys]) => [at(key), keys])),
    rules: new Map(
      Object.entries({ ...RULES, '': [exactlyOne(filters, 'the filters')] }).map(([key, rules]) => [at(key), rules]),
    ),
    describe: (place) => meanings.get(place) ?? SECTIONS[place.slice(ROOT.length + 1)],
  });
  return customResource({
    kind: 'RouteFilter',
    plural: 'routefilters',
    shortNames: [],
    description:
      'A filter of dormouse for rules of HTTPRoutes and GRPCRoutes in its namespace, which name it by extensionRef',
    columns: [{ name: 'Accepted', type: 'string', jsonPath: '.status.conditions[?(@.type=="Accepted")].status' }, AGE],
    spec: { description: 'Exactly one filter with its options, as in the filters of dormouse.yaml', ...spec },
    status: {
      type: 'object',
      properties: { observedGeneration: observedGeneration(), conditions: conditions() },
    },
  });
}
