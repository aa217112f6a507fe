#!/usr/bin/env bash
# `make bench-sets`: what a large set costs a reader. How long it takes from the start of the process
# until it is ready, and what memory it holds, with SETS (300) signed collections of SIZE (500) records
# each, and how often the list of them is served in a second; and what a delta of ten changes costs in
# collections of 1,000, 100,000 and 1,000,000 records.
#
# Everything is private to the run; medians are shown. From the environment also: ROUNDS (5 starts),
# WATCH (90 s of watching the memory), DURATION (4 s for each run of wrk), MILLION (1000000: the
# largest collection), BIN (target/release), PG_BINDIR.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../loadtests/stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../loadtests/stack.sh"
# shellcheck source-path=SCRIPTDIR source=figures.sh
source "$(dirname "${BASH_SOURCE[0]}")/figures.sh"

ROUNDS=${ROUNDS:-5} WATCH=${WATCH:-90} DURATION=${DURATION:-4}
SETS=${SETS:-300} SIZE=${SIZE:-500} MILLION=${MILLION:-1000000}
readonly CHANGES=10

main() {
  local number
  for number in "$ROUNDS" "$WATCH" "$DURATION" "$SETS" "$SIZE" "$MILLION"; do
    [[ $number =~ ^[1-9][0-9]{0,6}$ ]] || give_up "$EX_CONFIG" "'$number' is not a number for this."
  done
  command -v wrk >/dev/null ||
    give_up "$EX_UNAVAILABLE" 'wrk is needed: deploy/dev/install.sh wrk'
  stack_open bench-sets
  stack_database
  measure_start
  measure_memory
  measure_monitor
  stack_end reader
  measure_deltas
  print_report
}

# Through the writer, so that everything is signed, and verified by each start.
publish() {
  local number
  mkdir -p "$STACK/data"
  for ((number = 0; number < SETS; number++)); do
    records "$number" >"$STACK/data/set$number.json"
  done
  stack_configure
  stack_start writer
  say "Publishing $SETS collections of $SIZE records …" >&2
  "$BIN/countersign-load" seed --writer "$WRITER" --data "$STACK/data" \
    >"$STACK/logs/seed.log" 2>&1 || failed 'Publishing failed' seed
  stack_end writer
  postgres_psql "$DATABASE" -c 'vacuum analyze'
}

# records SEED: about 400 bytes each, as certificates and attachments are: a third of them hashes.
records() {
  awk -v seed="$1" -v count="$SIZE" 'function hex(n,  s) {
      s = ""; while (n--) s = s sprintf("%x", rand() * 16); return s }
    BEGIN { srand(seed + 1); printf "{\"data\": ["
      for (n = 0; n < count; n++)
        printf "%s{\"id\": \"%s\", \"name\": \"item-%d\", \"version\": \"%d.0\", \"enabled\": true, " \
          "\"details\": {\"why\": \"A sentence that somebody wrote about number %d, once.\", " \
          "\"who\": \"somebody@example.com\", \"bug\": \"https://example.com/bugs/%d\"}, " \
          "\"attachment\": {\"hash\": \"%s\", \"size\": %d, \"filename\": \"item-%d.bin\", " \
          "\"location\": \"main-workspace/items/%s.bin\", " \
          "\"mimetype\": \"application/octet-stream\"}}",
          n ? "," : "", hex(32), n, n % 9, n, n * 7, hex(64), rand() * 1000000, n, hex(12)
      print "]}" }'
}

measure_start() {
  local round started
  publish
  for ((round = 1; round <= ROUNDS; round++)); do
    stack_end reader
    started=$(now_ms)
    # Without the previews of all of them.
    stack_start reader env COUNTERSIGN_WATERMARK_RECHECK_INTERVAL_SECONDS=600 \
      COUNTERSIGN_CHANGES_RESOURCES=/buckets/main
    note start "$(($(now_ms) - started))"
    note ready "$(memory)"
  done
}

now_ms() { date +%s%3N; }

# MiB that the reader holds: what is resident, and its files in memory, which are not.
memory() {
  local file bytes=0
  for file in "/proc/$READER_PID/fd"/*; do
    if [[ $(readlink "$file") == /memfd:* ]]; then
      bytes=$((bytes + $(stat -Lc %s "$file")))
    fi
  done
  awk -v files="$bytes" '/^VmRSS/ { printf "%.0f\n", $2 / 1024 + files / 1048576 }' \
    "/proc/$READER_PID/status"
}

# The forms that take long are made after the start.
measure_memory() {
  local deadline=$((SECONDS + WATCH)) most=0 now=0
  say "Watching the memory for $WATCH s …" >&2
  while ((SECONDS < deadline)); do
    now=$(memory)
    ((now <= most)) || most=$now
    sleep 0.2
  done
  note most "$most"
  note later "$now"
  curl -sS --noproxy '*' "$READER/__metrics__" >"$STACK/metrics" || true
}

# The list of all of them, whole, and what changed last, as most clients ask for it.
measure_monitor() {
  local round newest url=$READER/buckets/monitor/collections/changes/changeset
  newest=$(curl -sS --fail --noproxy '*' "$url?_expected=0" | tee "$STACK/received" |
    grep -oE '"timestamp":[0-9]+' | grep -oE '[0-9]+') || failed 'No list of collections' reader
  note bytes "$(stat -c %s "$STACK/received")"
  for ((round = 1; round <= ROUNDS; round++)); do
    note whole "$(requests_a_second "$url?_expected=0")"
    note newest "$(requests_a_second "$url?_expected=$newest&_since=%22$((newest - 1))%22")"
  done
}

# In SQL, unsigned: a million records through the API would take minutes.
measure_deltas() {
  local size
  stack_new_database deltas
  stack_configure
  sed -i 's/^signature.verify.*/signature.verify = "off"/' "$STACK/reader.toml"
  say "Making collections of 1000, 100000 and $MILLION records …" >&2
  for size in 1000 100000 "$MILLION"; do fill "$size"; done | postgres_psql "$DATABASE"
  postgres_psql "$DATABASE" -c 'vacuum analyze'
  stack_start reader env COUNTERSIGN_WATERMARK_RECHECK_INTERVAL_SECONDS=600 \
    COUNTERSIGN_STORAGE_STATEMENT_TIMEOUT_MS=60000 taskset -c 0
  for size in 1000 100000 "$MILLION"; do first_answers "$size"; done
  settle
  local round
  for ((round = 1; round <= ROUNDS; round++)); do
    for size in 1000 100000 "$MILLION"; do kept_answers "$size"; done
  done
}

# Waits until the reader has made the forms that take long: it shares a CPU with them.
settle() {
  local before=-1 now=0 deadline=$((SECONDS + 300))
  say 'Waiting for zstd and brotli …' >&2
  until ((now - before < 10 && before >= 0)); do
    ((SECONDS < deadline)) || failed 'The reader is never at rest' reader
    before=$now
    sleep 1
    now=$(awk '{ print $14 + $15 }' "/proc/$READER_PID/stat")
  done
}

# fill COUNT: a collection of so many records, one a millisecond.
fill() {
  cat <<SQL
insert into bucket values ('main', '', 'main', 1, false, '{}') on conflict do nothing;
insert into ace values ('main', '/buckets/main', 'read', 'system.Everyone') on conflict do nothing;
insert into collection values ('main', '', 'd$1', 1700000000000 + $1, false, '{}');
insert into record
select 'main', 'd$1', 'r' || lpad(n::text, 7, '0'), 1700000000000 + n, false,
       jsonb_build_object('rank', n::bigint * 7919 % 1000003, 'title', md5(n::text), 'enabled', n % 2 = 0)
from generate_series(1, $1) as n;
insert into resource_timestamp values ('main', 'd$1', 'record', 1700000000000 + $1);
update publication_clock set last_modified = 1700000000000 + $1;
SQL
}

# delta COUNT CHANGES: the URL of so many of the newest changes.
delta() {
  printf '%s/buckets/main/collections/d%s/changeset?_expected=%s&_since=%%22%s%%22' \
    "$READER" "$1" "$((1700000000000 + $1))" "$((1700000000000 + $1 - $2))"
}

# Each asks for another number of changes, around CHANGES: none is kept yet.
first_answers() {
  local changes encoding seconds
  for ((changes = CHANGES - 5; changes <= CHANGES + 5; changes++)); do
    for encoding in identity gzip zstd br; do
      seconds=$(curl -sS --fail --noproxy '*' -o "$STACK/received" -w '%{time_total}' \
        -H "Accept-Encoding: $encoding" "$(delta "$1" "$changes")") ||
        failed "No delta of $changes changes from d$1" reader
      note "first.$1" "$(awk -v s="$seconds" 'BEGIN { printf "%.3f", s * 1000 }')"
    done
    curl -sS --noproxy '*' "$(delta "$1" "$changes")" >"$STACK/received"
    [[ $(grep -o '"rank":' "$STACK/received" | wc -l) == "$changes" ]] ||
      failed "d$1 does not answer with $changes changes"
  done
}

kept_answers() { note "kept.$1" "$(requests_a_second "$(delta "$1" $CHANGES)")"; }

# requests_a_second URL: of gzip, over 64 connections.
requests_a_second() {
  local output
  output=$(taskset -c 1 wrk -t1 -c64 "-d${DURATION}s" -H 'Accept-Encoding: gzip' "$1")
  [[ $output != *Non-2xx* && $output != *'Socket errors'* ]] || failed "$1: $output"
  [[ $output =~ Requests/sec:\ +([0-9.]+) ]] || failed "wrk says nothing of requests: $output"
  say "${BASH_REMATCH[1]}"
}

print_report() {
  local size
  say "$SETS signed collections of $SIZE records, $ROUNDS starts:" '' \
    '| what | median |' '|---|---|' "| ready after ms | $(median start) |" \
    "| MiB when ready | $(median ready) |" "| MiB at most in $WATCH s | $(median most) |" \
    "| MiB after $WATCH s | $(median later) |" \
    "| the list of collections: bytes | $(median bytes) |" \
    "| requests/s of it, gzip | $(median whole) |" \
    "| requests/s of what changed last | $(median newest) |" '' \
    "A delta of $CHANGES changes:" '' \
    '| records | requests/s of a kept answer | ms of a first answer |' '|---|---|---|'
  for size in 1000 100000 "$MILLION"; do
    say "| $size | $(median "kept.$size") | $(median "first.$size") |"
  done
}

main "$@"
