#!/usr/bin/env bash
# `make bench-api`: Kinto's HTTP API, by the writer and by Kinto itself, on one private PostgreSQL
# with durable settings; then the writer alone, with a large list and under mixed load.
#
# The contestants take turns, and medians are shown. History and the default bucket are on. From the
# environment: ROUNDS (3), DURATION (3 s for each measure), RECORDS (100000) and LARGE (800000) in the
# list, MIXED (30 s of mixed load), PLANS (a file for the plans of the queries), KINTO_BIN (where
# `kinto` is; otherwise it comes from PyPI), BIN (target/release), PG_BINDIR.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../loadtests/stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../loadtests/stack.sh"
# shellcheck source-path=SCRIPTDIR source=figures.sh
source "$(dirname "${BASH_SOURCE[0]}")/figures.sh"
# shellcheck source-path=SCRIPTDIR source=kinto.sh
source "$(dirname "${BASH_SOURCE[0]}")/kinto.sh"

ROUNDS=${ROUNDS:-3}
DURATION=${DURATION:-3}
RECORDS=${RECORDS:-100000}
LARGE=${LARGE:-800000}
MIXED=${MIXED:-30}
PLANS=${PLANS:-}
readonly INCLUDES='kinto.plugins.default_bucket kinto.plugins.history'
readonly LIST=/buckets/load/collections/list/records
# So many records go into Kinto through its API; the others in SQL.
readonly KINTO_IMPORT=500
# What is asked of a list of RECORDS, for both, and of LARGE.
readonly -a READS=(one page filtered rare sorted)
readonly -a LARGE_READS=(page filtered rare since sorted)
declare -A QUERIES=(
  [one]=/r0000499
  [page]='?_limit=20'
  [filtered]='?status=s2&enabled=true&_sort=-last_modified&_limit=20'
  [rare]='?rank=951572'
  [sorted]='?status=s2&min_rank=500000&_sort=-rank&_limit=20'
)

main() {
  local number
  for number in "$ROUNDS" "$DURATION" "$RECORDS" "$LARGE" "$MIXED"; do
    [[ $number =~ ^[1-9][0-9]{0,6}$ ]] || give_up "$EX_CONFIG" "'$number' is not a number for this."
  done
  ((RECORDS > KINTO_IMPORT && LARGE >= RECORDS)) ||
    give_up "$EX_CONFIG" "RECORDS must be more than $KINTO_IMPORT, and LARGE not less than RECORDS."
  stack_open bench-api
  kinto_install
  stack_database
  stack_configure 1000
  say "includes = \"$INCLUDES\"" >>"$STACK/writer.toml"
  kinto_prepare "$INCLUDES"
  stack_start writer
  kinto_start
  compare_creation
  fill
  compare_reading
  measure_large_list
  measure_promises
  print_report
  [[ -z $PLANS ]] || show_plans
}

# api COMMAND URL ARG…: leaves the JSON of a measure in LINE.
api() {
  LINE=$("$BIN/countersign-load" api "$1" --server "$2" --json "${@:3}" \
    2>>"$STACK/logs/load.log") || failed "\`countersign-load api $*\` failed" load
}

# keep NAME MEMBER: notes a number of LINE.
keep() {
  [[ $LINE =~ \"$2\":([0-9.]+) ]] || failed "No $2 in $LINE"
  note "$1" "${BASH_REMATCH[1]}"
}

# compare NAME COMMAND ARG…: once for each contestant.
compare() {
  local who url
  for who in writer kinto; do
    url=$WRITER
    [[ $who == writer ]] || url=$KINTO
    api "$2" "$url" --seconds "$DURATION" "${@:3}"
    keep "$who.$1" per_second
    keep "$who.$1.p95" p95_ms
    keep "$who.$1.failed" failed
    [[ $who == kinto || $LINE == *'"failed":0,'* ]] || failed "The writer refused some: $LINE" load
  done
}

compare_creation() {
  local round connections
  say "Creating records, $ROUNDS rounds of 4 × $DURATION s …" >&2
  for ((round = 1; round <= ROUNDS; round++)); do
    for connections in 1 16; do
      compare "create.$connections" create --collection create --connections "$connections"
    done
  done
}

# The same list for both.
fill() {
  say "Importing $RECORDS records …" >&2
  api import "$WRITER" --collection list --records "$RECORDS" --connections 2
  keep writer.import per_second
  api import "$KINTO" --collection list --records "$KINTO_IMPORT"
  keep kinto.import per_second
  kinto_fill | postgres_psql "$KINTO_DATABASE"
  postgres_psql "$KINTO_DATABASE" -c 'vacuum analyze'
  postgres_psql "$DATABASE" -c 'vacuum analyze'
}

# The sample records (loadtests/src/api/records.rs) that were not imported. The trigger would look up
# the newest timestamp for each.
kinto_fill() {
  cat <<SQL
alter table objects disable trigger tgr_objects_last_modified;
insert into objects (id, parent_id, resource_name, last_modified, data, deleted)
select 'r' || lpad(n::text, 7, '0'), '${LIST%/records}', 'record', from_epoch(oldest - n),
       sample || jsonb_build_object('title',
         repeat('x', 300 - length(replace(sample::text, ' ', '')) - length(',"title":""'))), false
from (select as_epoch(min(last_modified)) as oldest from objects
      where parent_id = '${LIST%/records}') as imported,
     generate_series($KINTO_IMPORT, $RECORDS - 1) as n,
     jsonb_build_object(
       'status', 's' || n % 5, 'rank', n::bigint * 7919 % 1000003, 'enabled', n % 2 = 0,
       'filter', jsonb_build_object(
         'channel', (array['release', 'beta', 'nightly'])[n % 3 + 1], 'minimum', n % 120),
       'tags', jsonb_build_array('t' || n % 10, 'u' || n % 7)) as sample;
alter table objects enable trigger tgr_objects_last_modified;
SQL
}

compare_reading() {
  local round what connections
  say "Reading, $ROUNDS rounds of $((4 * ${#READS[@]})) × $DURATION s …" >&2
  for what in "${READS[@]}"; do compare_bodies "$what"; done
  for ((round = 1; round <= ROUNDS; round++)); do
    for what in "${READS[@]}"; do
      for connections in 1 16; do
        compare "$what.$connections" get --connections "$connections" \
          --path "$LIST${QUERIES[$what]}"
      done
    done
  done
}

# compare_bodies WHAT: both must send as many records.
compare_bodies() {
  local ours theirs
  ours=$(count_records "$WRITER$LIST${QUERIES[$1]}")
  theirs=$(count_records "$KINTO$LIST${QUERIES[$1]}")
  [[ $ours == "$theirs" && $ours != 0 ]] ||
    failed "${QUERIES[$1]}: the writer sends $ours records, Kinto $theirs"
}

count_records() {
  curl -sS --noproxy '*' -u load:load "$1" | { grep -o '"rank":' || true; } | wc -l
}

# A writer that has just started: its memory is that of what follows.
measure_large_list() {
  local what
  say "A list of $LARGE records …" >&2
  if ((LARGE > RECORDS)); then
    api import "$WRITER" --collection list --first "$RECORDS" \
      --records $((LARGE - RECORDS)) --connections 2
    keep writer.import.large per_second
  fi
  postgres_psql "$DATABASE" -c 'vacuum analyze'
  stack_end writer
  stack_start writer
  QUERIES[since]="?_since=%22$(($(newest) - 100))%22"
  for what in "${LARGE_READS[@]}"; do
    api get "$WRITER" --seconds "$DURATION" --path "$LIST${QUERIES[$what]}"
    keep "large.$what" p95_ms
  done
  for what in '' '?status=s2'; do
    api get "$WRITER" --head --seconds "$DURATION" --path "$LIST$what"
    keep "large.count$what" p95_ms
  done
  api walk "$WRITER" --path "$LIST" --limit 1000 --expect "$LARGE"
  keep large.walk p95_ms
  keep large.pages pages_per_second
  note large.memory "$(awk '/^VmHWM/ { printf "%.0f", $2 / 1024 }' "/proc/$WRITER_PID/status")"
}

# The timestamp of the list.
newest() {
  postgres_psql "$DATABASE" -c "select last_modified from resource_timestamp
    where (bucket_id, collection_id, resource_name) = ('load', 'list', 'record')"
}

measure_promises() {
  say "Mixed load for $MIXED s, and first requests …" >&2
  api mixed "$WRITER" --seconds "$MIXED"
  MIXED_LINE=$LINE
  api first-requests "$WRITER"
  ! grep -q 'deadlock detected' "$STACK/logs/postgres.log" ||
    failed 'PostgreSQL met a deadlock' postgres
}

print_report() {
  local what
  say '' "Medians of $ROUNDS rounds, one connection where none is said, requests/s:" '' \
    '| what | writer | Kinto | writer ÷ Kinto | p95 ms | p95 ms of Kinto |' '|---|---|---|---|---|---|'
  row create.1 'create a record'
  row create.16 'create, 16 connections'
  row import 'import in batches, records'
  read_rows one 'one record'
  read_rows page "20 of $RECORDS"
  read_rows filtered '`'"${QUERIES[filtered]}"'`'
  read_rows rare '`'"${QUERIES[rare]}"'`'
  read_rows sorted '`'"${QUERIES[sorted]}"'`'
  say '' "Creations with 16 connections that Kinto refused, in each round: \
${FIGURES[kinto.create.16.failed]}"
  say '' "$LARGE records, p95 in ms:" '' '| what | p95 ms |' '|---|---|'
  for what in "${LARGE_READS[@]}" count 'count?status=s2' walk; do
    say "| $what | $(median "large.$what") |"
  done
  say '' "Walked in pages of 1000: $(median large.pages) pages/s; \
the writer's memory was at most $(median large.memory) MiB."
  say '' 'Mixed load, no deadlock, no lost update, no 5xx; 64 first requests made one bucket:' \
    "$MIXED_LINE"
}

# read_rows WHAT TITLE
read_rows() {
  row "$1.1" "$2"
  row "$1.16" "$2, 16 connections"
}

# row NAME TITLE
row() {
  awk -v title="$2" -v ours="$(median "writer.$1")" -v theirs="$(median "kinto.$1")" \
    -v our95="$(p95 "writer.$1")" -v their95="$(p95 "kinto.$1")" 'BEGIN {
      printf "| %s | %.0f | %.0f | %.1f | %s | %s |\n",
        title, ours, theirs, (theirs > 0 ? ours / theirs : 0), our95, their95 }'
}

p95() {
  if [[ -n ${FIGURES[$1.p95]:-} ]]; then median "$1.p95"; fi
}

# The plans of the queries of each read, as PostgreSQL ran them: on new connections, once each was
# asked often enough for a generic plan.
show_plans() {
  local what number
  postgres_psql postgres -c "load 'auto_explain'" \
    -c "alter system set session_preload_libraries = 'auto_explain'" \
    -c "alter system set auto_explain.log_min_duration = 0" \
    -c "alter system set auto_explain.log_analyze = on" \
    -c "alter system set auto_explain.log_buffers = on" -c 'select pg_reload_conf()' >/dev/null
  stack_end writer
  stack_start writer
  : >"$PLANS"
  for what in "${LARGE_READS[@]}"; do
    for ((number = 0; number < 10; number++)); do
      : >"$STACK/logs/postgres.log"
      curl -sS -o /dev/null --noproxy '*' -u load:load "$WRITER$LIST${QUERIES[$what]}"
    done
    say "== $what: ${QUERIES[$what]}" >>"$PLANS"
    sleep 0.2
    about_records <"$STACK/logs/postgres.log" >>"$PLANS"
  done
}

# Of PostgreSQL's log, the entries about the table of records. Their further lines are indented.
about_records() {
  awk '/^[^\t]/ { if (wanted) printf "%s", entry; entry = ""; wanted = 0 }
    { entry = entry $0 "\n" }
    / on record/ { wanted = 1 }
    END { if (wanted) printf "%s", entry }'
}

main "$@"
