#!/usr/bin/env bash
# `make run`: builds the servers and runs them here, with real data and a PostgreSQL of their own,
# until Ctrl-C. `run.sh forget` (`make clean-run`) removes what it keeps.
#
# WRITER_PORT and READER_PORT choose the ports. RUN_ONCE=1 stops as soon as everything is up.
# All state lies in .run/, which git ignores.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=postgres.sh
source "$(dirname "${BASH_SOURCE[0]}")/postgres.sh"

ROOT=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")
readonly ROOT RUN=$ROOT/.run
readonly KEYS=$RUN/keys LOGS=$RUN/logs DATABASE=countersign
readonly ANSWER_SECONDS=30 TERM_SECONDS=30
declare -A PIDS=() # of our children, by name

main() {
  cd "$ROOT"
  take_lock
  case ${1:-} in
    forget) forget ;;
    '') run ;;
    *) give_up 2 'usage: run.sh [forget]' ;;
  esac
}

run() {
  trap stop EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 143' TERM
  ensure_tools
  build
  start_database
  make_secrets
  choose_ports
  write_writer_settings
  write_reader_settings
  interruptible "$BIN/countersign-writer" migrate --config "$RUN/writer.toml"
  progress 'database migrated'
  start_servers
  seed
  verify
  show_what_to_try
  [[ ${RUN_ONCE:-} == 1 ]] || watch
}

# Two runs would share one database directory. The lock ends with us, however we end.
take_lock() {
  mkdir -p "$RUN" "$LOGS"
  # The database server's user passes through; what is secret in here has a mode of its own.
  chmod 711 "$RUN"
  exec 9>>"$RUN/lock"
  flock --nonblock 9 || give_up "$EX_TEMPFAIL" \
    "It is running here already (process $(cat "$RUN/pid" 2>/dev/null)): stop that one first."
  echo "$$" >"$RUN/pid"
}

STARTED=${EPOCHREALTIME/[.,]/}
progress() {
  local ms=$(((${EPOCHREALTIME/[.,]/} - STARTED) / 1000))
  printf '%3d.%02d s  %s\n' $((ms / 1000)) $((ms % 1000 / 10)) "$*"
}

build() {
  say 'Building (the first time takes some minutes) …'
  interruptible cargo build --release --locked --quiet \
    -p countersign-writer -p countersign-reader -p countersign-loadtests
  BIN=$(realpath "${CARGO_TARGET_DIR:-target}/release")
  progress 'built'
}

start_database() {
  use_postgres
  DATA=$(settle_data "$RUN/postgres")
  if running_postgres "$DATA" >/dev/null; then
    say 'Stopping the PostgreSQL of an earlier run …'
    stop_postgres "$DATA"
  fi
  remove_sockets
  create_cluster "$DATA"
  # Under /tmp, because a socket's path has at most 107 bytes.
  SOCKETS=$(mktemp -d /tmp/countersign-run.XXXXXX)
  ln -sfn "$SOCKETS" "$RUN/sockets"
  private_directory "$SOCKETS" "$(postgres_user "$DATA")"
  : >"$LOGS/postgres.log"
  start_postgres "$DATA" "$SOCKETS" "$LOGS/postgres.log" durable
  PIDS[postgres]=$POSTGRES_PID
  run_sql "$SOCKETS" postgres --file="$ROOT/deploy/roles.sql" --file=- <<SQL
select 'create database $DATABASE'
where not exists (select from pg_database where datname = '$DATABASE') \gexec
SQL
  progress "PostgreSQL $(postgres_major "$BINDIR") runs, reached through $SOCKETS only"
}

# Also those that an earlier run left when it was killed.
remove_sockets() {
  local sockets
  sockets=$(readlink "$RUN/sockets") || return 0
  [[ $sockets != /tmp/countersign-run.* ]] || rm -rf "$sockets"
  rm -f "$RUN/sockets"
}

make_secrets() (
  umask 077
  if [[ ! -f $KEYS/private-key.pem ]]; then
    mkdir -p "$KEYS"
    "$BIN/countersign-writer" keygen --out "$KEYS"
  fi
  if [[ ! -s $RUN/userid_hmac_secret ]]; then
    head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$RUN/userid_hmac_secret"
  fi
)

choose_ports() {
  WRITER=$(free_port "${WRITER_PORT:-8888}")
  READER=$(free_port "${READER_PORT:-8889}" "$WRITER")
  tell_port writer "${WRITER_PORT:-8888}" "$WRITER"
  tell_port reader "${READER_PORT:-8889}" "$READER"
}

# free_port FIRST [OTHER]: the first port from FIRST on that nobody listens on and that is not OTHER.
free_port() {
  local port=$1
  while [[ $port == "${2:-}" ]] || (: >"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do ((port += 1)); done
  printf '%s\n' "$port"
}

tell_port() { [[ $2 == "$3" ]] || say "Port $2 is taken: the $1 listens on $3."; }

write_writer_settings() (
  umask 077
  cat >"$RUN/writer.toml" <<TOML
# Written by \`make run\` at every start.
listen = "127.0.0.1:$WRITER"
storage_url = "$(postgres_url countersign_writer "$SOCKETS" "$DATABASE")"
migrate_url = "$(postgres_url "$OWNER_ROLE" "$SOCKETS" "$DATABASE")"
userid_hmac_secret = "$(<"$RUN/userid_hmac_secret")"
multiauth.policies = "basicauth"
signer.resources = ["/buckets/main-workspace -> /buckets/main-preview -> /buckets/main"]
signer.to_review_enabled = true
signer.ecdsa.private_key = $(toml_string "$KEYS/private-key.pem")
changes.resources = ["/buckets/main", "/buckets/main-preview"]
TOML
)

write_reader_settings() (
  umask 077
  cat >"$RUN/reader.toml" <<TOML
# Written by \`make run\` at every start.
listen = "127.0.0.1:$READER"
storage_url = "$(postgres_url countersign_reader "$SOCKETS" "$DATABASE")"
changes.resources = ["/buckets/main", "/buckets/main-preview"]
signature.verify = "enforce"
signature.public_keys = [$(toml_string "$KEYS/public-key.pem")]
TOML
)

toml_string() {
  local escaped=${1//\\/\\\\}
  printf '"%s"' "${escaped//\"/\\\"}"
}

start_servers() {
  start_server writer
  start_server reader
  await_answer writer "http://127.0.0.1:$WRITER/v1/__lbheartbeat__"
  progress "writer answers on port $WRITER"
  await_answer reader "http://127.0.0.1:$READER/v1/__heartbeat__"
  progress "reader answers on port $READER"
}

start_server() {
  local name=$1
  become "$(id -un)" TERM "$BIN/countersign-$name" serve --config "$RUN/$name.toml" \
    >"$LOGS/$name.log" 2>&1 </dev/null &
  PIDS[$name]=$!
}

await_answer() {
  local name=$1 deadline=$((SECONDS + ANSWER_SECONDS))
  until curl --silent --fail --max-time 2 --output /dev/null "$2"; do
    kill -0 "${PIDS[$name]}" 2>/dev/null || fail_with_log "$name" "The $name ended."
    ((SECONDS <= deadline)) || fail_with_log "$name" "The $name does not answer $2."
    sleep 0.05
  done
}

fail_with_log() {
  printf '%s\n' "Last lines of $LOGS/$1.log:" >&2
  tail -n 20 "$LOGS/$1.log" >&2
  give_up 1 "$2"
}

# The marker is written last, so that an interrupted import is done again; and an import that was
# done is not, because it would undo what was edited since.
seed() {
  [[ ! -f $RUN/seeded ]] || return 0
  say 'Importing the collections of data/ …'
  interruptible "$BIN/countersign-load" seed --writer "http://127.0.0.1:$WRITER" --data "$ROOT/data"
  touch "$RUN/seeded"
  progress 'collections imported, reviewed and signed'
}

verify() {
  local deadline=$((SECONDS + ANSWER_SECONDS))
  until same_timestamp; do
    ((SECONDS <= deadline)) || fail_with_log reader 'The reader does not show what the writer published.'
    sleep 0.05
  done
  interruptible "$BIN/countersign-reader" verify "http://127.0.0.1:$READER/v1" \
    --public-key "$KEYS/public-key.pem"
  progress 'all signatures verified through the reader'
}

same_timestamp() {
  local written read
  written=$(monitor_timestamp "$WRITER") && read=$(monitor_timestamp "$READER") &&
    [[ -n $written && $written == "$read" ]]
}

monitor_timestamp() {
  curl --silent --fail --max-time 5 \
    "http://127.0.0.1:$1/v1/buckets/monitor/collections/changes/changeset?_expected=0" |
    sed -n 's/.*"timestamp": *\([0-9]*\).*/\1/p'
}

show_what_to_try() {
  local writer=http://127.0.0.1:$WRITER/v1 reader=http://127.0.0.1:$READER/v1
  local source=$writer/buckets/main-workspace/collections/regions
  cat <<TEXT

Writer $writer   Reader $reader   Logs $LOGS

What clients do:
  curl $reader/
  curl '$reader/buckets/monitor/collections/changes/changeset?_expected=0'
  curl '$reader/buckets/main/collections/regions/changeset?_expected=0'

Edit a record and ask for review; approve as somebody else; see it published:
  curl -u editor:editor -X PATCH -H 'Content-Type: application/json' \\
    -d '{"data": {"note": "changed"}}' $source/records/world
  curl -u editor:editor -X PATCH -H 'Content-Type: application/json' \\
    -d '{"data": {"status": "to-review"}}' $source
  curl -u reviewer:reviewer -X PATCH -H 'Content-Type: application/json' \\
    -d '{"data": {"status": "to-sign"}}' $source
  curl '$reader/buckets/main/collections/regions/changeset?_expected=0'

Check every signature:
  $BIN/countersign-reader verify $reader --public-key $KEYS/public-key.pem

TEXT
  progress 'ready'
}

# Until a signal, or until one of the children ends, which it should not.
watch() {
  local name
  say 'Ctrl-C stops everything.'
  while wait -n "${PIDS[@]}" 2>/dev/null || true; do
    for name in "${!PIDS[@]}"; do
      kill -0 "${PIDS[$name]}" 2>/dev/null || fail_with_log "$name" "The $name ended unexpectedly."
    done
  done
}

# Clients first, their database last. Only what this script started.
stop() {
  local code=$?
  set +e
  trap '' HUP INT TERM
  end_interruptible
  [[ -z ${PIDS[*]} ]] || say 'Stopping …'
  stop_server reader
  stop_server writer
  [[ -z ${PIDS[postgres]:-} ]] || stop_postgres "$DATA"
  remove_sockets
  rm -f "$RUN/pid"
  exit "$code"
}

stop_server() {
  local pid=${PIDS[$1]:-} deadline=$((SECONDS + TERM_SECONDS))
  [[ -n $pid ]] || return
  kill -TERM "$pid" 2>/dev/null
  while kill -0 "$pid" 2>/dev/null; do
    if ((SECONDS > deadline)); then
      say "The $1 does not end: killing it."
      kill -KILL "$pid"
      return
    fi
    sleep 0.02
  done
}

forget() {
  local home
  if [[ -L $RUN/postgres ]]; then
    home=$(dirname "$(readlink "$RUN/postgres")")
    [[ $home != /var/tmp/countersign-* ]] || rm -rf "$home"
  fi
  remove_sockets
  rm -rf "$RUN"
  say 'Forgot the data, keys and settings of `make run`.'
}

main "$@"
