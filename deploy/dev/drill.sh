#!/usr/bin/env bash
# `make drill`: breaks things on purpose, and checks what clients see.
#
# Everything is private to the run: PostgreSQL, writer, reader, keys, ports. Nothing is kept, unless
# a drill fails: then the logs are. From the environment: ROUNDS (20) of each crash at random,
# STEP_ROUNDS (5) of each crash at a step, SECONDS_EACH (20) of each race, BIN (target/release),
# DEBUG_BIN (target/debug), whose writer can be held at a step, PG_BINDIR.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../loadtests/stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../loadtests/stack.sh"
# shellcheck source-path=SCRIPTDIR source=trials.sh
source "$(dirname "${BASH_SOURCE[0]}")/trials.sh"

ROUNDS=${ROUNDS:-20}
SECONDS_EACH=${SECONDS_EACH:-20}
STEP_ROUNDS=${STEP_ROUNDS:-5}
DEBUG_BIN=${DEBUG_BIN:-${CARGO_TARGET_DIR:-$STACK_ROOT/target}/debug}
[[ $DEBUG_BIN == /* ]] || DEBUG_BIN=$STACK_ROOT/$DEBUG_BIN
readonly CLIENTS=32 BATCH=500 RECORDS=200
WATCH_PID='' ROUND=0
# Where a publication can be held: writer/src/failpoint.rs.
readonly STEPS=(locked judged 'copied /buckets/main-preview/collections/steps'
  'copied /buckets/main/collections/steps' signed 'before commit' committed)

main() {
  [[ $ROUNDS =~ ^[1-9][0-9]{0,2}$ && $SECONDS_EACH =~ ^[1-9][0-9]{0,2}$ &&
    $STEP_ROUNDS =~ ^[1-9][0-9]{0,2}$ ]] ||
    give_up "$EX_CONFIG" 'ROUNDS, STEP_ROUNDS and SECONDS_EACH are numbers from 1 to 999.'
  [[ -x $DEBUG_BIN/countersign-writer ]] || give_up "$EX_UNAVAILABLE" \
    "$DEBUG_BIN/countersign-writer is missing: run \`make drill\`."
  stack_open drill
  LOAD=$BIN/countersign-load
  say "Crash drills of $ROUNDS rounds, and of $STEP_ROUNDS at each of ${#STEPS[@]} steps;" \
    "then two races of $SECONDS_EACH s …"
  stack_database
  stack_configure 1000
  stack_start writer
  stack_start reader
  "$LOAD" seed --writer "$WRITER" --data "$STACK_ROOT/data/main" --only search-config-v2 \
    >"$STACK/logs/seed.log" 2>&1 || failed 'Importing data/main failed' seed
  "$LOAD" drill propose --writer "$WRITER" --collection drill --round 0 --records "$RECORDS" \
    >"$STACK/logs/propose.log" 2>&1 || failed 'The first proposal failed' propose
  "$LOAD" drill propose --writer "$WRITER" --collection steps --round 0 --records "$RECORDS" \
    >>"$STACK/logs/propose.log" 2>&1 || failed 'The first proposal failed' propose
  watch_reader
  trial 'kill -9 of the writer in a batch' writer_crashes
  trial 'kill -9 of PostgreSQL in an approval' postgres_crashes
  trial 'kill -9 of the writer at each step of an approval' writer_steps
  trial 'kill -9 of PostgreSQL at each step of an approval' postgres_steps
  trial 'one byte of a record flipped in the database' a_byte_flips
  trial 'what a client saw meanwhile' watch_ends
  trial 'many writers, one collection' race
  trial 'many publications' publish_race
  trial 'all that is served verifies' verify
  end_trials
}

# The client that sees everything, from the first crash to the last.
watch_reader() {
  sleep 1
  become "$ME" TERM "$LOAD" watch --reader "$READER" --public-key "$KEY" --every-ms 20 \
    --collection main/drill --collection main/search-config-v2 \
    --collection main/steps --collection main-preview/steps \
    --collection main-preview/drill </dev/null >"$STACK/watch" 2>"$STACK/logs/watch.log" &
  WATCH_PID=$!
  CHILDREN[$WATCH_PID]=1
}

watch_ends() {
  kill -TERM "$WATCH_PID" 2>/dev/null || true
  local code=0
  wait "$WATCH_PID" || code=$?
  unset "CHILDREN[$WATCH_PID]"
  cat "$STACK/watch"
  cat "$STACK/logs/watch.log" >&2
  return "$code"
}

# All requests of a batch are there, or none; all, if the client was told so.
writer_crashes() {
  local round all=0 none=0 acknowledged=0 count code took
  new_collection crash-0 || return
  took=$("$LOAD" drill batch --writer "$WRITER" --collection crash-0 --count "$BATCH") || return
  for ((round = 1; round <= ROUNDS; round++)); do
    new_collection "crash-$round" || return
    "$LOAD" drill batch --writer "$WRITER" --collection "crash-$round" --count "$BATCH" &
    local batch=$!
    random_sleep $((took * 5 / 4 + 5))
    kill -KILL "$WRITER_PID"
    wait "$WRITER_PID" 2>/dev/null || true
    code=0
    wait "$batch" || code=$?
    stack_start writer
    count=$(count_records "crash-$round")
    case $count in
      "$BATCH") all=$((all + 1)) ;;
      0) none=$((none + 1)) ;;
      *) wrong "round $round: $count of $BATCH records are there" || return ;;
    esac
    if ((code == 0)); then
      acknowledged=$((acknowledged + 1))
      [[ $count == "$BATCH" ]] || wrong "round $round: acknowledged, but lost" || return
    fi
  done >&2
  say "$ROUNDS crashes at random in a batch of $BATCH writes that takes $took ms:" \
    "$none times none was there, $all times all ($acknowledged of them acknowledged)."
}

new_collection() {
  curl -fsS -o /dev/null --noproxy '*' -u editor:editor -X PUT -H 'Content-Type: application/json' \
    -d '{}' "$WRITER/buckets/main-workspace/collections/$1"
}

count_records() {
  curl -fsSI --noproxy '*' -u editor:editor \
    "$WRITER/buckets/main-workspace/collections/$1/records" |
    tr -d '\r' | awk 'tolower($1) == "total-objects:" { print $2 }'
}

# random_sleep MILLISECONDS: for up to so long.
random_sleep() {
  local ms=$((RANDOM % ($1 + 1)))
  sleep "$(printf '%d.%03d' $((ms / 1000)) $((ms % 1000)))"
}

# An approval happened, on writer and reader, or it did not.
postgres_crashes() {
  local round code happened=0 missed=0 acknowledged=0 start=${EPOCHREALTIME/./} took
  "$LOAD" drill approve --writer "$WRITER" --collection drill --round 0 || return
  took=$(((${EPOCHREALTIME/./} - start) / 1000))
  for ((round = 1; round <= ROUNDS; round++)); do
    local -a about=(--writer "$WRITER" --collection drill --round "$round" --records "$RECORDS")
    "$LOAD" drill propose "${about[@]}" || return
    local -a told=()
    local pids
    mapfile -t pids < <(postgres_processes)
    "$LOAD" drill approve "${about[@]}" &
    local approval=$!
    random_sleep $((took * 5 / 4 + 5))
    kill -KILL "${pids[@]}" 2>/dev/null || true
    postgres_died
    code=0
    wait "$approval" || code=$?
    postgres_start durable "$STACK/logs/postgres.log"
    if ((code == 0)); then
      told=(--acknowledged)
      acknowledged=$((acknowledged + 1))
    fi
    "$LOAD" drill check-approval "${about[@]}" --reader "$READER" "${told[@]}" >"$STACK/approval" ||
      wrong "round $round: not all or nothing" || return
    say "round $round: $(<"$STACK/approval")"
    if grep -q '^the approval happened' "$STACK/approval"; then
      happened=$((happened + 1))
    else
      missed=$((missed + 1))
    fi
    verify || wrong "round $round: verify failed" || return
  done >&2
  say "$ROUNDS crashes at random in an approval of $RECORDS records that takes $took ms:" \
    "$missed times nothing was published, $happened times all ($acknowledged of them acknowledged)."
}

# An approval that is held at a step when its writer is killed.
writer_steps() { at_each_step writer_dies; }

# An approval that is held at a step when its database is killed; it goes on when that is back.
postgres_steps() { at_each_step postgres_dies; }

# at_each_step FUNCTION: it happened if it had been committed, and only then.
at_each_step() {
  local step times slowest=0 count=0
  held_writer || return
  if ((ROUND == 0)); then
    "$LOAD" drill approve --writer "$WRITER" --collection steps --round 0 || return
  fi
  for step in "${STEPS[@]}"; do
    for ((times = 0; times < STEP_ROUNDS; times++)); do
      ROUND=$((ROUND + 1))
      held_round "$1" "$step" || wrong "round $ROUND, at '$step': not all or nothing" || return
      count=$((count + 1))
      local took
      took=$(sed -n 's/.*reader after \([0-9]*\) ms.*/\1/p' "$STACK/approval")
      ((took <= slowest)) || slowest=$took
    done
  done >&2
  unheld_writer
  say "$count crashes at ${#STEPS[@]} steps of an approval of $RECORDS records: all of it was published" \
    "when it had been committed, and else nothing. Back on writer and reader after $slowest ms at most."
}

held_round() {
  local code=0 expected='did not happen' outcome
  local -a told=()
  local -a about=(--writer "$WRITER" --collection steps --round "$ROUND" --records "$RECORDS")
  "$LOAD" drill propose "${about[@]}" || return
  rm -f "$FAILPOINT_FILE.reached"
  printf '%s\n' "$2" >"$FAILPOINT_FILE"
  "$LOAD" drill approve "${about[@]}" &
  local approval=$!
  eventually test -f "$FAILPOINT_FILE.reached" || wrong 'the step was not reached' || return
  "$1"
  wait "$approval" || code=$?
  [[ $2 != committed ]] || expected=happened
  if ((code == 0)); then
    [[ $2 == committed ]] || wrong 'acknowledged before it was committed' || return
    told=(--acknowledged)
  fi
  "$LOAD" drill check-approval "${about[@]}" --reader "$READER" "${told[@]}" >"$STACK/approval" ||
    return
  outcome=$(sed -n 's/^the approval \(.*\); writer.*/\1/p' "$STACK/approval")
  say "round $ROUND, $1 at '$2': $(<"$STACK/approval")"
  [[ $outcome == "$expected" ]] || wrong "it $outcome" || return
  verify
}

writer_dies() {
  kill -KILL "$WRITER_PID"
  wait "$WRITER_PID" 2>/dev/null || true
  rm "$FAILPOINT_FILE"
  stack_start writer
}

postgres_dies() {
  local pids
  mapfile -t pids < <(postgres_processes)
  kill -KILL "${pids[@]}" 2>/dev/null || true
  postgres_died
  postgres_start durable "$STACK/logs/postgres.log"
  rm "$FAILPOINT_FILE"
}

# A debug build instead of the writer: release builds cannot be held.
held_writer() {
  stack_end writer
  export FAILPOINT_FILE=$STACK/failpoint
  WRITER_BIN=$DEBUG_BIN
  stack_start writer
}

unheld_writer() {
  stack_end writer
  unset FAILPOINT_FILE
  WRITER_BIN=$BIN
  stack_start writer
}

# Those that were started after the list was made end with it, or are ended.
postgres_died() {
  local pid
  for pid in $(postgres_processes); do kill -KILL "$pid" 2>/dev/null || true; done
  wait "$PG_PID" 2>/dev/null || true
}

# The reader keeps what was good, and says so; it takes the repaired state again.
a_byte_flips() {
  local collection=search-config-v2 id good refusals before
  local url=$READER/buckets/main/collections/$collection/changeset?_expected=0
  id=$(sql "select id from record where bucket_id = 'main' and collection_id = '$collection'
    and data ? 'recordType' order by id limit 1")
  [[ $id =~ ^[A-Za-z0-9_-]+$ ]] || wrong "no record to flip: '$id'" || return
  local where="where bucket_id = 'main' and collection_id = '$collection' and id = '$id'"
  good=$(sql "select data->>'recordType' from record $where")
  [[ $good =~ ^[A-Za-z]+$ ]] || wrong "not a word: '$good'" || return
  curl -fsS --noproxy '*' "$url" >"$STACK/good.json" || return
  before=$(rejections)

  sql "update record set data = jsonb_set(data, '{recordType}', to_jsonb('X${good:1}'::text)) $where"
  eventually rejected_is "$collection" || wrong 'the heartbeat names no rejected collection' || return
  refusals=$(rejections)
  ((refusals > before)) || wrong 'the refusal was not counted' || return
  local tries
  for ((tries = 0; tries < 50; tries++)); do
    curl -fsS --noproxy '*' "$url" | cmp - "$STACK/good.json" || return
    sleep 0.05
  done
  verify >&2 || wrong 'what is served does not verify' || return

  sql "update record set data = jsonb_set(data, '{recordType}', to_jsonb('$good'::text)) $where"
  eventually rejected_is '' || wrong 'the reader did not heal' || return
  curl -fsS --noproxy '*' "$url" | cmp - "$STACK/good.json" || return
  say "The reader kept the last good state, counted $((refusals - before)) refusals, and healed."
}

sql() { postgres_psql "$DATABASE" -c "$1"; }

rejections() {
  curl -fsS --noproxy '*' "$READER/__metrics__" |
    awk '/^countersign_snapshot_rejected_total/ { sum += $2 } END { print sum + 0 }'
}

# The heartbeat names this collection, or (with an empty name) none.
rejected_is() {
  local body
  body=$(curl -sS --noproxy '*' "$READER/__heartbeat__") || return
  if [[ $1 ]]; then
    [[ $body =~ \"rejected\":\ ?\[\{[^]]*\"$1\" ]]
  else
    [[ $body =~ \"rejected\":\ ?\[\] ]]
  fi
}

# eventually COMMAND…: within 5 s.
eventually() {
  local tries
  for ((tries = 0; tries < 100; tries++)); do
    "$@" && return
    sleep 0.05
  done
  return 1
}

race() { "$LOAD" race --writer "$WRITER" --clients "$CLIENTS" --seconds "$SECONDS_EACH"; }

publish_race() {
  "$LOAD" publish-race --writer "$WRITER" --reader "$READER" --seconds "$SECONDS_EACH"
}

# The last line says how many.
verify() {
  "$BIN/countersign-reader" verify "$READER" --public-key "$KEY" >"$STACK/verified" ||
    { cat "$STACK/verified" >&2 && return 1; }
  tail -n 1 "$STACK/verified"
}

main "$@"
