#!/usr/bin/env bash
# The part of `make bench` that publishes: how long a writer takes, and the reference beside it where
# REFERENCE_BIN is given (reference.sh). `bench-reader.sh` and `bench-api.sh` are the other parts.
#
# Everything is private to the run; medians are shown. From the environment: ROUNDS (3), BIN
# (target/release), PG_BINDIR, REFERENCE_ROUNDS (1; the reference takes minutes for each), LARGE
# (10000, the records of the large collection).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../loadtests/stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../loadtests/stack.sh"
# shellcheck source-path=SCRIPTDIR source=figures.sh
source "$(dirname "${BASH_SOURCE[0]}")/figures.sh"
# shellcheck source-path=SCRIPTDIR source=reference.sh
source "$(dirname "${BASH_SOURCE[0]}")/reference.sh"

ROUNDS=${ROUNDS:-3}
REFERENCE_ROUNDS=${REFERENCE_ROUNDS:-1}
WITH_REFERENCE=''
# The large collection, and the requests of a batch.
readonly SOURCE=/buckets/main-workspace/collections/large BATCH=1000
LARGE=${LARGE:-10000}
readonly COLLECTION=translations-models

main() {
  [[ $ROUNDS =~ ^[1-9][0-9]?$ && $REFERENCE_ROUNDS =~ ^[1-9]$ ]] ||
    give_up "$EX_CONFIG" 'ROUNDS is a number from 1 to 99, REFERENCE_ROUNDS from 1 to 9.'
  # The reference signs and serves no more than 10,000.
  [[ $LARGE =~ ^([1-9][0-9]{1,3}|10000)$ ]] ||
    give_up "$EX_CONFIG" 'LARGE is a number from 10 to 10000.'
  ! reference_wanted || WITH_REFERENCE=1
  stack_open bench
  stack_database
  say "Publishing, $ROUNDS rounds …" >&2
  make_large
  measure_publication
  [[ -z $WITH_REFERENCE ]] || measure_reference
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
      [[ $size == 25 ]] || measure_large writer "$WRITER"
      stack_end writer
    done
  done
}

# Each round on a fresh database, too; nothing else runs meanwhile.
measure_reference() {
  local round
  for ((round = 1; round <= REFERENCE_ROUNDS; round++)); do
    say "Publishing on the reference, round $round …" >&2
    reference_prepare "reference_$round"
    reference_start 0-1
    measure_large reference "$REFERENCE"
    reference_end
  done
}

# The large collection without records, which makes its bucket and the groups; and the batches.
make_large() {
  mkdir -p "$STACK/empty" "$STACK/batches"
  say '{"data": []}' >"$STACK/empty/large.json"
  awk -v count="$LARGE" -v size="$BATCH" -v list="$SOURCE/records" -v dir="$STACK/batches" 'BEGIN {
    text = sprintf("%200s", ""); gsub(/ /, "x", text)
    for (n = 0; n < count; n++) {
      file = sprintf("%s/%06d.json", dir, n / size)
      printf (n % size) ? "," : "{\"defaults\": {\"method\": \"PUT\"}, \"requests\": [" >file
      printf "{\"path\": \"%s/r%d\", \"body\": {\"data\": ", list, n >file
      printf "{\"id\": \"r%d\", \"rank\": %d, \"title\": \"%s\"}}}", n, n * 7, text >file
      if (n % size == size - 1 || n == count - 1) { printf "]}" >file; close(file) }
    } }'
}

# measure_large WHO URL: a collection of LARGE records, all new; then one of them is changed, and
# published. Each step is the same request to both.
measure_large() {
  local batch together=0
  "$BIN/countersign-load" seed --writer "$2" --data "$STACK/empty" >"$STACK/logs/seed.log" 2>&1 ||
    failed 'Making the large collection failed' seed
  for batch in "$STACK"/batches/*.json; do
    together=$((together + $(timed editor POST "$2/batch" "@$batch")))
  done
  note "$1.large.write" "$together"
  publish_large "$1.large" "$2"
  note "$1.one.write" "$(timed editor PATCH "$2$SOURCE/records/r7" '{"data": {"title": "changed"}}')"
  publish_large "$1.one" "$2"
  check_published "$2"
}

# publish_large NAME URL
publish_large() {
  note "$1.review" "$(timed editor PATCH "$2$SOURCE" '{"data": {"status": "to-review"}}')"
  note "$1.approval" "$(timed reviewer PATCH "$2$SOURCE" '{"data": {"status": "to-sign"}}')"
}

# timed USER METHOD URL BODY: prints how long it took, in milliseconds.
timed() {
  local seconds
  # Without waiting for a `100 Continue`.
  seconds=$(curl -sS --fail --noproxy '*' -o /dev/null -w '%{time_total}' -u "$1:$1" -X "$2" \
    -H 'Content-Type: application/json' -H 'Expect:' --data-binary "$4" "$3") ||
    failed "$2 $3 failed"
  awk -v s="$seconds" 'BEGIN { printf "%.0f\n", s * 1000 }'
}

# check_published URL: a batch is a 200, whatever became of its requests.
check_published() {
  local body
  body=$(curl -sS --fail --noproxy '*' \
    "$1/buckets/main/collections/large/changeset?_expected=0") || failed "$1 does not serve it"
  [[ $(grep -o '"rank":' <<<"$body" | wc -l) == "$LARGE" && $body == *'"changed"'* ]] ||
    failed "$1 has not published all records"
}

print_report() {
  local size
  say "Medians of $ROUNDS rounds. Publishing $(median 25.records) records of \`$COLLECTION\`, ms:" '' \
    '| batch_max_requests | import | review | approval | together |' '|---|---|---|---|---|'
  for size in 25 1000; do
    say "| $size | $(median $size.import_ms) | $(median $size.review_ms) |\
 $(median $size.approve_ms) | $(($(median $size.import_ms) + $(median $size.review_ms) +
      $(median $size.approve_ms))) |"
  done
  print_large
}

print_large() {
  local what
  say '' "With $LARGE records of 250 bytes, and after a change of one of them, ms:" '' \
    '| what | write | review | approval | together |' '|---|---|---|---|---|'
  for what in large one; do
    large_row writer "$what" "$what"
    [[ -z $WITH_REFERENCE ]] || {
      large_row reference "$what" "$what, the reference"
      ratio_row "$what"
    }
  done
  [[ -z $WITH_REFERENCE ]] || say '' "Rounds of the reference: $REFERENCE_ROUNDS."
}

# large_row WHO WHAT TITLE
large_row() {
  say "| $3 | $(median "$1.$2.write") | $(median "$1.$2.review") | $(median "$1.$2.approval") |\
 $(together "$1.$2") |"
}

together() {
  say $(($(median "$1.write") + $(median "$1.review") + $(median "$1.approval")))
}

# ratio_row WHAT: how many times as long the reference takes.
ratio_row() {
  local step row="| $1, ratio |"
  for step in write review approval; do
    row+=" $(ratio "$(median "reference.$1.$step")" "$(median "writer.$1.$step")") |"
  done
  say "$row $(ratio "$(together "reference.$1")" "$(together "writer.$1")") |"
}

ratio() { awk -v theirs="$1" -v ours="$2" 'BEGIN { printf "%.0f", theirs / (ours > 0 ? ours : 1) }'; }

main "$@"
