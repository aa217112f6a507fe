#!/usr/bin/env bash
# `make soak`: publications and polls for SOAK_MINUTES (60), and whether the servers grow meanwhile.
#
# PUBLICATIONS (2) a second, of COLLECTIONS (100) in turn, a few kilobytes each; POLLS (300) a second of
# the monitor, of whole changesets and of deltas of any age, in every encoding, each of which must
# verify. What reader and writer take is a line of CSV (.run/soak/soak.csv) each half minute: memory
# (RSS, of that its own, files in memory), descriptors, threads, and what the reader says that it keeps. Fails on a wrong answer, and when the median memory
# of the last quarter is more than 10 %, or 10 MiB, above that of the second one.
#
# Everything else is private to the run. From the environment also: BIN (target/release), PG_BINDIR.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../../loadtests/stack.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../loadtests/stack.sh"

SOAK_MINUTES=${SOAK_MINUTES:-60}
PUBLICATIONS=${PUBLICATIONS:-2} COLLECTIONS=${COLLECTIONS:-100} POLLS=${POLLS:-300}
CSV=${CSV:-$STACK_ROOT/.run/soak/soak.csv}
[[ $CSV == /* ]] || CSV=$PWD/$CSV

main() {
  [[ $SOAK_MINUTES =~ ^[1-9][0-9]{0,3}$ ]] ||
    give_up "$EX_CONFIG" 'SOAK_MINUTES is a number from 1 to 9999.'
  stack_open soak
  mkdir -p "$(dirname "$CSV")"
  stack_database
  stack_configure 1000
  # Full before the second quarter of the time, also of a short one.
  say 'cache.max_bytes = 8388608' >>"$STACK/reader.toml"
  stack_start writer
  stack_start reader
  say "Publishing and polling for $SOAK_MINUTES minutes; samples in $CSV …" >&2
  become "$ME" TERM "$BIN/countersign-load" soak --writer "$WRITER" --reader "$READER" \
    --public-key "$KEY" --watch "reader=$READER_PID" --watch "writer=$WRITER_PID" \
    --minutes "$SOAK_MINUTES" --publications "$PUBLICATIONS" --polls "$POLLS" \
    --collections "$COLLECTIONS" --csv "$CSV" </dev/null &
  local pid=$! code=0
  CHILDREN[$pid]=1
  wait "$pid" || code=$?
  unset "CHILDREN[$pid]"
  ((code == 0)) || failed "The soak failed"
}

main "$@"
