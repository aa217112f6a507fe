#!/usr/bin/env bash
# `make bench-reader`: what a reader serves, beside others with the same bytes:
#
#   nginx  with static files, `sendfile`, `open_file_cache` and `gzip_static`, and its defaults else
#   tuned  the same with `tcp_nopush`, without a log of requests, and connections without end
#   bare   `countersign-load bare`, which only reads and writes: what the kernel, and wrk, leave to
#          any server
#
# and, where REFERENCE_BIN is given, beside the reference with the same collections (reference.sh).
# FLAMEGRAPH=FILE.svg draws where the reader's time goes while the monitor is polled, and measures
# nothing else; `perf` and inferno (`cargo install inferno`) are needed.
#
# Everything is private to the run. The servers run on CPU 0, wrk on CPU 1; the contestants take
# turns, and medians are shown: requests a second, the CPU time of the server for each request, which
# depends less on what else the machine does, and the latency of which 99 % were shorter. From the
# environment: ROUNDS (3), DURATION (4 s for each run of wrk), REFERENCE_DURATION (10 s; it answers
# slowly), COLLECTIONS (100), BIN (target/release), PG_BINDIR. PostgreSQL, which only the reference
# asks while it serves, may use both CPUs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../loadtests/stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../loadtests/stack.sh"
# shellcheck source-path=SCRIPTDIR source=figures.sh
source "$(dirname "${BASH_SOURCE[0]}")/figures.sh"
# shellcheck source-path=SCRIPTDIR source=reference.sh
source "$(dirname "${BASH_SOURCE[0]}")/reference.sh"

ROUNDS=${ROUNDS:-3}
DURATION=${DURATION:-4}
REFERENCE_DURATION=${REFERENCE_DURATION:-10}
readonly CONNECTIONS=64 COLLECTIONS=${COLLECTIONS:-100}
# Names of changesets, with the number of their records: 2 KB, 100 KB, 400 KB.
declare -rA RECORDS=([k2]=6 [k100]=345 [k400]=1380)
WITH_REFERENCE=''
readonly WHATS=(monitor k2 k100 k400) ENCODINGS=(identity gzip)
declare -A NGINX_PORT=() NGINX_PID=()

main() {
  [[ $ROUNDS =~ ^[1-9][0-9]?$ && $DURATION =~ ^[1-9][0-9]?$ &&
    $REFERENCE_DURATION =~ ^[1-9][0-9]?$ ]] ||
    give_up "$EX_CONFIG" 'ROUNDS, DURATION and REFERENCE_DURATION are numbers from 1 to 99.'
  (($(nproc) >= 2)) || give_up "$EX_UNAVAILABLE" 'Two CPUs are needed: one serves, one asks.'
  NGINX=$(PATH=$PATH:/usr/sbin command -v nginx) && command -v wrk >/dev/null ||
    give_up "$EX_UNAVAILABLE" 'nginx and wrk are needed: deploy/dev/install.sh nginx wrk'
  ! reference_wanted || WITH_REFERENCE=1
  stack_open bench-reader
  stack_database
  publish
  save
  [[ -z ${FLAMEGRAPH:-} ]] || {
    flamegraph "$FLAMEGRAPH"
    return
  }
  start_nginx nginx
  start_nginx tuned
  check
  [[ -z $WITH_REFERENCE ]] || start_reference
  say "Serving, $ROUNDS rounds …" >&2
  measure
  print_report
  [[ -z $WITH_REFERENCE ]] || print_reference_report
}

publish() {
  local name number
  mkdir -p "$STACK/data"
  for name in "${!RECORDS[@]}"; do
    records "${RECORDS[$name]}" >"$STACK/data/$name.json"
  done
  for ((number = 1; number <= COLLECTIONS; number++)); do
    records 1 >"$STACK/data/c$number.json"
  done
  stack_configure
  stack_start writer
  seed "$WRITER"
  stack_end writer
  # The stack looks at everything each second, which is for drills.
  stack_start reader env COUNTERSIGN_WATERMARK_RECHECK_INTERVAL_SECONDS=60 taskset -c 0
}

seed() {
  say "Publishing $((COLLECTIONS + 3)) collections on $1 …" >&2
  "$BIN/countersign-load" seed --writer "$1" --data "$STACK/data" \
    >"$STACK/logs/seed.log" 2>&1 || failed 'Publishing failed' seed
}

# The reference gets the same collections through its API, and must serve as many records of each.
start_reference() {
  local what encoding
  reference_prepare reference
  reference_start 0
  seed "$REFERENCE"
  for what in "${WHATS[@]}"; do
    for encoding in "${ENCODINGS[@]}"; do
      fetch "$encoding" "$REFERENCE$(path "$what")" "$STACK/reference.$what.$encoding"
    done
    [[ $(count_ids "$STACK/reference.$what.identity") == $(count_ids "$(file "$what" identity)") ]] ||
      failed "The reference does not serve the same $what"
  done
}

count_ids() { grep -o '"id": *"' "$1" | wc -l; }

# records COUNT: about 290 bytes each, most of which no compression makes smaller.
records() {
  awk -v count="$1" 'function hex(n,  s) { s = ""; while (n--) s = s sprintf("%x", rand() * 16)
      return s }
    BEGIN { srand(count); printf "{\"data\": ["
      for (n = 0; n < count; n++)
        printf "%s{\"id\": \"%s\", \"name\": \"item-%d\", \"version\": \"%d.0\", \"attachment\": " \
          "{\"hash\": \"%s\", \"size\": %d, \"filename\": \"item-%d.bin\", \"location\": " \
          "\"main-workspace/items/%s.bin\", \"mimetype\": \"application/octet-stream\"}}",
          n ? "," : "", hex(16), n, n % 9, hex(32), rand() * 1000000, n, hex(12)
      print "]}" }'
}

path() {
  if [[ $1 == monitor ]]; then
    printf '/buckets/monitor/collections/changes/changeset?_expected=0\n'
  else
    printf '/buckets/main/collections/%s/changeset?_expected=0\n' "$1"
  fi
}

# nginx_url nginx|tuned WHAT
nginx_url() { printf 'http://127.0.0.1:%s/%s.json\n' "${NGINX_PORT[$1]}" "$2"; }

# fetch ENCODING URL FILE: must be a 200. The head is in FILE.head.
fetch() {
  local code
  code=$(curl -sS --noproxy '*' -H "Accept-Encoding: $1" -D "$3.head" -o "$3" \
    -w '%{http_code}' "$2")
  [[ $code == 200 ]] || failed "$2 was answered with $code"
}

file() {
  if [[ $2 == identity ]]; then printf '%s\n' "$STACK/www/$1.json"; else
    printf '%s\n' "$STACK/www/$1.json.gz"; fi
}

# What the reader sends, which the others send too.
save() {
  local what encoding
  mkdir -m 755 "$STACK/www"
  for what in "${WHATS[@]}"; do
    for encoding in "${ENCODINGS[@]}"; do
      fetch "$encoding" "$READER$(path "$what")" "$(file "$what" "$encoding")"
    done
  done
  chmod 644 "$STACK"/www/*
}

# start_nginx nginx|tuned
start_nginx() {
  local port pid deadline=$((SECONDS + 10))
  port=$(free_port $((R + 1)))
  mkdir -m 755 "$STACK/$1"
  nginx_config "$1" "$port" >"$STACK/$1.conf"
  # shellcheck disable=SC2094 # nginx and the shell append to the same log
  become "$ME" QUIT taskset -c 0 "$NGINX" -p "$STACK/$1" -c "$STACK/$1.conf" \
    -e "$STACK/logs/$1.log" </dev/null >>"$STACK/logs/$1.log" 2>&1 &
  pid=$!
  CHILDREN[$pid]=1 NGINX_PID[$1]=$pid NGINX_PORT[$1]=$port
  until curl -fsS -o /dev/null --noproxy '*' "$(nginx_url "$1" monitor)" 2>/dev/null; do
    is_running "$pid" || failed 'nginx ended while starting' "$1"
    ((SECONDS < deadline)) || failed 'nginx did not answer within 10 s' "$1"
    sleep 0.05
  done
}

# nginx_config nginx|tuned PORT
nginx_config() {
  cat <<CONF
daemon off;
master_process off;
pid $STACK/$1/pid;
error_log $STACK/logs/$1.log;
events { worker_connections 1024; }
http {
  sendfile on;
  gzip_static on;
  open_file_cache max=64 inactive=1h;
  open_file_cache_valid 1h;
  $(nginx_options "$1")
  types { application/json json; }
  client_body_temp_path $STACK/$1;
  proxy_temp_path $STACK/$1;
  fastcgi_temp_path $STACK/$1;
  uwsgi_temp_path $STACK/$1;
  scgi_temp_path $STACK/$1;
  server {
    listen 127.0.0.1:$2;
    root $STACK/www;
    expires 60s;
  }
}
CONF
}

nginx_options() {
  case $1 in
  nginx) say "access_log $STACK/$1/access.log;" ;; # the default, but for its place
  tuned) say 'tcp_nopush on;' 'access_log off;' 'keepalive_requests 1000000000;' ;;
  esac
}

# All must send the saved bytes.
check() {
  local what encoding url
  for what in "${WHATS[@]}"; do
    for encoding in "${ENCODINGS[@]}"; do
      start_bare "$what" "$encoding"
      for url in "$READER$(path "$what")" "$(nginx_url nginx "$what")" \
        "$(nginx_url tuned "$what")" "$BARE"; do
        fetch "$encoding" "$url" "$STACK/received"
        cmp "$STACK/received" "$(file "$what" "$encoding")" ||
          failed "$url ($encoding) sends other bytes"
      done
      end_bare
    done
  done
}

# flamegraph FILE
flamegraph() {
  poll 8 gzip "$READER$(path monitor)" >"$STACK/logs/wrk.log" &
  perf record -q -e cpu-clock -F 1999 --call-graph dwarf,8192 -p "$READER_PID" \
    -o "$STACK/perf" -- sleep 5 2>"$STACK/logs/perf.log" || failed 'perf failed' perf
  wait $!
  perf script --no-inline -i "$STACK/perf" 2>>"$STACK/logs/perf.log" | inferno-collapse-perf |
    inferno-flamegraph --title 'Polls of the monitor, gzip, 64 connections' --hash --minwidth 0.3 |
    sed -zE -e 's#<script.*</script>##; s#<!--[^>]*-->##g; s# onload="[^"]*"##' \
      -e 's#<text id="(search|unzoom|matched|details)"[^<]*</text>##g' >"$1"
}

# poll SECONDS ENCODING URL [OPTION…]
poll() {
  taskset -c 1 wrk -t1 "-c$CONNECTIONS" "-d$1s" --latency -H "Accept-Encoding: $2" "${@:4}" "$3"
}

# start_bare WHAT ENCODING
start_bare() {
  local port saved
  saved=$(file "$1" "$2")
  port=$(free_port $((NGINX_PORT[tuned] + 1)))
  become "$ME" TERM taskset -c 0 "$BIN/countersign-load" bare --port "$port" \
    --head "$saved.head" --body "$saved" </dev/null >>"$STACK/logs/bare.log" 2>&1 &
  BARE_PID=$! BARE=http://127.0.0.1:$port/
  CHILDREN[$BARE_PID]=1
  until curl -fsS -o /dev/null --noproxy '*' "$BARE" 2>/dev/null; do
    is_running "$BARE_PID" || failed 'The bare server ended while starting' bare
    sleep 0.02
  done
}

end_bare() {
  unset "CHILDREN[$BARE_PID]"
  kill -TERM "$BARE_PID"
  wait "$BARE_PID" || true
}

measure() {
  local round what encoding peer
  for ((round = 1; round <= ROUNDS; round++)); do
    for what in "${WHATS[@]}"; do
      for encoding in "${ENCODINGS[@]}"; do
        ask "reader.$what.$encoding" "$encoding" "$READER$(path "$what")" "$READER_PID"
        for peer in nginx tuned; do
          ask "$peer.$what.$encoding" "$encoding" "$(nginx_url "$peer" "$what")" \
            "${NGINX_PID[$peer]}"
        done
        start_bare "$what" "$encoding"
        ask "bare.$what.$encoding" "$encoding" "$BARE" "$BARE_PID"
        end_bare
        [[ -z $WITH_REFERENCE ]] ||
          ask "reference.$what.$encoding" "$encoding" "$REFERENCE$(path "$what")" "$REFERENCE_PID" \
            "-d${REFERENCE_DURATION}s" --timeout 60s
      done
    done
  done
}

# ask NAME ENCODING URL PID [OPTION…]: notes NAME.rate (1/s), NAME.cpu (µs) and NAME.p99 (ms).
# Options for wrk count instead of those before.
ask() {
  local output before after served
  before=$(cpu_ticks "$4")
  output=$(poll "$DURATION" "$2" "$3" "${@:5}")
  after=$(cpu_ticks "$4")
  [[ $output != *Non-2xx* && $output != *'Socket errors'* ]] || failed "$3: $output"
  [[ $output =~ Requests/sec:\ +([0-9.]+) ]] || failed "wrk says nothing of requests: $output"
  note "$1.rate" "${BASH_REMATCH[1]}"
  [[ $output =~ ([0-9]+)\ requests\ in ]] || failed "wrk counts no requests: $output"
  served=${BASH_REMATCH[1]}
  note "$1.cpu" "$(awk -v t=$((after - before)) -v n="$served" -v hz="$(getconf CLK_TCK)" \
    'BEGIN { printf "%.2f", t * 1000000 / hz / n }')"
  [[ $output =~ 99%\ +([0-9.]+)(us|ms|s) ]] || failed "wrk tells no latency: $output"
  note "$1.p99" "$(awk -v n="${BASH_REMATCH[1]}" -v unit="${BASH_REMATCH[2]}" \
    'BEGIN { printf "%.2f", unit == "us" ? n / 1000 : unit == "s" ? n * 1000 : n }')"
}

# User and system time of a process and of those of its children that have ended.
cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

print_report() {
  local what encoding
  say "Medians of $ROUNDS rounds, on one CPU, $CONNECTIONS connections; reader / nginx / tuned / bare:" '' \
    '| what | encoding | bytes | requests/s | of nginx | of tuned | of bare | CPU µs each | of nginx | of tuned | of bare | p99 ms |' \
    '|---|---|---|---|---|---|---|---|---|---|---|---|'
  for what in "${WHATS[@]}"; do
    for encoding in "${ENCODINGS[@]}"; do row "$what" "$encoding"; done
  done | tee "$STACK/rows"
  awk -F'|' '{ for (n = 6; n <= 12; n++) if (n != 9) mean[n] += log($n) / 8 } END {
    printf "\nGeometric means: requests %.2f times those of nginx, %.2f of nginx tuned, %.2f of the " \
      "bare server; for the same CPU time %.2f, %.2f, %.2f.\n", exp(mean[6]), exp(mean[7]),
      exp(mean[8]), exp(mean[10]), exp(mean[11]), exp(mean[12]) }' "$STACK/rows"
}

# row WHAT ENCODING
row() {
  local peer
  for peer in reader nginx tuned bare; do
    say "$(median "$peer.$1.$2.rate") $(median "$peer.$1.$2.cpu") $(median "$peer.$1.$2.p99")"
  done | awk -v what="$1" -v encoding="$2" -v bytes="$(stat -c %s "$(file "$1" "$2")")" '
    { rate[NR] = $1; cpu[NR] = $2; p99[NR] = $3 } END {
      printf "| %s | %s | %d | %d / %d / %d / %d | %.2f | %.2f | %.2f ", what, encoding, bytes,
        rate[1], rate[2], rate[3], rate[4], rate[1] / rate[2], rate[1] / rate[3], rate[1] / rate[4]
      printf "| %.1f / %.1f / %.1f / %.1f | %.2f | %.2f | %.2f ", cpu[1], cpu[2], cpu[3], cpu[4],
        cpu[2] / cpu[1], cpu[3] / cpu[1], cpu[4] / cpu[1]
      printf "| %.2f / %.2f / %.2f / %.2f |\n", p99[1], p99[2], p99[3], p99[4] }'
}

# Its CPU time is its child's, and PostgreSQL's, and not told.
print_reference_report() {
  local what encoding
  say '' "Beside the reference (granian, 1 process, backpressure $REFERENCE_BACKPRESSURE):" '' \
    '| what | asked for | bytes | bytes of the reference | reader 1/s | reference 1/s | ratio | p99 ms |' \
    '|---|---|---|---|---|---|---|---|'
  for what in "${WHATS[@]}"; do
    for encoding in "${ENCODINGS[@]}"; do reference_row "$what" "$encoding"; done
  done | tee "$STACK/rows"
  awk -F'|' '{ rate += log($8) } END {
    printf "\nGeometric mean: %.0f times the requests of the reference.\n", exp(rate / NR) }' \
    "$STACK/rows"
}

# reference_row WHAT ENCODING
reference_row() {
  local name=$1.$2
  awk -v what="$1" -v encoding="$2" -v bytes="$(stat -c %s "$(file "$1" "$2")")" \
    -v their_bytes="$(stat -c %s "$STACK/reference.$name")" \
    -v r="$(median "reader.$name.rate")" -v k="$(median "reference.$name.rate")" \
    -v rp="$(median "reader.$name.p99")" -v kp="$(median "reference.$name.p99")" 'BEGIN {
      printf "| %s | %s | %d | %d | %d | %.1f | %.0f | %.2f / %.0f |\n",
        what, encoding, bytes, their_bytes, r, k, r / k, rp, kp }'
}

main "$@"
