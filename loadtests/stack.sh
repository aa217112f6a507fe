# shellcheck shell=bash
# A PostgreSQL, a writer and a reader of their own, in a directory that is deleted at the end. What
# `drill.sh` and `bench.sh` share. Sourced only.
#
#   stack_open NAME             the directory (STACK) and the traps; from the environment: BIN
#   stack_database              the cluster, with durable settings, and the empty database
#   stack_new_database NAME     another empty database in the cluster
#   stack_configure [SIZE]      keys, writer.toml and reader.toml; SIZE: batch_max_requests (1000)
#   stack_start writer|reader   starts it and waits until it answers; PID in WRITER_PID, READER_PID
#   stack_end writer|reader     SIGTERM, and waits
#   failed TEXT [LOG]           ends the script with the end of a log
# shellcheck source-path=SCRIPTDIR source=../deploy/dev/postgres.sh
source "$(dirname "${BASH_SOURCE[0]}")/../deploy/dev/postgres.sh"

STACK_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
readonly STACK_ROOT
BIN=${BIN:-${CARGO_TARGET_DIR:-$STACK_ROOT/target}/release}
[[ $BIN == /* ]] || BIN=$STACK_ROOT/$BIN
# A drill may run another writer than the others.
WRITER_BIN=$BIN
ME=$(id -un)
STACK='' DATABASE=countersign WRITER_PID='' READER_PID=''
# Other children, by PID; they are ended with the script.
declare -A CHILDREN=()

stack_open() {
  local name
  for name in countersign-writer countersign-reader countersign-load; do
    [[ -x $BIN/$name ]] || give_up "$EX_UNAVAILABLE" "$BIN/$name is missing: run \`make $1\`."
  done
  postgres_bindir >/dev/null || give_up "$EX_UNAVAILABLE" \
    "No PostgreSQL >= $POSTGRES_MAJOR found: deploy/dev/install.sh installs it."
  trap 'stack_close' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
  trap 'exit 129' HUP
  umask 077
  STACK=$(mktemp -d "/tmp/countersign-$1-XXXXXX")
  # PostgreSQL's user passes through to its own directory.
  chmod 711 "$STACK"
  mkdir "$STACK/logs"
}

stack_database() {
  mkdir "$STACK/pg"
  ((EUID != 0)) || chown "$(postgres_user):" "$STACK/pg"
  postgres_use "$STACK/pg" "$STACK/pg"
  postgres_start durable "$STACK/logs/postgres.log"
  stack_new_database "$DATABASE"
}

stack_new_database() {
  DATABASE=$1
  postgres_psql postgres -c "create database $DATABASE"
  postgres_psql "$DATABASE" <"$STACK_ROOT/deploy/roles.sql"
}

stack_configure() {
  W=$(free_port 18888)
  R=$(free_port $((W + 1)))
  WRITER=http://127.0.0.1:$W/v1
  READER=http://127.0.0.1:$R/v1
  KEY=$STACK/keys/public-key.pem
  [[ -f $KEY ]] || "$BIN/countersign-writer" keygen --out "$STACK/keys" \
    >"$STACK/logs/keygen.log" 2>&1 || failed 'Could not make a signing key' keygen
  writer_config "${1:-1000}" >"$STACK/writer.toml"
  reader_config >"$STACK/reader.toml"
  "$BIN/countersign-writer" migrate --config "$STACK/writer.toml" >"$STACK/logs/migrate.log" 2>&1 ||
    failed 'The migration failed' migrate
}

writer_config() {
  cat <<TOML
listen = "127.0.0.1:$W"
storage_url = "$(postgres_url countersign_writer "$DATABASE")"
migrate_url = "$(postgres_url "$PG_ROLE" "$DATABASE")"
userid_hmac_secret = "of this one run"
batch_max_requests = $1
log.requests = "errors"
multiauth.policies = "basicauth"
signer.resources = ["/buckets/main-workspace -> /buckets/main-preview -> /buckets/main"]
signer.to_review_enabled = true
signer.ecdsa.private_key = "$STACK/keys/private-key.pem"
changes.resources = ["/buckets/main", "/buckets/main-preview"]
TOML
}

reader_config() {
  cat <<TOML
listen = "127.0.0.1:$R"
storage_url = "$(postgres_url countersign_reader "$DATABASE")"
changes.resources = ["/buckets/main", "/buckets/main-preview"]
signature.verify = "enforce"
signature.public_keys = ["$KEY"]
watermark.recheck_interval_seconds = 1
TOML
}

# Prints the first port from $1 on where nobody answers.
free_port() {
  local port
  for ((port = $1; port < 30000; port++)); do
    (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    printf '%s\n' "$port"
    return
  done
  give_up "$EX_UNAVAILABLE" "No free port from $1 on."
}

# stack_start writer|reader [COMMAND…]: COMMAND runs it, as `taskset -c 0`.
stack_start() {
  local name=$1 pid port=$W bin=$WRITER_BIN
  shift
  [[ $name == writer ]] || port=$R bin=$BIN
  become "$ME" TERM "$@" "$bin/countersign-$name" serve --config "$STACK/$name.toml" \
    </dev/null >>"$STACK/logs/$name.log" 2>&1 &
  pid=$!
  if [[ $name == writer ]]; then WRITER_PID=$pid; else READER_PID=$pid; fi
  # A reader is ready when its first snapshot is.
  local deadline=$((SECONDS + 30))
  until curl -fsS -o /dev/null --max-time 2 --noproxy '*' \
    "http://127.0.0.1:$port/v1/__heartbeat__" 2>/dev/null; do
    is_running "$pid" || failed "The $name ended while starting" "$name"
    ((SECONDS < deadline)) || failed "The $name did not answer within 30 s" "$name"
    sleep 0.02
  done
}

stack_end() {
  if [[ $1 == writer && -n $WRITER_PID ]]; then
    end_process "$WRITER_PID" TERM KILL
    WRITER_PID=
  elif [[ $1 == reader && -n $READER_PID ]]; then
    end_process "$READER_PID" TERM KILL
    READER_PID=
  fi
}

failed() {
  KEEP=1
  if (($# > 1)); then
    give_up 1 "$1. The end of $STACK/logs/$2.log:" "$(tail -n 20 "$STACK/logs/$2.log" 2>/dev/null)"
  fi
  give_up 1 "$1."
}

stack_close() {
  local code=$? pid
  trap '' HUP INT TERM
  end_interruptible
  for pid in "${!CHILDREN[@]}"; do end_process "$pid" TERM KILL; done
  stack_end reader
  stack_end writer
  [[ -z ${PG_DATA:-} ]] || postgres_stop
  if [[ -n $STACK && -n ${KEEP:-} ]]; then
    rm -rf "$STACK/pg"
    say "The logs are in $STACK/logs." >&2
  elif [[ -n $STACK ]]; then
    rm -rf "$STACK"
  fi
  exit "$code"
}
