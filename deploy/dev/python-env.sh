# shellcheck shell=bash
# What `compat.sh` and `clients.sh` share: Python environments and the writer's binary. Sourced
# only, after install.sh; ROOT is the checkout.

# The version that the writer is compared with.
readonly KINTO_VERSION=26.5.0

# python_env DIRECTORY MINOR REQUIREMENT…: an environment with these packages from PyPI, for Python
# 3.MINOR or later. One that is there already and has the same requirements is kept.
python_env() {
  local directory=$1 minor=$2
  shift 2
  [[ $(cat "$directory/requirements" 2>/dev/null) != "$*" ]] || return 0
  say "Installing $* into ${directory#"$ROOT/"} …" >&2
  rm -rf "$directory"
  mkdir -p "$(dirname "$directory")"
  local python
  python=$(find_python "$minor") ||
    give_up "$EX_UNAVAILABLE" "Python 3.$minor or later with its venv module is needed" \
      '(Debian: apt-get install python3 python3-venv; or set PYTHON).'
  "$python" -m venv "$directory"
  "$directory/bin/pip" install --quiet --disable-pip-version-check "$@" >&2 ||
    give_up "$EX_UNAVAILABLE" "pip could not install $*."
  printf '%s\n' "$*" >"$directory/requirements"
}

# find_python MINOR: prints a Python 3.MINOR or later: PYTHON, or the first of those installed,
# pyenv's included.
find_python() {
  local python
  for python in "${PYTHON:-python3}" python3.{14,13,12,11} \
    "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.{14,13,12,11}.*/bin/python; do
    if "$python" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, $1))" 2>/dev/null; then
      printf '%s\n' "$python"
      return
    fi
  done
  return 1
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
