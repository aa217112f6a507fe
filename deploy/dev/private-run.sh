# shellcheck shell=bash
# The directory `.run/`, where `make run` keeps its state. Sourced only, after postgres.sh.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
readonly ROOT RUN=$ROOT/.run
BIN=${CARGO_TARGET_DIR:-$ROOT/target}/release
[[ $BIN == /* ]] || BIN=$ROOT/$BIN

# Creates it and takes its lock (file 9), which ends with this process. Others may pass through, as
# PostgreSQL's user must, but not look in; every file is for us alone.
open_run_directory() {
  umask 077
  mkdir -p "$RUN" 2>/dev/null && chmod 711 "$RUN" 2>/dev/null && exec 9>>"$RUN/lock" ||
    give_up "$EX_NOPERM" "$RUN belongs to another user: let that one run \`make clean-run\` first."
  flock -n 9 || give_up "$EX_TEMPFAIL" \
    'Countersign runs already in this checkout: end that `make run` first (Ctrl-C in its terminal).'
}
