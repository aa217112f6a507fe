# shellcheck shell=bash
# A private PostgreSQL: reached by a unix socket only, owned by nobody but us. Sourced only.
#
#   postgres_use HOME [SOCKETS]        the cluster lies in HOME/data; its socket in SOCKETS, by
#                                      default in a new directory
#   postgres_start test|durable LOG    creates it when needed, starts it, waits until it answers
#   postgres_stop                      fast shutdown
#   postgres_url ROLE DATABASE         its URL
#   postgres_psql DATABASE [ARG…]      psql, as the owner of the cluster
#
# The server never runs as root, which PostgreSQL refuses: root starts it as `postgres` or `nobody`.
# shellcheck source-path=SCRIPTDIR source=install.sh
source "$(dirname "${BASH_SOURCE[0]}")/install.sh"

readonly PG_ROLE=countersign_owner
PG_PID='' PG_SOCKETS=''

# The system's user that the server runs as.
postgres_user() {
  if ((EUID != 0)); then
    id -un
  elif id postgres >/dev/null 2>&1; then
    echo postgres
  else
    echo nobody
  fi
}

postgres_use() {
  PG_HOME=$1
  PG_DATA=$1/data
  PG_SOCKETS=${2:-}
  PG_USER=$(postgres_user)
  PG_BIN=$(postgres_bindir)
  # Meant for another server; this one is addressed by its URL alone.
  unset PGHOST PGHOSTADDR PGPORT PGDATA PGDATABASE PGUSER PGPASSWORD PGOPTIONS PGSERVICE PGSSLMODE \
    PGTZ PGTARGETSESSIONATTRS
}

# postgres_home DIRECTORY MEMORY: prints where the cluster of this checkout lies. That is DIRECTORY,
# unless the server's user cannot get there (a checkout in /root); then it is a directory in
# /var/tmp, and the file MEMORY says which.
postgres_home() {
  local directory=$1 memory=$2 user home
  user=$(postgres_user)
  home=$directory
  if [[ -f $memory ]]; then
    home=$(<"$memory")
  elif ! as_user "$user" test -x "${directory%/*}"; then
    home=/var/tmp/countersign-$(sha256sum <<<"$directory" | cut -c1-16)
    printf '%s\n' "$home" >"$memory"
  fi
  own_directory "$home" "$user"
  printf '%s\n' "$home"
}

# Everybody can create directories in /var/tmp: one that belongs to another user is not ours. Root
# takes over what an ordinary user began in this checkout.
own_directory() {
  local directory=$1 user=$2
  [[ ! -L $directory ]] || give_up "$EX_NOPERM" "$directory is a symbolic link: refusing to use it."
  mkdir -p -m 700 "$directory"
  [[ $(stat -c %U "$directory") != "$user" ]] || return 0
  ((EUID == 0)) || give_up "$EX_NOPERM" \
    "$directory belongs to $(stat -c %U "$directory"): run this as that user," \
    'or let that user run `make clean-run` first.'
  chown -R "$user:" "$directory"
}

postgres_start() {
  local mode=$1 log=$2
  postgres_check_version
  [[ -d $PG_DATA ]] || postgres_create "$mode" "$log"
  postgres_end_leftovers
  [[ -n $PG_SOCKETS ]] || postgres_make_sockets
  local -a settings
  mapfile -t settings < <(postgres_settings "$mode")
  # SIGINT is PostgreSQL's fast shutdown.
  (cd / && TZ=UTC become "$PG_USER" INT "$PG_BIN/postgres" -D "$PG_DATA" -k "$PG_SOCKETS" \
    "${settings[@]}") </dev/null >>"$log" 2>&1 &
  PG_PID=$!
  postgres_wait "$log"
}

# The directory of the socket: short, because a socket's path has at most 107 bytes, and so not in
# the checkout. A file beside the data remembers it for the start after a `kill -9`.
postgres_make_sockets() {
  local old
  old=$(cat "$PG_HOME/sockets" 2>/dev/null) || old=
  if [[ $old =~ ^/tmp/countersign-[A-Za-z0-9]{6}$ && -d $old && ! -L $old &&
    $(stat -c %U "$old") == "$PG_USER" ]]; then rm -rf "$old"; fi
  PG_SOCKETS=$(mktemp -d /tmp/countersign-XXXXXX)
  printf '%s\n' "$PG_SOCKETS" >"$PG_HOME/sockets"
  ((EUID != 0)) || chown "$PG_USER:" "$PG_SOCKETS"
}

postgres_settings() {
  printf '%s\n' -c listen_addresses= -c timezone=UTC -c log_timezone=UTC
  case $1 in
    # Thrown away after the tests: durability would only cost time.
    test) printf '%s\n' -c fsync=off -c synchronous_commit=off -c full_page_writes=off \
      -c max_connections=200 ;;
    durable) printf '%s\n' -c max_connections=100 ;;
  esac
}

# The files of one major version cannot be read by another.
postgres_check_version() {
  [[ -f $PG_DATA/PG_VERSION ]] || return 0
  local made ours
  made=$(<"$PG_DATA/PG_VERSION")
  ours=$(postgres_major "$PG_BIN")
  [[ $made == "$ours" ]] || give_up "$EX_CONFIG" \
    "The data in $PG_DATA was made by PostgreSQL $made, but $PG_BIN has $ours." \
    'Set PG_BINDIR to the older one, or forget the data with `make clean-run`.'
}

# Under another name until it is complete: initdb may be killed half-way.
postgres_create() {
  local mode=$1 log=$2
  local -a sync=()
  [[ $mode != test ]] || sync=(--no-sync)
  as_user "$PG_USER" rm -rf "$PG_DATA.new"
  as_user "$PG_USER" env LC_ALL=C TZ=UTC "$PG_BIN/initdb" --pgdata="$PG_DATA.new" --auth=trust \
    --encoding=UTF8 --locale=C --username="$PG_ROLE" --no-instructions "${sync[@]}" \
    >>"$log" 2>&1 || give_up "$EX_UNAVAILABLE" 'initdb failed:' "$(tail -n 20 "$log")"
  as_user "$PG_USER" mv "$PG_DATA.new" "$PG_DATA"
}

# After `kill -9` a server may still run on our data, or its last processes may be about to end. A
# lock file without them is stale; its number may belong to a stranger by now, and then PostgreSQL
# would refuse to start.
postgres_end_leftovers() {
  [[ -f $PG_DATA/postmaster.pid ]] || return 0
  local postmaster tries
  read -r postmaster <"$PG_DATA/postmaster.pid" || postmaster=
  if postgres_processes | grep -qx "$postmaster"; then
    say 'Stopping the PostgreSQL that an earlier run left behind.'
    kill -INT "$postmaster" 2>/dev/null || true
  fi
  for ((tries = 0; tries < 600; tries++)); do
    if [[ -z $(postgres_processes) ]]; then
      rm -f "$PG_DATA/postmaster.pid"
      return
    fi
    sleep 0.05
  done
  give_up "$EX_TEMPFAIL" "Processes still run in $PG_DATA: $(postgres_processes | xargs)"
}

# The processes of a server work in its data directory. Asked as the server's user: in a container,
# root may not look at other users' processes.
postgres_processes() {
  as_user "$PG_USER" find /proc -mindepth 2 -maxdepth 2 -name cwd -printf '%h %l\n' 2>/dev/null |
    data=$(realpath "$PG_DATA") awk '{
      pid = $1; sub(".*/", "", pid); sub("^[^ ]* ", "")
      if ($0 == ENVIRON["data"]) print pid }' || true
}

postgres_wait() {
  local log=$1 tries
  for ((tries = 0; tries < 600; tries++)); do
    "$PG_BIN/pg_isready" -q -h "$PG_SOCKETS" -U "$PG_ROLE" -d postgres && return
    kill -0 "$PG_PID" 2>/dev/null || break
    sleep 0.05
  done
  give_up "$EX_UNAVAILABLE" 'PostgreSQL did not start:' "$(tail -n 20 "$log")"
}

# Fast; should that take too long, immediate, which costs the next start a recovery.
postgres_stop() {
  if [[ -n $PG_PID ]]; then
    end_process "$PG_PID" INT QUIT
    PG_PID=
  fi
  [[ -z $PG_SOCKETS ]] || rm -rf "$PG_SOCKETS" "$PG_HOME/sockets"
  PG_SOCKETS=
}

# The slashes of the socket's directory are percent-encoded: it stands where a URL has its host.
postgres_url() { printf 'postgresql://%s@%s/%s\n' "$1" "${PG_SOCKETS//\//%2F}" "$2"; }

postgres_psql() {
  local database=$1
  shift
  PGOPTIONS='-c client_min_messages=warning' "$PG_BIN/psql" -XqAt -v ON_ERROR_STOP=1 \
    -h "$PG_SOCKETS" -U "$PG_ROLE" -d "$database" "$@"
}
