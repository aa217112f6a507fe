# shellcheck shell=bash
# What `compat.sh` and `clients.sh` share: Python environments and the writer's binary. Sourced
# only, after install.sh; ROOT is the checkout.

# python_env DIRECTORY REQUIREMENT…: an environment with these packages from PyPI. One that is
# there already and has the same requirements is kept.
python_env() {
  local directory=$1
  shift
  python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    give_up "$EX_UNAVAILABLE" 'Python 3.11 or later with its venv module is needed' \
      '(Debian: apt-get install python3 python3-venv).'
  [[ $(cat "$directory/requirements" 2>/dev/null) != "$*" ]] || return 0
  say "Installing $* into ${directory#"$ROOT/"} …" >&2
  rm -rf "$directory"
  mkdir -p "$(dirname "$directory")"
  python3 -m venv "$directory"
  "$directory/bin/pip" install --quiet --disable-pip-version-check "$@" >&2 ||
    give_up "$EX_UNAVAILABLE" "pip could not install $*."
  printf '%s\n' "$*" >"$directory/requirements"
}

# writer_binary OPTION…: prints the writer to test: WRITER_BIN, or the one of this checkout, built
# first; nothing when the options say that it is not needed.
writer_binary() {
  [[ " $* " != *' --against kinto '* && " $* " != *' --list-deviations '* &&
    " $* " != *' --help '* ]] || return 0
  if [[ -n ${WRITER_BIN:-} ]]; then
    [[ -x $WRITER_BIN ]] || give_up "$EX_CONFIG" "WRITER_BIN=$WRITER_BIN is not a program."
    realpath "$WRITER_BIN"
    return
  fi
  cargo build --release --locked --quiet -p countersign-writer >&2
  local target=${CARGO_TARGET_DIR:-$ROOT/target}
  printf '%s\n' "$(realpath "$target")/release/countersign-writer"
}
