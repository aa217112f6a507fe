#!/usr/bin/env bash
# `make load`: clients of every kind come to a reader, as they come from the internet: whether it is
# ready or not. Prints a table, and writes a report with plots (docs/load-tests.md).
#
# Everything is private to the run: PostgreSQL, writer, reader, nginx, keys, ports. From the
# environment: RATE (2000 clients a second), DURATION (10 s of each scenario), SEED (1), IDLE (10000
# connections that do nothing, beside the fleet), ROUNDS (20 publications), HERD (20000 clients after
# a publication), SCENARIOS (all), PEERS (further servers, as `kinto=http://127.0.0.1:8890/v1`),
# REPORT (.run/load/report.html), BIN (target/release), PG_BINDIR. Publications are also watched
# through Varnish, where it is installed.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../loadtests/stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../loadtests/stack.sh"

RATE=${RATE:-2000}
DURATION=${DURATION:-10}
SEED=${SEED:-1}
IDLE=${IDLE:-10000}
ROUNDS=${ROUNDS:-20}
HERD=${HERD:-20000}
SCENARIOS=${SCENARIOS:-fleet first-start deltas slow-network herd publication}
PEERS=${PEERS:-}
REPORT=${REPORT:-$STACK_ROOT/.run/load/report.html}
[[ $REPORT == /* ]] || REPORT=$PWD/$REPORT
LOAD_BROKEN=0 RESULTS=()

main() {
  local number scenario
  for number in "$RATE" "$DURATION" "$SEED" "$IDLE" "$ROUNDS" "$HERD"; do
    [[ $number =~ ^(0|[1-9][0-9]{0,5})$ ]] || give_up "$EX_CONFIG" "'$number' is not a number for this."
  done
  for scenario in $SCENARIOS; do
    [[ $scenario =~ ^(fleet|herd|first-start|deltas|slow-network|publication)$ ]] ||
      give_up "$EX_CONFIG" "There is no scenario '$scenario'."
  done
  NGINX=$(PATH=$PATH:/usr/sbin command -v nginx) ||
    give_up "$EX_UNAVAILABLE" 'nginx is needed: deploy/dev/install.sh nginx'
  # As many connections as the machine grants: the idle ones are many.
  ulimit -n "$(ulimit -Hn)"
  stack_open load
  LOAD=$BIN/countersign-load
  mkdir -p "$(dirname "$REPORT")"
  prepare
  for scenario in $SCENARIOS; do run_scenario "$scenario"; done
  "$LOAD" open report "${RESULTS[@]}" --html "$REPORT" --note "$(note_of_machine)"
  say '' "The report: $REPORT"
  ((LOAD_BROKEN == 0)) || failed "$LOAD_BROKEN scenarios failed"
}

prepare() {
  say 'Starting PostgreSQL, a writer and a reader, and publishing data/main …' >&2
  stack_database
  stack_configure 1000
  say 'http.max_connections = 20000' >>"$STACK/reader.toml"
  stack_start writer
  stack_start reader
  "$LOAD" seed --writer "$WRITER" --data "$STACK_ROOT/data/main" >"$STACK/logs/seed.log" 2>&1 ||
    failed 'Importing data/main failed' seed
  sleep 1 # the reader follows in a fraction of it
  start_peer
  start_varnish
}

# As Varnish comes, but for the address: it keeps what the reader's headers say.
start_varnish() {
  local varnishd port pid deadline=$((SECONDS + 15))
  THROUGH=
  varnishd=$(PATH=$PATH:/usr/sbin command -v varnishd) || return 0
  port=$(free_port $((R + 10)))
  mkdir "$STACK/varnish"
  become "$ME" TERM "$varnishd" -F -j none -n "$STACK/varnish" -a "127.0.0.1:$port" \
    -b "127.0.0.1:$R" -s malloc,64m </dev/null >>"$STACK/logs/varnish.log" 2>&1 &
  pid=$!
  CHILDREN[$pid]=1
  THROUGH=http://127.0.0.1:$port/v1
  until curl -fsS -o /dev/null --max-time 2 --noproxy '*' "$THROUGH/__heartbeat__" 2>/dev/null; do
    is_running "$pid" || failed 'Varnish ended while starting' varnish
    ((SECONDS < deadline)) || failed 'Varnish did not answer within 15 s' varnish
    sleep 0.05
  done
}

# nginx with the reader's own bytes as files, at the reader's URLs.
start_peer() {
  local port pid deadline=$((SECONDS + 10))
  port=$(free_port $((R + 1)))
  mkdir -m 755 "$STACK/nginx"
  # As root, nginx reads them as another user.
  (umask 022 && "$LOAD" open save --target "$READER" --directory "$STACK/nginx" --port "$port" \
    --seed "$SEED") >"$STACK/logs/save.log" 2>&1 || failed "Saving the reader's answers failed" save
  become "$ME" QUIT "$NGINX" -p "$STACK/nginx" -c "$STACK/nginx/nginx.conf" \
    -e "$STACK/logs/nginx.log" </dev/null >>"$STACK/logs/nginx.log" 2>&1 &
  pid=$!
  CHILDREN[$pid]=1
  until (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do
    is_running "$pid" || failed 'nginx ended while starting' nginx
    ((SECONDS < deadline)) || failed 'nginx did not answer within 10 s' nginx
    sleep 0.05
  done
  STATIC="nginx, files=http://127.0.0.1:$port/v1"
}

# run_scenario NAME: with its peers, where they can do the same.
run_scenario() {
  local name=$1 peer rate=$RATE
  # A client fetches everything: a tenth of the clients is as much work.
  [[ $name != first-start ]] || rate=$((RATE / 10 + 1))
  local -a load=(--target "$READER" --public-key "$KEY" --json "$STACK/$name.json")
  local -a steady=(--rate "$rate" --duration "$DURATION" --seed "$SEED" --pid "$READER_PID"
    --peer "$STATIC")
  for peer in $PEERS; do steady+=(--peer "$peer"); done
  case $name in
    fleet) load+=("${steady[@]}" --idle "$IDLE") ;;
    deltas | first-start) load+=("${steady[@]}") ;;
    slow-network) load+=(--rate "$RATE" --duration "$DURATION" --seed "$SEED") ;;
    herd) load+=(--rate "$RATE" --duration "$((DURATION > 8 ? DURATION : 8))" --seed "$SEED"
      --publish --writer "$WRITER" --clients "$HERD" --connections 1024) ;;
    publication)
      load+=(--writer "$WRITER" --rounds "$ROUNDS")
      [[ -z $THROUGH ]] || load+=(--through "$THROUGH")
      ;;
  esac
  "$LOAD" open "$name" "${load[@]}" || LOAD_BROKEN=$((LOAD_BROKEN + 1))
  [[ ! -f $STACK/$name.json ]] || RESULTS+=("$STACK/$name.json")
}

note_of_machine() {
  local model
  model=$(sed -n 's/^model name[[:space:]]*: //p' /proc/cpuinfo | head -n 1)
  printf '%s CPUs%s, shared by servers, database and load; %s\n' "$(nproc)" \
    "${model:+ ($model)}" "$(date -u '+%Y-%m-%d %H:%M UTC')"
}

main "$@"
