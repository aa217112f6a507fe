#!/usr/bin/env bash
# The part of `make bench` that publishes: how long a writer takes. `bench-reader.sh` and
# `bench-api.sh` are the other parts.
#
# Everything is private to the run; medians are shown. From the environment: ROUNDS (3), BIN
# (target/release), PG_BINDIR.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../loadtests/stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../loadtests/stack.sh"
# shellcheck source-path=SCRIPTDIR source=figures.sh
source "$(dirname "${BASH_SOURCE[0]}")/figures.sh"

ROUNDS=${ROUNDS:-3}
readonly COLLECTION=translations-models LARGE=10000

main() {
  [[ $ROUNDS =~ ^[1-9][0-9]?$ ]] || give_up "$EX_CONFIG" 'ROUNDS is a number from 1 to 99.'
  stack_open bench
  stack_database
  say "Publishing, $ROUNDS rounds …" >&2
  measure_publication
  print_report
}

# Each on a fresh database, by turns.
measure_publication() {
  local round size line step
  for ((round = 1; round <= ROUNDS; round++)); do
    for size in 25 1000; do
      stack_new_database "bench_${size}_$round"
      stack_configure "$size"
      stack_start writer
      line=$("$BIN/countersign-load" seed --writer "$WRITER" --data "$STACK_ROOT/data/main" \
        --only "$COLLECTION" --json 2>"$STACK/logs/seed.log") ||
        failed 'Importing data/main failed' seed
      for step in records import_ms review_ms approve_ms; do
        [[ $line =~ \"$step\":([0-9]+) ]] || failed "No $step in $line"
        note "$size.$step" "${BASH_REMATCH[1]}"
      done
      [[ $size == 25 ]] || measure_large_publication
      stack_end writer
    done
  done
}

# A collection of LARGE records, all new; then one of them is changed, and published.
measure_large_publication() {
  local line step source=/buckets/main-workspace/collections/large
  mkdir -p "$STACK/large"
  large_records >"$STACK/large/large.json"
  line=$("$BIN/countersign-load" seed --writer "$WRITER" --data "$STACK/large" --json \
    2>"$STACK/logs/seed.log") || failed 'Importing 10,000 records failed' seed
  for step in import_ms review_ms approve_ms; do
    [[ $line =~ \"$step\":([0-9]+) ]] || failed "No $step in $line"
    note "large.$step" "${BASH_REMATCH[1]}"
  done
  note one.import_ms "$(patch editor:editor "$source/records/r7" '{"data": {"title": "changed"}}')"
  note one.review_ms "$(patch editor:editor "$source" '{"data": {"status": "to-review"}}')"
  note one.approve_ms "$(patch reviewer:reviewer "$source" '{"data": {"status": "to-sign"}}')"
}

# patch USER:PASSWORD PATH BODY: prints how long it took, in milliseconds.
patch() {
  local seconds
  seconds=$(curl -sS --fail --noproxy '*' -o /dev/null -w '%{time_total}' -u "$1" -X PATCH \
    -H 'Content-Type: application/json' -d "$3" "$WRITER$2") || failed "PATCH $2 failed" writer
  awk -v s="$seconds" 'BEGIN { printf "%.0f\n", s * 1000 }'
}

large_records() {
  awk -v count="$LARGE" 'BEGIN {
    text = sprintf("%200s", ""); gsub(/ /, "x", text)
    printf "{\"data\": ["
    for (n = 0; n < count; n++)
      printf "%s{\"id\": \"r%d\", \"rank\": %d, \"title\": \"%s\"}", n ? "," : "", n, n * 7, text
    print "]}" }'
}

print_report() {
  local size what encoding file
  say "Medians of $ROUNDS rounds. Publishing $(median 25.records) records of \`$COLLECTION\`, ms:" '' \
    '| batch_max_requests | import | review | approval | together |' '|---|---|---|---|---|'
  for size in 25 1000; do
    say "| $size | $(median $size.import_ms) | $(median $size.review_ms) |\
 $(median $size.approve_ms) | $(($(median $size.import_ms) + $(median $size.review_ms) +
      $(median $size.approve_ms))) |"
  done
  say '' "With $LARGE records of 250 bytes, and after a change of one of them, ms:" '' \
    '| what | write | review | approval |' '|---|---|---|---|'
  for what in large one; do
    say "| $what | $(median $what.import_ms) | $(median $what.review_ms) |\
 $(median $what.approve_ms) |"
  done
}

main "$@"
