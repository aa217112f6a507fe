#!/usr/bin/env bash
# `make run`: a writer, a reader and their PostgreSQL on this machine, with real collections.
#
# State is kept in `.run/` (`make clean-run` forgets it). From the environment: WRITER_PORT (8888),
# READER_PORT (8889), CARGO_TARGET_DIR, PG_BINDIR; RUN_ONCE=1 stops as soon as everything works.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=postgres.sh
source "$(dirname "${BASH_SOURCE[0]}")/postgres.sh"
# shellcheck source-path=SCRIPTDIR source=private-run.sh
source "$(dirname "${BASH_SOURCE[0]}")/private-run.sh"

ME=$(id -un)
WRITER_PID='' READER_PID='' FINISHED='' PIN='' SIGNER=$RUN/pki/remote-settings/current

main() {
  cd "$ROOT"
  open_run_directory
  trap 'stop_all' EXIT
  trap 'FINISHED=1; exit' INT TERM
  trap 'exit 129' HUP
  ensure_tools
  build
  mkdir -p "$RUN/logs"
  start_database
  choose_ports
  make_certificates
  write_configs
  prepare
  start_servers
  seed
  wait_for_publication
  verify
  print_hints
  [[ ${RUN_ONCE:-} != 1 ]] || return 0
  say '' 'Ctrl-C stops everything.'
  watch_children
}

build() {
  say 'Building (the first time takes some minutes) …'
  interruptible cargo build --release --locked --quiet \
    -p countersign-writer -p countersign-reader -p countersign-loadtests
}

start_database() {
  : >"$RUN/logs/postgres.log"
  local home found
  home=$(postgres_home "$RUN/postgres" "$RUN/postgres-home")
  postgres_use "$home"
  postgres_start durable "$RUN/logs/postgres.log"
  found=$(postgres_psql postgres -c "select 1 from pg_database where datname = 'countersign'")
  [[ $found == 1 ]] || postgres_psql postgres -c 'create database countersign'
  postgres_psql countersign <"$ROOT/deploy/roles.sql"
}

choose_ports() {
  local writer=${WRITER_PORT:-8888} reader=${READER_PORT:-8889}
  W=$(free_port "$writer" none)
  R=$(free_port "$reader" "$W")
  [[ $W == "$writer" ]] || say "Port $writer is taken: the writer gets $W."
  [[ $R == "$reader" ]] || say "Port $reader is taken: the reader gets $R."
}

# free_port FIRST EXCEPT: prints the first port from FIRST on where nobody answers.
free_port() {
  local port
  [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] || give_up "$EX_CONFIG" "'$1' is not a port."
  for ((port = $1; port <= 65535; port++)); do
    [[ $port != "$2" ]] || continue
    (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && continue
    printf '%s\n' "$port"
    return
  done
  give_up "$EX_UNAVAILABLE" "No free port from $1 on."
}

# Written at every start: the socket's directory and the ports may be new.
write_configs() {
  [[ -s $RUN/userid-hmac-secret ]] ||
    od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n' >"$RUN/userid-hmac-secret"
  writer_config >"$RUN/writer.toml"
  reader_config >"$RUN/reader.toml"
}

writer_config() {
  cat <<TOML
# Written by \`make run\`, and overwritten by the next one.
listen = "127.0.0.1:$W"
storage_url = "$(postgres_url countersign_writer countersign)"
migrate_url = "$(postgres_url "$PG_ROLE" countersign)"
userid_hmac_secret = "$(<"$RUN/userid-hmac-secret")"
batch_max_requests = 1000
log.format = "json"
multiauth.policies = "basicauth"
signer.resources = ["/buckets/main-workspace -> /buckets/main-preview -> /buckets/main"]
signer.to_review_enabled = true
$(signing_settings)
changes.resources = ["/buckets/main", "/buckets/main-preview"]
TOML
}

reader_config() {
  cat <<TOML
# Written by \`make run\`, and overwritten by the next one.
listen = "127.0.0.1:$R"
storage_url = "$(postgres_url countersign_reader countersign)"
log.format = "json"
changes.resources = ["/buckets/main", "/buckets/main-preview"]
signature.verify = "enforce"
$(trust_settings)
# The port in the URLs of certificate chains may be that of an earlier run.
signer.certs_chains_base_url = "http://127.0.0.1:$R"

[watermark]
# A change behind the publication's back shows within seconds.
recheck_interval_seconds = 2
TOML
}

# A state that is older than certificates has a bare key, and goes on with it.
has_bare_key() { [[ -f $RUN/keys/private-key.pem && -f $RUN/keys/public-key.pem ]]; }

signing_settings() {
  if has_bare_key; then
    printf 'signer.ecdsa.private_key = %s\n' "$(toml_string "$RUN/keys/private-key.pem")"
    return
  fi
  cat <<TOML
signer.ecdsa.private_key = $(toml_string "$SIGNER/private-key.pem")
signer.local.chain_path = $(toml_string "$SIGNER/chain.pem")
signer.local.x5u = "http://127.0.0.1:$R/v1/cert-chains/"
TOML
}

trust_settings() {
  if has_bare_key; then
    printf 'signature.public_keys = [%s]\n' "$(toml_string "$RUN/keys/public-key.pem")"
  else
    printf 'signature.root_hashes = "%s"\n' "$PIN"
  fi
}

toml_string() {
  local text=${1//\\/\\\\}
  printf '"%s"' "${text//\"/\\\"}"
}

# A root, an intermediate and a key with its certificate, for this checkout only. They last for ten
# years, so that a state that lay about for months works still.
make_certificates() {
  ! has_bare_key || return 0
  if [[ ! -e $SIGNER/chain.pem ]]; then
    # What a run that was interrupted left.
    rm -rf "$RUN/pki"
    interruptible "$BIN/countersign-writer" pki dev --dir "$RUN/pki" --days 3600 \
      >"$RUN/logs/pki.log" 2>&1 || failed 'Could not make certificates' pki
  fi
  PIN=$("$BIN/countersign-writer" pki pin "$RUN/pki/root.pem")
}

prepare() {
  interruptible "$BIN/countersign-writer" migrate --config "$RUN/writer.toml" \
    >"$RUN/logs/migrate.log" 2>&1 || failed 'The migration failed' migrate
}

start_servers() {
  become "$ME" TERM "$BIN/countersign-writer" serve --config "$RUN/writer.toml" \
    </dev/null >"$RUN/logs/writer.log" 2>&1 &
  WRITER_PID=$!
  become "$ME" TERM "$BIN/countersign-reader" serve --config "$RUN/reader.toml" \
    </dev/null >"$RUN/logs/reader.log" 2>&1 &
  READER_PID=$!
  wait_for writer "$WRITER_PID" "$W"
  wait_for reader "$READER_PID" "$R"
}

# wait_for NAME PID PORT
wait_for() {
  local deadline=$((SECONDS + 30))
  until curl -fsS -o /dev/null --max-time 2 --noproxy '*' \
    "http://127.0.0.1:$3/v1/__lbheartbeat__" 2>/dev/null; do
    is_running "$2" || failed "The $1 ended while starting" "$1"
    ((SECONDS < deadline)) || failed "The $1 did not answer within 30 s" "$1"
    sleep 0.05
  done
}

seed() {
  interruptible "$BIN/countersign-load" seed --writer "http://127.0.0.1:$W/v1" \
    --data "$ROOT/data/main" >"$RUN/logs/seed.log" 2>&1 || failed 'Importing data/main failed' seed
}

# What was approved a moment ago reaches the reader within a fraction of a second: until then
# there is less to verify, not nothing, so the newest timestamp is what to wait for.
wait_for_publication() {
  local newest deadline=$((SECONDS + 6))
  newest=$(postgres_psql countersign -c "select max(last_modified) from resource_timestamp
    where resource_name = 'record' and bucket_id in ('main', 'main-preview')")
  until curl -fsS --max-time 2 --noproxy '*' \
    "http://127.0.0.1:$R/v1/buckets/monitor/collections/changes/changeset?_expected=0" 2>/dev/null |
    grep -q "\"timestamp\":$newest"; do
    ((SECONDS < deadline)) || failed 'The reader does not show what was published' reader
    sleep 0.05
  done
}

# What clients know beforehand: sets `trust`.
client_trust() {
  trust=(--root-hash "$PIN" --allow-http)
  ! has_bare_key || trust=(--public-key "$RUN/keys/public-key.pem")
}

verify() {
  local -a trust
  client_trust
  local deadline=$((SECONDS + 6))
  until interruptible "$BIN/countersign-reader" verify "http://127.0.0.1:$R/v1" \
    "${trust[@]}" >"$RUN/logs/verify.log" 2>&1; do
    ((SECONDS < deadline)) || failed 'What the reader serves could not be verified' verify
    sleep 0.1
  done
  cat "$RUN/logs/verify.log"
}

print_hints() {
  local -a trust
  client_trust
  local w=http://127.0.0.1:$W/v1 r=http://127.0.0.1:$R/v1
  local json="-H 'Content-Type: application/json'"
  local collection=$w/buckets/main-workspace/collections/regions
  cat <<HINTS

Countersign is up.

  writer    $w/    editors and reviewers
  reader    $r/    what clients download
  logs      .run/logs/

Look around:

  curl -s $r/
  curl -s '$r/buckets/monitor/collections/changes/changeset?_expected=0'
  curl -s '$r/buckets/main/collections/regions/changeset?_expected=0'

Edit a record, ask for review, approve as somebody else, and see it published and signed:

  curl -s -u editor:editor -X PUT $json \\
    -d '{"data": {"title": "hello"}}' $collection/records/hello
  curl -s -u editor:editor -X PATCH $json \\
    -d '{"data": {"status": "to-review"}}' $collection
  curl -s -u reviewer:reviewer -X PATCH $json \\
    -d '{"data": {"status": "to-sign"}}' $collection
  curl -s '$r/buckets/main/collections/regions/changeset?_expected=0'

Check every signature, as a client would:

  $(shell_words "$BIN/countersign-reader") verify $r \\
    $(shell_words "${trust[@]}")

Tamper with a published record, behind the writer's back: within seconds the reader refuses the
collection, names it, and serves its last good state still:

  $(shell_words "$PG_BIN/psql") -h $PG_SOCKETS -U $PG_ROLE countersign -c "
    update record set data = jsonb_set(data, '{title}', '\"tampered\"')
    where bucket_id = 'main' and collection_id = 'regions' and id = 'world'"
  sleep 3; curl -s $r/__heartbeat__

Undo it (a reader that starts meanwhile has no good state to serve):

  $(shell_words "$PG_BIN/psql") -h $PG_SOCKETS -U $PG_ROLE countersign -c "
    update record set data = data - 'title'
    where bucket_id = 'main' and collection_id = 'regions' and id = 'world'"
HINTS
}

shell_words() {
  local words
  printf -v words '%q ' "$@"
  printf '%s' "${words% }"
}

# Returns only when a child ended by itself, which is a failure.
watch_children() {
  local died='' name=postgres
  wait -n -p died "$WRITER_PID" "$READER_PID" "$PG_PID" || true
  [[ $died != "$WRITER_PID" ]] || name=writer
  [[ $died != "$READER_PID" ]] || name=reader
  failed "The $name ended unexpectedly" "$name"
}

# failed WHAT LOG: says so with the end of the log; the EXIT trap stops what runs.
failed() {
  give_up 1 "$1. The end of .run/logs/$2.log:" "$(tail -n 20 "$RUN/logs/$2.log" 2>/dev/null)"
}

# In this order nobody loses what they still need.
stop_all() {
  local code=$?
  trap '' HUP INT TERM
  [[ -z $READER_PID$WRITER_PID$PG_PID ]] || say '' 'Stopping …'
  end_interruptible
  [[ -z $READER_PID ]] || end_process "$READER_PID" TERM KILL
  [[ -z $WRITER_PID ]] || end_process "$WRITER_PID" TERM KILL
  postgres_stop
  # A signal is how one leaves `make run`; that is no failure.
  [[ -z $FINISHED ]] || code=0
  exit "$code"
}

main "$@"
