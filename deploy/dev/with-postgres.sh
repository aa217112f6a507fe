#!/usr/bin/env bash
# Runs a command with a throw-away PostgreSQL, whose URL is in TEST_DATABASE_URL.
#
#   deploy/dev/with-postgres.sh COMMAND [ARG…]
#
# Ends with the command's exit code. Where TEST_DATABASE_URL is set already, that server is used and
# none is started.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=postgres.sh
source "$(dirname "${BASH_SOURCE[0]}")/postgres.sh"

readonly PREFIX=/tmp/countersign-test-
CLUSTER=''

main() {
  (($# > 0)) || give_up 64 'usage: with-postgres.sh COMMAND [ARG…]'
  [[ -z ${TEST_DATABASE_URL:-} ]] || exec "$@"
  postgres_bindir >/dev/null || give_up "$EX_UNAVAILABLE" \
    "No PostgreSQL >= $POSTGRES_MAJOR found: deploy/dev/install.sh installs it."
  trap 'clean_up' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  remove_stale
  make_directory
  postgres_use "$CLUSTER" "$CLUSTER"
  postgres_start test "$CLUSTER/log"
  TEST_DATABASE_URL=$(postgres_url "$PG_ROLE" postgres)
  export TEST_DATABASE_URL
  interruptible "$@" 8>&-
}

# A lock on the directory (file 8) says that it is in use. The server inherits it, the command does
# not. Another script may take our new directory for a stale one before we hold the lock: then it
# gets the lock, and we make another directory.
make_directory() {
  local directory
  while :; do
    directory=$(mktemp -d "${PREFIX}XXXXXX")
    exec 8<"$directory"
    if flock -n 8 && [[ -d $directory ]]; then break; fi
  done
  CLUSTER=$directory
  ((EUID != 0)) || chown "$(postgres_user):" "$CLUSTER"
}

# What a script that was killed left behind.
remove_stale() {
  local directory
  for directory in "$PREFIX"??????; do
    if [[ -d $directory && ! -L $directory && $(stat -c %U "$directory") == "$(postgres_user)" ]]; then
      flock -n "$directory" rm -rf "$directory" || true
    fi
  done 2>/dev/null
}

clean_up() {
  local code=$?
  trap '' INT TERM
  end_interruptible
  postgres_stop
  [[ -z $CLUSTER ]] || rm -rf "$CLUSTER"
  exit "$code"
}

main "$@"
