#!/usr/bin/env bash
# `make cdn`: a real Varnish and a real nginx, with the files that are shipped, before a reader and a
# writer, and what is promised of caches (docs/cdn.md).
#
# Everything is private to the run. From the environment: SECONDS_EACH (10) of the fleet, ROUNDS (20) of
# publications through Varnish, BIN (target/release), PG_BINDIR; QUICK=1 leaves out what takes a minute, ONLY
# all trials whose title does not match it.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../loadtests/stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../loadtests/stack.sh"
# shellcheck source-path=SCRIPTDIR source=trials.sh
source "$(dirname "${BASH_SOURCE[0]}")/trials.sh"

SECONDS_EACH=${SECONDS_EACH:-10}
ROUNDS=${ROUNDS:-20}
QUICK=${QUICK:-}
readonly RECORDS=50 HERD=100 MAIN=/buckets/main/collections
readonly MONITOR=/buckets/monitor/collections/changes/changeset
NUMBER=1000 ROUND=0

main() {
  [[ $SECONDS_EACH =~ ^[1-9][0-9]{0,2}$ && $ROUNDS =~ ^[1-9][0-9]{0,2}$ ]] ||
    give_up "$EX_CONFIG" 'SECONDS_EACH and ROUNDS are numbers from 1 to 999.'
  NGINX=$(PATH=$PATH:/usr/sbin command -v nginx) && VARNISH=$(PATH=$PATH:/usr/sbin command -v varnishd) ||
    give_up "$EX_UNAVAILABLE" 'nginx and Varnish are needed: deploy/dev/install.sh nginx varnish'
  stack_open cdn
  LOAD=$BIN/countersign-load
  stack_database
  stack_configure 1000
  R2=$(free_port $((R + 1)))
  V=$(free_port $((R2 + 1)))
  N=$(free_port $((V + 1)))
  configure
  stack_start writer
  stack_start reader
  publish 1
  "$LOAD" seed --writer "$WRITER" --data "$STACK_ROOT/data/main" --only search-config-v2 \
    >"$STACK/logs/seed.log" 2>&1 || failed 'Importing data/main failed' seed
  start_varnish
  start_nginx
  local name
  for name in Varnish nginx; do
    CACHE=http://127.0.0.1:$V/v1
    [[ $name == Varnish ]] || CACHE=http://127.0.0.1:$N/v1
    trial "$name: one entry however it is asked for" spelling
    trial "$name: quotes count where readers say so" quotes
    trial "$name: lists, page by page" lists
    trial "$name: what is not for the public" hidden
    trial "$name: refusals and conditions as at the reader" refusals
    trial "$name: encodings as readers have prepared them" encodings
    trial "$name: names of dictionaries that are none" dictionaries
    trial "$name: hostile headers leave nothing to others" hostile
    trial "$name: a herd is one request" herd
    trial "$name: a fleet, while things are published" fleet
    trial "$name: one of two readers is killed" one_of_two
    trial "$name: a reader that is away" reader_away
    trial "$name: a failure is not kept" failures
    [[ -n $QUICK ]] || trial "$name: what was not there may come" not_found
  done
  CACHE=http://127.0.0.1:$V/v1
  until_purgeable
  # What could not be purged while the readers were away has to come first.
  until_delivered 2>/dev/null || true
  trial 'Varnish: a purge under an hour of lifetime' purge
  trial 'Varnish: who may purge what' who_may_purge
  end_trials
}

# Everything lives for an hour, but for the monitor of those who ask with 0.
configure() {
  local lifetimes='
main.record_cache_expires_seconds = 3600
main-preview.record_cache_expires_seconds = 60
monitor.changes.record_cache_minimum_expires_seconds = 1
monitor.changes.record_cache_maximum_expires_seconds = 3600
http_scheme = "http"'
  printf '%s\n' "$lifetimes" >>"$STACK/reader.toml"
  cat >>"$STACK/writer.toml" <<TOML
$lifetimes
outgoing.allowed_hosts = "127.0.0.1"
purge.caches = "edge"
purge.edge.kind = "varnish"
purge.edge.urls = "http://127.0.0.1:$V"
TOML
}

# The shipped files, with this run's addresses.
start_varnish() {
  mkdir -m 755 "$STACK/varnish"
  cp "$STACK_ROOT/deploy/varnish/countersign.vcl" "$STACK/varnish/"
  sed -e 's/"reader[12]"/"127.0.0.1"/' -e 's/"writer"/"127.0.0.1"/' -e "/^backend reader1/,/^}/s/8889/$R/" \
    -e "/^backend reader2/,/^}/s/8889/$R2/" "$STACK_ROOT/deploy/varnish/backends.vcl" >"$STACK/varnish/backends.vcl"
  chmod 644 "$STACK"/varnish/*
  become "$ME" TERM "$VARNISH" -F -n "$STACK/varnish/n" -a "127.0.0.1:$V" -s malloc,64m \
    -f "$STACK/varnish/countersign.vcl" -p vcl_path="$STACK/varnish" -p http_gzip_support=off \
    -j none </dev/null >>"$STACK/logs/varnish.log" 2>&1 &
  await_cache $! "http://127.0.0.1:$V/v1/" varnish
}

start_nginx() {
  mkdir -m 755 "$STACK/nginx"
  {
    cat <<CONF
daemon off;
worker_processes 1;
pid $STACK/nginx/pid;
error_log $STACK/logs/nginx.log;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path $STACK/nginx;
  proxy_temp_path $STACK/nginx/temp;
  fastcgi_temp_path $STACK/nginx;
  uwsgi_temp_path $STACK/nginx;
  scgi_temp_path $STACK/nginx;
CONF
    sed -e "s/127.0.0.1:8889/127.0.0.1:$R/" -e "s/# server 10.0.0.2:8889/server 127.0.0.1:$R2/" -e "s/listen 80;/listen 127.0.0.1:$N;/" \
      -e "s|/var/cache/nginx/countersign|$STACK/nginx/cache|" \
      "$STACK_ROOT/deploy/nginx/reader.conf"
    say '}'
  } >"$STACK/nginx.conf"
  become "$ME" QUIT "$NGINX" -c "$STACK/nginx.conf" -e "$STACK/logs/nginx.log" \
    </dev/null >>"$STACK/logs/nginx.log" 2>&1 &
  await_cache $! "http://127.0.0.1:$N/v1/" nginx
}

# await_cache PID URL NAME
await_cache() {
  local deadline=$((SECONDS + 20))
  CHILDREN[$1]=1
  until curl -fsS -o /dev/null --noproxy '*' "$2" 2>/dev/null; do
    is_running "$1" || failed "$3 ended while starting" "$3"
    ((SECONDS < deadline)) || failed "$3 did not answer within 20 s" "$3"
    sleep 0.1
  done
}

# How many requests for data the reader has answered.
at_reader() {
  curl -sS --fail --noproxy '*' "$READER/__metrics__" |
    awk '/^countersign_requests_total/ && !/heartbeat|metrics|version/ { n += $NF } END { print n + 0 }'
}

# get PATH [CURL OPTIONS…]: the body.
get() {
  local path=$1
  shift
  curl -sS --noproxy '*' "$@" "$CACHE$path"
}

# status PATH [CURL OPTIONS…]
status() {
  get "$@" -o /dev/null -w '%{http_code}'
}

# A number that nobody has asked for yet.
fresh() {
  NUMBER=$((NUMBER + 1))
}

# publish COUNT: so many rounds, each a new state of main/drill.
publish() {
  local end=$((ROUND + $1))
  while ((ROUND < end)); do
    ROUND=$((ROUND + 1))
    propose
    approve
  done
}

propose() {
  "$LOAD" drill propose --writer "$WRITER" --collection drill --round "$ROUND" --records "$RECORDS" \
    >>"$STACK/logs/publish.log" 2>&1 || failed 'A proposal failed' publish
}

approve() {
  "$LOAD" drill approve --writer "$WRITER" --collection drill --round "$ROUND" --records "$RECORDS" \
    >>"$STACK/logs/publish.log" 2>&1 || failed 'An approval failed' publish
}

# Order, strangers and quotes make no entry of their own.
spelling() {
  local path=$MAIN/search-config-v2/changeset before query
  until_delivered || return
  fresh
  before=$(at_reader)
  for query in "_expected=$NUMBER&_since=5&_limit=3" "_since=5&_limit=3&_expected=$NUMBER" \
    "x=1&_limit=3&_since=5&_expected=$NUMBER&y=%26" "_expected=%22$NUMBER%22&_limit=3&_since=%225%22" \
    "_since=\"5\"&_expected=\"$NUMBER\"&_limit=3" "utm_source=a&_limit=3&_expected=$NUMBER&_since=%225%22"; do
    [[ $(status "$path?$query" -g) == 200 ]] || wrong "$query is refused" || return
  done
  local encoding
  for encoding in 'gzip' 'gzip, deflate' 'gzip;q=0.8' 'x-gzip' 'deflate, gzip;q=1.0, *;q=0.5'; do
    get "$path?_expected=$NUMBER&_since=5&_limit=3" -H "Accept-Encoding: $encoding" \
      -H "Cookie: a=$RANDOM" -H "Authorization: Basic eDp5" -H "Origin: https://o$RANDOM.example" \
      -H "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT" -o "$STACK/body"
    gzip -t <"$STACK/body" || wrong "$encoding: not gzip" || return
  done
  local asked=$(($(at_reader) - before))
  say "11 spellings, $asked requests at the reader"
  ((asked == 2)) || wrong 'identity and gzip are two' || return
  # What means nothing there makes no entry; what is escaped without need is neither lost nor kept.
  get "$path?_expected=$NUMBER" -o /dev/null
  before=$(at_reader)
  for query in "_expected=$NUMBER&bucket=a" "collection=b&_expected=$NUMBER" "_expected=$NUMBER&%61=1&_%73ince"; do
    [[ $(status "$path?$query") == 200 ]] || wrong "$query is refused" || return
  done
  asked=$(($(at_reader) - before))
  ((asked <= 1)) || wrong "bucket= and collection= are entries: $asked requests" || return
  for query in "%5Fexpected=$NUMBER" "_expected=%3${NUMBER:0:1}${NUMBER:1}"; do
    [[ $(status "$path?$query") == 200 ]] || wrong "$query is refused" || return
    get "$path?$query" -o /dev/null
  done
  asked=$(($(at_reader) - before - asked))
  ((asked == 4)) || wrong "$asked of 4 requests at the reader: escapes are entries"
}

# All pages are all records, once each; filters and fields count; HEAD counts; and no order is an entry.
lists() {
  local path=$MAIN/search-config-v2/records next pages=0 before asked
  until_delivered || return
  fresh
  get "$path?_fields=id" | ids | sort >"$STACK/ids.whole"
  : >"$STACK/ids.pages"
  next="$path?_fields=id&_limit=7&_sort=id&not_x=$NUMBER"
  while [[ $next ]]; do
    ((++pages < 200)) || wrong 'pages without an end' || return
    get "$next" -D "$STACK/head.all" | ids >>"$STACK/ids.pages" || return
    next=$(tr -d '\r' <"$STACK/head.all" | sed -n 's|^[Nn]ext-[Pp]age: *[^ ]*/v1/|/|p')
  done
  sort "$STACK/ids.pages" | cmp -s "$STACK/ids.whole" - || wrong 'the pages are not the list' || return
  local query id
  id=$(head -1 "$STACK/ids.whole")
  for query in "id=$id&_fields=id" "_sort=-id&_limit=2" "_before=1" "_since=0&_fields=id" "has_absent=true"; do
    same_body "$path?$query" || return
    same_body "$path?$query&_limit=3" || return
  done
  asked=$(get "$path" -I | tr -d '\r' | sed -n 's/^[Tt]otal-[Rr]ecords: *//p')
  [[ $asked == $(wc -l <"$STACK/ids.whole") ]] || wrong "HEAD counts '$asked'" || return
  asked=$(get "$path?id=$id" -I | tr -d '\r' | sed -n 's/^[Tt]otal-[Rr]ecords: *//p')
  [[ $asked == 1 ]] || wrong "HEAD of a filter counts '$asked'" || return
  before=$(at_reader)
  for query in "id=$id&_fields=id,x$NUMBER" "_fields=id,x$NUMBER&id=$id" "_fields=id,x$NUMBER&&id=$id&"; do
    same_body "$path?$query" || return
  done
  # Each was asked for at the reader, too.
  asked=$(($(at_reader) - before - 3))
  say "$(wc -l <"$STACK/ids.whole") records on $pages pages; 3 orders of a query: $asked requests"
  [[ $CACHE != *:$V/* ]] || ((asked == 1)) || wrong 'orders are entries'
}

# The ids of a list with nothing else in it.
ids() { grep -o '"id":"[^"]*"' | cut -d '"' -f 4; }

# same_body PATH: the cache, twice, and the reader send the same.
same_body() {
  local pass
  curl -sS --noproxy '*' -o "$STACK/body.reader" -D "$STACK/head.reader" "$READER$1" || return
  for pass in 1 2; do
    get "$1" -o "$STACK/body.cache" -D "$STACK/head.cache" || return
    cmp -s "$STACK/body.reader" "$STACK/body.cache" || wrong "other bytes, time $pass: $1" || return
    [[ $(next_of reader) == "$(next_of cache)" ]] || wrong "another Next-Page: $1" || return
  done
}

# next_of NAME: what Next-Page in head.NAME asks for; but for the token, which is another one each time.
next_of() {
  tr -d '\r' <"$STACK/head.$1" | sed -n 's|^[Nn]ext-[Pp]age: *[^ ]*\(/v1/[^ ]*\)_token=.*|\1|p' | tr '?&' '\n' | sort
}

# Health, version and metrics, however they are spelled; and what push services poll.
hidden() {
  local root=${CACHE%/v1} path api
  for path in /v1/__heartbeat__ /__lbheartbeat__ /v2/__version__ /v1/__metrics__?x /v1/%5F%5Fmetrics__ \
    /v%31/__metrics__ /%5F_heartbeat__ /v1/_%5Fversion__ /v1/%5f_metrics__ /%76%32/__version__ \
    /v1//__metrics__ /v1/./__metrics__ /v1/x/../__metrics__; do
    curl -sS --noproxy '*' --path-as-is -o "$STACK/body" "$root$path" -w '%{http_code} %{content_type}' \
      >"$STACK/status" || return
    [[ $(<"$STACK/status") == '404 application/json'* ]] || wrong "$path: $(<"$STACK/status")" || return
  done
  curl -sS --noproxy '*' -o "$STACK/body" "$root/" -w '%{http_code}' \
    --request-target "https://x.example/v1/__metrics__" >"$STACK/status" || return
  [[ $(<"$STACK/status") == 40[04] ]] || wrong "absolute: $(<"$STACK/status")" || return
  for api in v1 v2; do
    [[ $(curl -sS --noproxy '*' -o /dev/null -w '%{http_code}' "$root/$api/__broadcasts__") == 200 ]] ||
      wrong "no broadcasts below /$api" || return
  done
  say '14 spellings of what is not public: 404; broadcasts: 200'
}

# Refusals are JSON for everybody's scripts; the caches judge no conditions but a tag.
refusals() {
  local path=$MAIN/search-config-v2/changeset root=${CACHE%/v1} line dated tag
  until_delivered || return
  fresh
  get "$path?_expected=$NUMBER" -o /dev/null -D "$STACK/head.all" || return
  dated=$(tr -d '\r' <"$STACK/head.all" | sed -n 's/^[Ll]ast-[Mm]odified: *//p')
  tag=$(tr -d '\r' <"$STACK/head.all" | sed -n 's/^[Ee][Tt]ag: *//p')
  [[ $dated && $tag ]] || wrong 'no date or no tag' || return
  for line in "If-Modified-Since: $dated" 'If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT' 'If-Match: "x"' \
    'If-Unmodified-Since: Fri, 01 Jan 2010 00:00:00 GMT' 'Range: bytes=0-1' 'If-None-Match: "x"'; do
    [[ $(status "$path?_expected=$NUMBER" -H "$line") == 200 ]] || wrong "$line counts" || return
    [[ $(get "$path?_expected=$NUMBER" -H "$line" | sha256sum) == "$(get "$path?_expected=$NUMBER" | sha256sum)" ]] ||
      wrong "$line: other bytes" || return
  done
  [[ $(status "$path?_expected=$NUMBER" -H "If-None-Match: $tag" -H "If-Modified-Since: $dated") == 304 ]] ||
    [[ $CACHE == *:$V/* ]] || wrong 'a tag that is known' || return
  while read -r -a line; do
    get "$path${line[1]}" --path-as-is "${line[@]:2}" -o "$STACK/body" -D "$STACK/head.all" -w '%{http_code}' \
      >"$STACK/status" || return
    [[ $(<"$STACK/status") == "${line[0]}" ]] || wrong "${line[*]}: $(<"$STACK/status")" || return
    grep -qi '^content-type: application/json' "$STACK/head.all" || wrong "${line[*]}: no JSON" || return
    grep -qiF 'access-control-allow-origin: *' "$STACK/head.all" || wrong "${line[*]}: not for scripts" || return
    grep -q "\"code\":${line[0]}," "$STACK/body" || wrong "${line[*]}: $(<"$STACK/body")" || return
  done <<REFUSED
400 ?_Expected=1
400 ?_expected=1&_expected=2
400 ?_expected=1&_expected=1
400 ?_expected=1&_since=5&_limit=1&_since=6
400 ?foo=a?_expected=5
400 ?
405 ?_expected=1 -X POST
405 ?_expected=1 -X DELETE
404 /../../__metrics__
404 /nothing
REFUSED
  [[ $(curl -sS --noproxy '*' -o /dev/null -w '%{http_code}' -X OPTIONS "$CACHE$path?_expected=1" \
    -H 'Origin: https://a.example' -H 'Access-Control-Request-Method: GET') == 20[04] ]] ||
    wrong 'a preflight is refused' || return
  say '6 conditions, 10 refusals, a tag, a preflight'
}

quotes() {
  local path=$MONITOR
  fresh
  [[ $(status "$path?_expected=%22$NUMBER%22") == 307 ]] || wrong 'the monitor redirects' || return
  [[ $(status "$path?_expected=$NUMBER%22") == 307 ]] || wrong 'also with one quote' || return
  [[ $(status "$path?_expected=$NUMBER") == 200 ]] || wrong 'it knows numbers' || return
  [[ $(status "$path?_expected=abc") == 400 ]] || wrong 'it knows no words' || return
  [[ $(status "$path?_expected=$NUMBER&_since=%225") == 400 ]] || wrong 'half a quote' || return
  [[ $(status "$path") == 400 ]] || wrong '_expected is required' || return
  [[ $(status "$path?_expected=1" -X POST) == 405 ]] || wrong 'POST' || return
  [[ $(status /__heartbeat__) == 404 ]] || wrong 'health is not public' || return
  [[ $(status "$path?_expected=0" -I) == 200 ]] || wrong 'HEAD' || return
  say 'as at the reader'
}

# What readers have prepared passes as it is: the same bytes, under the same name.
encodings() {
  local path="$MAIN/drill/changeset" dictionary encoding kinds=
  until_delivered || return
  fresh
  dictionary=":$(get "$path?_expected=$NUMBER" | openssl dgst -sha256 -binary | base64):"
  publish 1
  until_delivered || return
  fresh
  for encoding in identity gzip br zstd dcb dcz 'gzip, deflate, br, zstd' 'br;q=0, gzip' 'dcz, gzip' \
    'br ;q=0, gzip' $'gzip,\tbr\t; q=0.00' 'gzip, br;level=1;q=0' 'br;q=0;a=1, gzip' 'gzip ;q=0' \
    'gzip, dcz ;q=0' 'gzip, dcz;a=b;Q=0.000' 'BR;Q=0.001, x;q=0' 'br;q=1.5, gzip' 'br;q=, gzip' 'xbr, br-x' \
    'gzip;x=q=0' 'br, br;q=0' 'deflate;q=0,gzip;q=1.000'; do
    same "$path?_expected=$NUMBER" -H "Accept-Encoding: $encoding" || return
    same "$path?_expected=$NUMBER" -H "Accept-Encoding: $encoding" \
      -H "Available-Dictionary: $dictionary" || return
    kinds+="$(awk 'tolower($1) == "content-encoding:" { print $2 }' "$STACK/head.cache")"$'\n'
  done
  say "46 ways to ask, content encodings: $(sort -u <<<"$kinds" | paste -sd' ')"
}

# Neither what cannot be a dictionary's name, or not there, nor a random name makes an entry.
dictionaries() {
  local path="$MAIN/drill/changeset" good name before i random=20
  local accept='Accept-Encoding: gzip, dcz'
  until_delivered || return
  fresh
  good=":$(get "$path?_expected=$NUMBER" | openssl dgst -sha256 -binary | base64):"
  publish 1
  until_delivered || return
  # Until the reader has made the difference.
  for ((i = 0; i < 50; i++)); do
    [[ $(encoding_of "$READER$path?_expected=0" -H "$accept" -H "Available-Dictionary: $good") != dcz ]] || break
    sleep 0.1
  done
  ((i < 50)) || wrong 'the reader has no difference' || return
  fresh
  [[ $(encoding_of "$CACHE$path?_expected=$NUMBER" -H 'Accept-Encoding: gzip') == gzip ]] ||
    wrong 'no gzip' || return
  before=$(at_reader)
  for name in : :: :AAAA: "${good%:}" "$good$good" "${good/=:/==:}" "$good;a=1" 'a"b' ":${good:2:41}?=:" ; do
    [[ $(encoding_of "$CACHE$path?_expected=$NUMBER" -H "$accept" -H "Available-Dictionary: $name") == gzip ]] ||
      wrong "$name" || return
  done
  for name in 'gzip, dcz;q=0' 'dcz;q=0.000, gzip' 'gzip, dcb' 'gzip, xdcz' 'gzip'; do
    [[ $(encoding_of "$CACHE$path?_expected=$NUMBER" -H "Accept-Encoding: $name" \
      -H "Available-Dictionary: $good") == gzip ]] || wrong "$name: it is refused" || return
  done
  ((before == $(at_reader))) || wrong 'names that are none reached the reader' || return
  # Where there are no differences: one entry each.
  for name in "$path?_expected=$NUMBER&_since=1" "$path?_expected=$NUMBER&_limit=1" '/'; do
    get "$name" -o /dev/null -H 'Accept-Encoding: gzip'
    before=$(at_reader)
    get "$name" -o /dev/null -H "$accept" -H "Available-Dictionary: $good"
    ((before == $(at_reader))) || wrong "$name knows no dictionaries" || return
  done
  path="$path?_expected=$NUMBER"
  for ((i = 0; i < 2; i++)); do
    [[ $(encoding_of "$CACHE$path" -H "$accept" -H "Available-Dictionary: $good") == dcz ]] ||
      wrong 'the right one' || return
  done
  for ((i = 0; i < random; i++)); do
    name=":$(openssl rand -base64 32):"
    [[ $(encoding_of "$CACHE$path" -H "$accept" -H "Available-Dictionary: $name") == gzip ]] ||
      wrong 'a difference from nothing' || return
  done
  # They are no entries: the same name is asked for again.
  before=$(at_reader)
  for ((i = 0; i < 2; i++)); do
    get "$path" -o /dev/null -H "$accept" -H "Available-Dictionary: $name"
  done
  (($(at_reader) == before + 2)) || wrong 'a name that nobody knows is an entry' || return
  before=$(at_reader)
  [[ $(encoding_of "$CACHE$path" -H "$accept" -H "Available-Dictionary: $good") == dcz ]] || wrong 'dcz' || return
  [[ $(encoding_of "$CACHE$path" -H 'Accept-Encoding: gzip') == gzip ]] || wrong 'gzip' || return
  ((before == $(at_reader))) || wrong 'random names pushed out what others have' || return
  say "17 names that are none: no request at the reader; $random random ones: no entries, the others are hits"
}

# encoding_of URL CURL_OPTIONS…
encoding_of() {
  local url=$1
  shift
  curl -sS --fail --noproxy '*' -o /dev/null -D - "$@" "$url" | tr -d '\r' |
    awk 'tolower($1) == "content-encoding:" { print $2 }'
}

# same PATH CURL_OPTIONS…: the cache, twice, and the reader send the same body in the same encoding.
same() {
  local path=$1 pass
  shift
  curl -sS --noproxy '*' -o "$STACK/body.reader" -D "$STACK/head.all" "$@" "$READER$path" || return
  tr -d '\r' <"$STACK/head.all" | grep -i '^content-encoding' >"$STACK/head.reader" || true
  for pass in 1 2; do
    get "$path" -o "$STACK/body.cache" -D "$STACK/head.all" "$@" || return
    tr -d '\r' <"$STACK/head.all" | grep -i '^content-encoding' >"$STACK/head.cache" || true
    cmp -s "$STACK/body.reader" "$STACK/body.cache" || wrong "other bytes, time $pass: $*" || return
    diff -iq "$STACK/head.reader" "$STACK/head.cache" >&2 || wrong "another encoding: $*" || return
  done
}

# All at once for what is not there yet: three objects.
herd() {
  local before asked object path
  publish 1
  # A purge in between would be a second request.
  until_delivered || return
  fresh
  for object in "$MONITOR" "$MAIN/drill/changeset" "$MAIN/search-config-v2/changeset"; do
    path="$object?_expected=$NUMBER"
    before=$(at_reader)
    for ((i = 0; i < HERD; i++)); do printf 'url = "%s"\noutput = "/dev/null"\n' "$CACHE$path&n=$i"; done \
      >"$STACK/herd"
    curl -sS --no-progress-meter --fail --noproxy '*' --parallel --parallel-immediate --parallel-max "$HERD" \
      --config "$STACK/herd" || wrong "$path failed" || return
    asked=$(($(at_reader) - before))
    ((asked == 1)) || wrong "$path: $asked requests at the reader" || return
  done
  say "3 × $HERD clients, 3 requests at the reader"
}

# Every body verifies, none is older than promised, and the reader hardly notices.
fleet() {
  local before asked line requests
  before=$(at_reader)
  "$LOAD" fleet --cache "$CACHE" --public-key "$KEY" --clients 16 --seconds "$SECONDS_EACH" \
    >"$STACK/fleet" 2>"$STACK/logs/fleet.log" &
  local pid=$! published=0 code=0
  while is_running "$pid"; do
    publish 1
    published=$((published + 1))
    sleep 1
  done
  wait "$pid" || code=$?
  ((code == 0)) || wrong "$(cat "$STACK/logs/fleet.log")" || return
  asked=$(($(at_reader) - before))
  line=$(<"$STACK/fleet")
  [[ $line =~ requests=([0-9]+)\ bodies=([0-9]+) ]] || wrong "$line" || return
  requests=${BASH_REMATCH[1]}
  awk -v r="$requests" -v a="$asked" -v p="$published" -v b="${BASH_REMATCH[2]}" 'BEGIN {
    rate = 100 * (1 - a / r)
    printf "%d requests, %d at the reader: %.2f %% hits; %d publications, %d bodies, all verified\n",
      r, a, rate, p, b
    exit !(rate > 99) }'
}

# What nobody has is asked of the other reader, from the first moment on.
one_of_two() {
  local path="$MAIN/search-config-v2/changeset" second i code deadline
  sed "s/^listen.*/listen = \"127.0.0.1:$R2\"/" "$STACK/reader.toml" >"$STACK/second.toml"
  become "$ME" TERM "$BIN/countersign-reader" serve --config "$STACK/second.toml" \
    </dev/null >>"$STACK/logs/second.log" 2>&1 &
  second=$!
  CHILDREN[$second]=1
  # Until both caches have begun to ask it.
  deadline=$((SECONDS + 30))
  until (($(at_second) > 10)); do
    is_running "$second" || wrong 'the second reader ended' || return
    ((SECONDS < deadline)) || wrong 'the second reader is never asked' || return
    fresh
    status "$path?_expected=$NUMBER" >/dev/null
    sleep 0.05
  done
  local killed=$EPOCHREALTIME
  kill -KILL "$second"
  wait "$second" 2>/dev/null || true
  unset "CHILDREN[$second]"
  # Longer than health checks take.
  for ((i = 0; i < 200; i++)); do
    fresh
    code=$(status "$path?_expected=$NUMBER" --max-time 5)
    [[ $code == 200 ]] || wrong "$code, request $i after the end" || return
    sleep 0.02
  done
  say "200 requests for what nobody had, in $(awk -v a="$killed" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.0f", b - a }') s after its end: all 200"
}

# How many requests for data the second reader has answered.
at_second() {
  curl -sS --noproxy '*' "http://127.0.0.1:$R2/v1/__metrics__" 2>/dev/null |
    awk '/^countersign_requests_total/ && !/heartbeat|metrics|version/ { n += $NF } END { print n + 0 }'
}

# What has expired is served as long as there is nothing better.
reader_away() {
  local path="$MONITOR?_expected=0" strict i answers=
  # What is purged cannot be served any more.
  until_delivered || return
  # From a reader that is behind: for 5 s, and no longer.
  strict="$MAIN/search-config-v2/changeset?_expected=$(($(date +%s%3N) + 10000000 + RANDOM))"
  answers=$(get "$strict" -o /dev/null -D - | tr -d '\r' | sed -n 's/^[Cc]ache-[Cc]ontrol: *//p')
  [[ $answers == max-age=5 ]] || wrong "the trial is wrong: no strict lifetime, but $answers" || return
  status "$path" >/dev/null
  kill -KILL "$READER_PID"
  # Silenced, or bash would report how it died.
  wait "$READER_PID" 2>/dev/null || true
  READER_PID=
  sleep 3
  for ((i = 0; i < 20; i++)); do
    [[ $(status "$path") == 200 ]] || wrong "$(status "$path") instead of what is stale" || return
    sleep 0.2
  done
  if [[ $CACHE == *:$V/* ]]; then
    answers=$(status "$strict")
    [[ $answers == 503 ]] || wrong "$answers: what was known to be old" || return
  fi
  if [[ $CACHE == *:$V/* ]]; then
    # Three health checks, two seconds each, have failed by now.
    answers=$(status / -X BAN -H 'Surrogate-Key: main/none')
    [[ $answers == 503 ]] || wrong "a purge without readers: $answers" || return
  fi
  fresh
  answers=$(status "$path$NUMBER")
  [[ $answers == 50[0-9] ]] || wrong "$answers for what nobody has" || return
  stack_start reader
  until_served "$path$NUMBER" || wrong 'the failure was kept' || return
  say '20 stale answers in 7 s after its expiry; then fresh ones'
}

# A 503 of the reader itself: one that has no snapshot yet.
failures() {
  local path="$MAIN/search-config-v2/changeset" code i
  stack_end reader
  sed "s|^storage_url.*|storage_url = \"postgresql://x@127.0.0.1:1/none\"|" "$STACK/reader.toml" \
    >"$STACK/empty.toml"
  become "$ME" TERM "$BIN/countersign-reader" serve --config "$STACK/empty.toml" \
    </dev/null >>"$STACK/logs/empty.log" 2>&1 &
  local empty=$!
  CHILDREN[$empty]=1
  until [[ $(curl -sS --noproxy '*' -o /dev/null -w '%{http_code}' "$READER$path?_expected=1" 2>/dev/null) == 503 ]]; do
    is_running "$empty" || wrong 'the empty reader ended' || return
    sleep 0.1
  done
  # Until Varnish has seen that it is there.
  sleep 5
  fresh
  for ((i = 0; i < 5; i++)); do
    code=$(status "$path?_expected=$NUMBER")
    [[ $code == 503 ]] || wrong "$code instead of 503" || return
  done
  end_process "$empty" TERM KILL
  unset "CHILDREN[$empty]"
  stack_start reader
  until_served "$path?_expected=$NUMBER" || wrong 'the failure was kept' || return
  say 'served as soon as the reader had it'
}

# until_served PATH: within the time that a health check takes.
until_served() {
  local deadline=$((SECONDS + 12))
  until [[ $(status "$1") == 200 ]]; do
    ((SECONDS < deadline)) || return
    sleep 0.2
  done
}

# Until Varnish has seen that the reader is there again.
until_purgeable() {
  local deadline=$((SECONDS + 15))
  until [[ $(status / -X BAN -H 'Surrogate-Key: main/none') == 200 ]]; do
    ((SECONDS < deadline)) || return 0
    sleep 0.2
  done
}

# What an attacker's headers make of an answer is not what the next client gets.
hostile() {
  local path bad long
  long=$(head -c 40000 /dev/zero | tr '\0' x)
  fresh
  for path in "$MAIN/search-config-v2/changeset?_expected=$NUMBER" "$MONITOR?_expected=%22$NUMBER%22" \
    "$MAIN/drill/?x=$NUMBER" "/?$NUMBER" "$MAIN/search-config-v2/records?_limit=3&not_x=$NUMBER"; do
    for bad in 'Host: evil.example' 'X-Forwarded-Host: evil.example' 'X-Forwarded-Proto: evil' \
      'X-Original-URL: /v1/evil' 'X-Rewrite-URL: /v1/evil' 'X-HTTP-Method-Override: DELETE' \
      'Forwarded: host=evil.example' 'Range: bytes=0-1' "X-Long: $long" $'X-Meta: a\x01b' \
      'If-None-Match: *' 'Accept-Language: evil' 'Transfer-Encoding: chunked'; do
      get "$path" -o /dev/null -H "$bad" --max-time 5 2>/dev/null || true
    done
    get "$path" -o "$STACK/body.cache" -D "$STACK/head.all" || return
    curl -sS --noproxy '*' -o "$STACK/body.reader" "$READER$path" || return
    grep -qE '^HTTP/[0-9.]+ (200|307)' "$STACK/head.all" || wrong "$path: $(head -1 "$STACK/head.all")" || return
    ! grep -qi evil "$STACK/head.all" "$STACK/body.cache" || wrong "$path: evil" || return
    # The root and redirects tell the host by which they were asked.
    [[ $path != *changeset* && $path != *records* ]] || cmp -s "$STACK/body.cache" "$STACK/body.reader" || wrong "$path: other bytes" ||
      return
  done
  say '13 headers on 5 URLs, then as at the reader'
}

# Until all purges are, the repeated ones, too.
until_delivered() {
  local deadline=$((SECONDS + 15))
  until [[ -z $("$BIN/countersign-writer" outbox list --config "$STACK/writer.toml") ]]; do
    ((SECONDS < deadline)) || wrong 'left in the outbox' || return
    sleep 0.5
  done
}

not_found() {
  local path before asked
  until_delivered || return
  fresh
  path="/nothing-$NUMBER"
  before=$(at_reader)
  [[ $(status "$path") == 404 && $(status "$path") == 404 ]] || wrong 'no 404' || return
  asked=$(($(at_reader) - before))
  ((asked == 1)) || wrong "it is not kept at all: $asked requests" || return
  sleep 61
  status "$path" >/dev/null
  # Varnish may serve it once more while it asks.
  sleep 1
  asked=$(($(at_reader) - before))
  say "asked for again after a minute"
  ((asked == 2)) || wrong "$asked requests at the reader in 62 s"
}

# behind PATH SUM: whether the reader has other bytes by now.
behind() {
  local sum
  sum=$(curl -sS --noproxy '*' "$READER$1" | sha256sum)
  if [[ $sum == "$2" ]]; then say 'behind'; else say 'up to date'; fi
}

# From the approval's answer until the cache serves it, under a URL that lives for an hour.
purge() {
  local path="$MAIN/drill/changeset?_expected=1" i times=
  get "$path" -o /dev/null
  for ((i = 0; i < ROUNDS; i++)); do
    ROUND=$((ROUND + 1))
    propose
    local before started root
    before=$(get "$path" | sha256sum)
    [[ $(get "$path" -o /dev/null -D - | tr -d '\r') == *'X-Cache: HIT'* ]] ||
      wrong 'not from the cache' || return
    root=$(curl -sS --noproxy '*' "${CACHE%/v1}/v2/")
    approve
    started=$(date +%s%N)
    while [[ $(get "$path" | sha256sum) == "$before" ]]; do
      (($(date +%s%N) - started < 5000000000)) ||
        wrong "not visible within 5 s; the reader itself: $(behind "$path" "$before")" || return
    done
    times+="$((($(date +%s%N) - started) / 1000000))"$'\n'
    [[ $(curl -sS --noproxy '*' "${CACHE%/v1}/v2/") != "$root" ]] || wrong 'the root of /v2 is an old one' || return
  done
  until_delivered || return
  sort -n <<<"${times%$'\n'}" | awk -v n="$ROUNDS" '{ t[NR] = $1 } END {
    printf "%d publications visible after %d ms (median), %d ms (longest)\n", n, t[int((NR + 1) / 2)], t[NR]
    exit !(t[NR] < 1000) }'
}

who_may_purge() {
  local code
  code=$(status / -X BAN -H 'Surrogate-Key: main/drill monitor/changes')
  [[ $code == 200 ]] || wrong "$code for a good purge" || return
  for keys in '' 'a|b' '.*' 'a")' 'a  b'; do
    code=$(status / -X BAN -H "Surrogate-Key: $keys")
    [[ $code == 400 ]] || wrong "$code for the keys '$keys'" || return
  done
  # Another address of this machine.
  code=$(status / --interface 127.0.0.2 -X BAN -H 'Surrogate-Key: main/drill')
  [[ $code == 403 ]] || wrong "$code for a stranger" || return
  say 'keys only, and nobody else'
}

main "$@"
