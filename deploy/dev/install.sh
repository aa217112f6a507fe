#!/usr/bin/env bash
# Makes sure that what the project needs is there, and says what it installs and why.
#
#   deploy/dev/install.sh [nginx] [wrk] [varnish] [promtool] [pgbouncer] [faketime]
#
# What is named is what `make bench`, `make cdn`, `make alerts` and `make drills` need beside.
#
# As root, or where sudo asks for no password, missing Debian packages are installed; otherwise the
# exact command is printed. Sourced, it offers `ensure_tools` and `postgres_bindir`.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

readonly RUST_MINOR=95 # Rust 1.95: `rust-version` in Cargo.toml
readonly POSTGRES_MAJOR=15

# rustup writes its PATH into login files, which a shell that was open before has not read.
command -v cargo >/dev/null || PATH=$PATH:$HOME/.cargo/bin

ensure_tools() {
  ensure_rust
  MISSING=()
  REASONS=()
  command -v cc >/dev/null || want build-essential 'a C compiler: some crates contain C (aws-lc)'
  command -v curl >/dev/null || want curl 'asks the servers whether they are up'
  postgres_bindir >/dev/null || want postgresql \
    "PostgreSQL >= $POSTGRES_MAJOR: tests and \`make run\` start a private server from its binaries"
  local extra
  for extra in "$@"; do
    case $extra in
      # Debian's package starts a service, unlike the others: whoever reads this should know.
      nginx) find_nginx || want nginx-light \
        'stands in for the CDN when measuring (`systemctl disable --now nginx` if Debian starts it)' ;;
      varnish) [[ -x /usr/sbin/varnishd ]] || command -v varnishd >/dev/null || want varnish \
        'a cache to be tried (`systemctl disable --now varnish` if Debian starts it)' ;;
      promtool) command -v promtool >/dev/null || want prometheus \
        'checks the alert rules (`systemctl disable --now prometheus` if Debian starts it)' ;;
      wrk) command -v wrk >/dev/null || want wrk 'makes the requests when measuring' ;;
      pgbouncer) [[ -x /usr/sbin/pgbouncer ]] || want pgbouncer \
        'a pooler for the drills (`systemctl disable --now pgbouncer` if Debian starts it)' ;;
      faketime) compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || want faketime \
        'a clock that jumps, for the drills' ;;
      *) give_up "$EX_CONFIG" "install.sh does not know '$extra'." ;;
    esac
  done
  ((${#MISSING[@]} == 0)) || install_missing
}

want() {
  MISSING+=("$1")
  REASONS+=("  $1: $2")
}

ensure_rust() {
  local version minor
  version=$(cargo --version 2>/dev/null) || version=none
  minor=${version#cargo 1.}
  minor=${minor%%.*}
  [[ $minor =~ ^[0-9]+$ ]] && ((minor >= RUST_MINOR)) && return
  give_up "$EX_UNAVAILABLE" \
    "Rust 1.$RUST_MINOR or later is needed (found: $version)." \
    'Get it from https://rustup.rs, or, with rustup there: rustup update stable'
}

# nginx lies in /usr/sbin, which is not in every user's PATH.
find_nginx() { [[ -x /usr/sbin/nginx ]] || command -v nginx >/dev/null; }

# Prints the directory of the PostgreSQL to use: PG_BINDIR, or the first one that is recent enough.
# Fails when there is none.
postgres_bindir() {
  local candidate
  if [[ -n ${PG_BINDIR:-} ]]; then
    is_postgres "$PG_BINDIR" || give_up "$EX_CONFIG" \
      "PG_BINDIR=$PG_BINDIR: no initdb, postgres and psql of PostgreSQL >= $POSTGRES_MAJOR there."
    printf '%s\n' "$PG_BINDIR"
    return
  fi
  while read -r candidate; do
    if is_postgres "$candidate"; then
      printf '%s\n' "$candidate"
      return
    fi
  done < <(postgres_candidates)
  return 1
}

postgres_candidates() {
  local server
  if server=$(command -v postgres); then dirname "$(readlink -f "$server")"; fi
  printf '%s\n' /usr/lib/postgresql/*/bin | sort --version-sort --reverse
  pg_config --bindir 2>/dev/null || true
}

is_postgres() {
  [[ -x $1/initdb && -x $1/postgres && -x $1/psql ]] || return 1
  local major
  major=$(postgres_major "$1") && ((major >= POSTGRES_MAJOR))
}

# "postgres (PostgreSQL) 15.18 (Debian …)" -> 15
postgres_major() {
  [[ $("$1/postgres" --version) =~ \(PostgreSQL\)\ ([0-9]+) ]] && printf '%s\n' "${BASH_REMATCH[1]}"
}

install_missing() {
  local -a root=()
  local install="apt-get install -y --no-install-recommends ${MISSING[*]}"
  say 'Missing:' "${REASONS[@]}"
  command -v apt-get >/dev/null || give_up "$EX_UNAVAILABLE" \
    'Install them with your package manager, then try again (the names above are Debian packages).'
  if ((EUID != 0)); then
    sudo -n true 2>/dev/null || give_up "$EX_UNAVAILABLE" \
      'Install them, then try again:' "  sudo apt-get update && sudo $install"
    root=(sudo -n)
  fi
  say "Installing: ${MISSING[*]}"
  [[ " ${MISSING[*]} " != *' postgresql '* ]] || forbid_system_cluster "${root[@]}"
  # The lists of a fresh machine are empty, or old.
  "${root[@]}" apt-get update -qq
  # shellcheck disable=SC2086 # a list of words
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive $install -qq </dev/null
  [[ " ${MISSING[*]} " != *' postgresql '* ]] || postgres_bindir >/dev/null || give_up \
    "$EX_UNAVAILABLE" "This system's PostgreSQL is older than $POSTGRES_MAJOR: install a newer one," \
    'and point PG_BINDIR to its binaries if they are in an unusual place.'
}

# Debian's package creates and starts a server of the system's own, which nobody asked for. A
# configuration that is there already is the administrator's, and stays.
forbid_system_cluster() {
  # shellcheck disable=SC2016 # expanded by the inner shell
  "$@" sh -c 'test -e "$1" || { mkdir -p "${1%/*}" && echo "$2" >"$1"; }' sh \
    /etc/postgresql-common/createcluster.conf 'create_main_cluster = false'
}

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then ensure_tools "$@"; fi
