#!/usr/bin/env bash
# `make clients`: the tests of kinto.py and kinto-wizard, two devices with kinto.js, and
# schemathesis, over the wire against the writer, which gets a private PostgreSQL.
#
#   deploy/dev/clients.sh [OPTION…]     options of `python3 -m clients --help`
#
# From the environment: WRITER_BIN (the binary to test; built when not given). The clients and their
# tests come from PyPI and npm into `.run`; without Node.js, what needs it fails.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=install.sh
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
# shellcheck source-path=SCRIPTDIR source=python-env.sh
source "$(dirname "${BASH_SOURCE[0]}")/python-env.sh"

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
readonly ROOT KINTO_HTTP=11.11.0 KINTO_WIZARD=6.0.1 SCHEMATHESIS=4.32.5

main() {
  cd "$ROOT"
  ensure_tools
  # kinto-wizard needs Python 3.12.
  python_env "$ROOT/.run/clients" 12 "kinto[postgresql]==$KINTO_VERSION" "kinto-http==$KINTO_HTTP" \
    "kinto-wizard==$KINTO_WIZARD" "schemathesis==$SCHEMATHESIS" pytest pytest-asyncio pytest-mock
  node_packages "$ROOT/.run/node"
  local writer
  writer=$(writer_binary "$@")
  PSQL=$(postgres_bindir)/psql
  export PSQL PYTHONPATH=$ROOT/loadtests PYTHONDONTWRITEBYTECODE=1
  exec "$ROOT/deploy/dev/with-postgres.sh" python3 -m clients --clients-bin "$ROOT/.run/clients/bin" \
    --node "$ROOT/.run/node" --writer "$writer" --roles-sql "$ROOT/deploy/roles.sql" \
    --directory "$ROOT/.run/clients-run" --kinto-http "$KINTO_HTTP" --kinto-wizard "$KINTO_WIZARD" "$@"
}

# node_packages DIRECTORY: what the scenario imports, and the scenario beside it.
node_packages() {
  local directory=$1
  mkdir -p "$directory"
  cp "$ROOT"/loadtests/clients/*.mjs "$directory/"
  command -v npm >/dev/null || {
    say 'npm is not installed: the scenario with kinto.js will fail.' >&2
    return 0
  }
  if cmp -s "$ROOT/loadtests/clients/package.json" "$directory/package.json" &&
    [[ -d $directory/node_modules/kinto ]]; then return; fi
  cp "$ROOT/loadtests/clients/package.json" "$directory/"
  say 'Installing kinto.js into .run/node …' >&2
  npm install --prefix "$directory" --silent --no-audit --no-fund --ignore-scripts >&2
}

main "$@"
