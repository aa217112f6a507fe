#!/usr/bin/env bash
# `make compat`: the same requests to Kinto and to the writer, both on a private PostgreSQL.
#
#   deploy/dev/compat.sh [OPTION…]      options of `python3 -m compat --help`
#
# From the environment: REQUESTS (20000), WRITER_BIN (the binary to compare; built when not given).
# Kinto comes from PyPI into `.run/kinto`, which is kept for the next time.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=install.sh
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
# shellcheck source-path=SCRIPTDIR source=python-env.sh
source "$(dirname "${BASH_SOURCE[0]}")/python-env.sh"

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
readonly ROOT

main() {
  cd "$ROOT"
  ensure_tools
  python_env "$ROOT/.run/kinto" 11 "kinto[postgresql]==$KINTO_VERSION"
  local writer
  writer=$(writer_binary "$@")
  PSQL=$(postgres_bindir)/psql
  export PSQL PYTHONPATH=$ROOT/loadtests PYTHONDONTWRITEBYTECODE=1
  exec "$ROOT/deploy/dev/with-postgres.sh" python3 -m compat --kinto-bin "$ROOT/.run/kinto/bin" \
    --writer "$writer" --roles-sql "$ROOT/deploy/roles.sql" --directory "$ROOT/.run/compat" \
    --requests "${REQUESTS:-20000}" "$@"
}

main "$@"
