/** Every command, in the order of the help. */
import type { CommandDefinition } from './command.ts';

const CONFIG = ['-c, --config <file>', 'the configuration file (default: ./dormouse.yaml)'] as const;
const STATE_DIR = ['--state-dir <folder>', 'the state folder of the running dormouse, instead of -c'] as const;
const JSON_OUTPUT = ['--json', 'print JSON'] as const;

export const COMMANDS: readonly CommandDefinition[] = [
  {
    path: ['up'],
    summary: 'run everything on this machine: listen, wake, balance, put to sleep',
    options: [CONFIG],
    examples: ['dormouse up', 'dormouse up -c examples/services/dormouse.yaml'],
    load: () => import('./up-command.ts'),
  },
  {
    path: ['check'],
    summary: 'say whether the configuration is valid, with every error',
    options: [CONFIG, JSON_OUTPUT],
    load: () => import('./check.ts'),
  },
  {
    path: ['status'],
    summary: 'show backends: state, instances, demand, why awake and who woke them',
    arguments: [['[name]', 'one backend, with its instances']],
    options: [CONFIG, STATE_DIR, ['-w, --watch', 'go on showing it as it changes'], JSON_OUTPUT],
    examples: ['dormouse status', 'dormouse status shop --watch'],
    load: () => import('./status.ts'),
  },
  {
    path: ['top'],
    summary: 'show the busiest backends on the whole screen, live',
    options: [CONFIG, STATE_DIR],
    load: () => import('./top.ts'),
  },
  {
    path: ['wake'],
    summary: 'wake a backend and wait until it is awake',
    arguments: [['<name>', 'the backend']],
    options: [CONFIG, STATE_DIR, ['--no-wait', 'do not wait'], JSON_OUTPUT],
    load: () => import('./wake.ts'),
  },
  {
    path: ['sleep'],
    summary: 'put a backend to sleep now, after what it is doing',
    arguments: [['<name>', 'the backend']],
    options: [CONFIG, STATE_DIR, JSON_OUTPUT],
    load: () => import('./sleep.ts'),
  },
  {
    path: ['logs'],
    summary: 'show what the instances of a backend wrote',
    arguments: [['<name>', 'the backend']],
    options: [
      CONFIG,
      STATE_DIR,
      ['-n, --lines <number>', 'so many lines of the past (default: 100)'],
      ['-f, --follow', 'go on with what comes'],
      JSON_OUTPUT,
    ],
    load: () => import('./logs.ts'),
  },
  {
    path: ['trace'],
    summary: 'send one request and draw its hops, with the time of each',
    arguments: [['<url>', 'what to ask for']],
    options: [
      ['-c, --config <file...>', 'the configuration files of the gateways on the way (default: ./dormouse.yaml)'],
      ['--state-dir <folder...>', 'their state folders, instead of -c'],
      ['-X, --request <method>', 'the method (default: GET, or POST with -d)'],
      ['-H, --header <line...>', 'a header, "Name: value"'],
      ['-d, --data <text>', 'the body, or @FILE'],
      ['--connect-to <host:port>', 'connect there, whatever the URL says'],
      ['--cacert <file>', 'a certificate authority to trust (PEM)'],
      ['-k, --insecure', 'do not verify the certificate'],
      ['--timeout <seconds>', 'give up after this (default: 30)'],
      JSON_OUTPUT,
    ],
    examples: [
      'dormouse trace http://127.0.0.1:8080/',
      'dormouse trace https://example.com/api/users/123 --connect-to 127.0.0.1:8443 --cacert ca.pem',
    ],
    load: () => import('./trace/trace.ts'),
  },
  {
    path: ['reload'],
    summary: 'apply the configuration file now (as SIGHUP and a change of the file do)',
    options: [CONFIG, STATE_DIR, JSON_OUTPUT],
    load: () => import('./reload.ts'),
  },
  {
    path: ['hash-key'],
    summary: 'make the hash of an API key for the filter apiKey; the key comes from standard input',
    options: [['--generate', 'make the key too, and print both'], JSON_OUTPUT],
    examples: ['dormouse hash-key --generate', 'dormouse hash-key < key.txt'],
    load: () => import('./hash-key.ts'),
  },
  {
    path: ['hash-password'],
    summary: 'make the hash of a password for the filter basic; the password comes from standard input',
    examples: ['dormouse hash-password', 'pass show shop/alice | dormouse hash-password'],
    load: () => import('./hash-password.ts'),
  },
  {
    path: ['schema'],
    summary: 'print the JSON Schema of dormouse.yaml, for editors',
    load: () => import('./schema.ts'),
  },
  {
    path: ['install'],
    summary: 'print the manifests of a Kubernetes installation, for kubectl',
    options: [
      ['--namespace <name>', 'where it runs (default: dormouse-system)'],
      ['--image <name>', 'the image, with its tag (default: dormouse:VERSION)'],
      ['--replicas <number>', 'of operator and gateway (default: 2)'],
      ['--set <key=value...>', 'operator.replicas, gateway.replicas, gateway.service.type, image.pullPolicy'],
      ['--gateway-class', 'the GatewayClass, too: the cluster has the Gateway API'],
      ['--no-crds', 'without the CRDs'],
    ],
    examples: ['dormouse install --image registry.example/dormouse:0.1.0 | kubectl apply --server-side -f -'],
    load: () => import('./install.ts'),
  },
  {
    path: ['uninstall'],
    summary: 'delete all Backends of a cluster and wait until everything is as it was before',
    options: [
      ['--yes', 'do it'],
      ['--timeout <duration>', 'give up after this (default: 5m)'],
      ['--kubeconfig <file>', 'which cluster (default: as kubectl)'],
      ['--context <name>', 'a context of that file'],
      JSON_OUTPUT,
    ],
    examples: ['dormouse uninstall --yes && dormouse install | kubectl delete -f -'],
    load: () => import('./uninstall.ts'),
  },
  {
    path: ['version'],
    summary: 'print the version',
    options: [JSON_OUTPUT],
    load: () => import('./version.ts'),
  },
  {
    path: ['demo', 'services'],
    summary: 'three small services that sleep until they are asked for something',
    load: () => import('./demo.ts'),
  },
  {
    path: ['demo', 'users'],
    summary: 'a load balancer, an API gateway and a user service that sleeps, for example.com',
    options: [['--folder <folder>', 'keep certificate, keys, tokens and database there (default: a temporary folder)']],
    load: () => import('./demo-users.ts'),
  },
];
