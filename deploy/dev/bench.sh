#!/usr/bin/env bash
# `make bench`: how fast a writer publishes, and a reader serves, beside nginx with the same bytes.
# `bench-api.sh` is the other half.
#
# Everything is private to the run. The servers run on CPU 0, wrk on CPU 1; the contestants take
# turns, and medians are shown. From the environment: ROUNDS (3), DURATION (5 s for each run of
# wrk), BIN (target/release), PG_BINDIR.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../loadtests/stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../loadtests/stack.sh"
# shellcheck source-path=SCRIPTDIR source=figures.sh
source "$(dirname "${BASH_SOURCE[0]}")/figures.sh"

ROUNDS=${ROUNDS:-3}
DURATION=${DURATION:-5}
readonly CONNECTIONS=64 COLLECTION=translations-models LARGE=10000
readonly MONITOR=/buckets/monitor/collections/changes/changeset?_expected=0
readonly CHANGESET=/buckets/main/collections/search-config-v2/changeset?_expected=0

main() {
  [[ $ROUNDS =~ ^[1-9][0-9]?$ && $DURATION =~ ^[1-9][0-9]?$ ]] ||
    give_up "$EX_CONFIG" 'ROUNDS and DURATION are numbers from 1 to 99.'
  (($(nproc) >= 2)) || give_up "$EX_UNAVAILABLE" 'Two CPUs are needed: one serves, one asks.'
  NGINX=$(PATH=$PATH:/usr/sbin command -v nginx) && command -v wrk >/dev/null ||
    give_up "$EX_UNAVAILABLE" 'nginx and wrk are needed: deploy/dev/install.sh nginx wrk'
  stack_open bench
  stack_database
  say "Publishing, $ROUNDS rounds …" >&2
  measure_publication
  prepare_reading
  say "Serving, $ROUNDS rounds of 8 × $DURATION s …" >&2
  measure_reading
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

# All collections are published; files with the reader's own bytes lie in nginx's directory.
prepare_reading() {
  stack_start writer
  "$BIN/countersign-load" seed --writer "$WRITER" --data "$STACK_ROOT/data/main" \
    >"$STACK/logs/seed.log" 2>&1 || failed 'Importing data/main failed' seed
  stack_end writer
  stack_start reader taskset -c 0
  "$BIN/countersign-reader" verify "$READER" --public-key "$KEY" >"$STACK/logs/verify.log" 2>&1 ||
    failed 'What the reader serves could not be verified' verify
  mkdir -m 755 "$STACK/www" "$STACK/nginx"
  save monitor "$MONITOR"
  save changeset "$CHANGESET"
  start_nginx
  compare monitor "$MONITOR"
  compare changeset "$CHANGESET"
}

# save NAME PATH
save() {
  fetch identity "$READER$2" "$STACK/www/$1.json"
  fetch gzip "$READER$2" "$STACK/www/$1.json.gz"
  gzip -dc "$STACK/www/$1.json.gz" | cmp - "$STACK/www/$1.json" ||
    failed "The reader's compressed $1 is not its plain $1"
  chmod 644 "$STACK/www/$1".json*
}

# fetch ENCODING URL FILE: must be a 200.
fetch() {
  local code
  code=$(curl -sS --noproxy '*' -H "Accept-Encoding: $1" -o "$3" -w '%{http_code}' "$2")
  [[ $code == 200 ]] || failed "$2 was answered with $code"
}

# compare NAME PATH: both servers must send the saved bytes.
compare() {
  local encoding url file
  for encoding in identity gzip; do
    file=$STACK/www/$1.json
    [[ $encoding == identity ]] || file=$file.gz
    for url in "$READER$2" "$(nginx_url "$1")"; do
      fetch "$encoding" "$url" "$STACK/received"
      cmp "$STACK/received" "$file" || failed "$url ($encoding) sends other bytes"
    done
  done
}

nginx_url() { printf 'http://127.0.0.1:%s/%s.json\n' "$N" "$1"; }

start_nginx() {
  N=$(free_port $((R + 1)))
  nginx_config >"$STACK/nginx.conf"
  become "$ME" QUIT taskset -c 0 "$NGINX" -c "$STACK/nginx.conf" -e "$STACK/logs/nginx.log" \
    </dev/null >>"$STACK/logs/nginx.log" 2>&1 &
  local pid=$! deadline=$((SECONDS + 10))
  CHILDREN[$pid]=1
  until curl -fsS -o /dev/null --noproxy '*' "$(nginx_url monitor)" 2>/dev/null; do
    is_running "$pid" || failed 'nginx ended while starting' nginx
    ((SECONDS < deadline)) || failed 'nginx did not answer within 10 s' nginx
    sleep 0.05
  done
}

nginx_config() {
  cat <<CONF
daemon off;
worker_processes 1;
pid $STACK/nginx/pid;
error_log $STACK/logs/nginx.log;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  gzip_static on;
  open_file_cache max=16;
  keepalive_requests 1000000000;
  types { application/json json; }
  client_body_temp_path $STACK/nginx;
  proxy_temp_path $STACK/nginx;
  fastcgi_temp_path $STACK/nginx;
  uwsgi_temp_path $STACK/nginx;
  scgi_temp_path $STACK/nginx;
  server {
    listen 127.0.0.1:$N;
    root $STACK/www;
  }
}
CONF
}

measure_reading() {
  local round encoding
  for ((round = 1; round <= ROUNDS; round++)); do
    for encoding in identity gzip; do
      ask "reader.monitor.$encoding" "$encoding" "$READER$MONITOR"
      ask "nginx.monitor.$encoding" "$encoding" "$(nginx_url monitor)"
      ask "reader.changeset.$encoding" "$encoding" "$READER$CHANGESET"
      ask "nginx.changeset.$encoding" "$encoding" "$(nginx_url changeset)"
    done
  done
}

# ask NAME ENCODING URL: notes the requests a second.
ask() {
  local output
  output=$(taskset -c 1 wrk -t1 "-c$CONNECTIONS" "-d${DURATION}s" -H "Accept-Encoding: $2" "$3")
  [[ $output != *Non-2xx* && $output != *'Socket errors'* ]] || failed "$3: $output"
  [[ $output =~ Requests/sec:\ +([0-9.]+) ]] || failed "wrk says nothing of requests: $output"
  note "$1" "${BASH_REMATCH[1]}"
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
  say '' "Serving on one CPU, $CONNECTIONS connections kept open, requests/s:" '' \
    '| what | encoding | bytes | reader | nginx | reader/nginx |' '|---|---|---|---|---|---|'
  for what in monitor changeset; do
    for encoding in identity gzip; do
      file=$STACK/www/$what.json
      [[ $encoding == identity ]] || file=$file.gz
      serving_row "$what" "$encoding" "$(stat -c %s "$file")"
    done
  done
}

# serving_row WHAT ENCODING BYTES
serving_row() {
  awk -v reader="$(median "reader.$1.$2")" -v nginx="$(median "nginx.$1.$2")" -v what="$1" \
    -v encoding="$2" -v bytes="$3" 'BEGIN { printf "| %s | %s | %d | %d | %d | %.2f |\n",
      what, encoding, bytes, reader, nginx, reader / nginx }'
}

main "$@"
