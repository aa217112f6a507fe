#!/usr/bin/env bash
# The part of `make bench` that signs and verifies, apart from everything else: no database, no server.
# Beside it the reference's own libraries, where REFERENCE_BIN is the `bin` of a Python environment
# that has them (`canonicaljson-rs`, `ecdsa`; `cryptography` is measured as well).
#
# From the environment: SIGNING_ROUNDS (21), BIN (target/release), REFERENCE_BIN.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
BIN=${BIN:-${CARGO_TARGET_DIR:-$ROOT/target}/release}
SIGNING_ROUNDS=${SIGNING_ROUNDS:-21}
REFERENCE_BIN=${REFERENCE_BIN:-}
readonly SIZES=(100 10000)
PLACE=''
# Microseconds, by `size.who.step`.
declare -A MICROS=()

main() {
  [[ $SIGNING_ROUNDS =~ ^[1-9][0-9]{0,2}$ ]] ||
    give_up "$EX_CONFIG" 'SIGNING_ROUNDS is a number from 1 to 999.'
  local size step
  for step in countersign-writer countersign-load; do
    [[ -x $BIN/$step ]] || give_up "$EX_UNAVAILABLE" "$BIN/$step is missing: run \`make bench\`."
  done
  PLACE=$(mktemp -d /tmp/countersign-signing-XXXXXX)
  trap 'rm -rf "$PLACE"' EXIT
  "$BIN/countersign-writer" pki dev --dir "$PLACE" >/dev/null
  for size in "${SIZES[@]}"; do measure "$size"; done
  say "Signing and verifying, medians of $SIGNING_ROUNDS, µs:" '' \
    "| what | by |$(printf ' %s records |' "${SIZES[@]}")" '|---|---|---|---|'
  row canonical ours 'canonical JSON' 'ours'
  row digest ours 'SHA-384 alone' 'aws-lc'
  row sign ours 'P-384 signature, SHA-384 included' 'RustCrypto'
  row verify ours 'its verification, SHA-384 included' 'aws-lc'
  row sign-little ours 'P-384 signature of 2 bytes' 'RustCrypto'
  row chain ours 'a chain of three certificates, read and verified' 'aws-lc, webpki'
  [[ $REFERENCE_BIN ]] || return 0
  row canonical reference 'canonical JSON' 'the reference: canonicaljson-rs'
  row sign reference 'P-384 signature, SHA-384 included' 'the reference: ecdsa'
  row verify reference 'its verification, SHA-384 included' 'the reference: ecdsa'
  row sign-little reference 'P-384 signature of 2 bytes' 'the reference: ecdsa'
  row openssl-sign reference 'P-384 signature, SHA-384 included' 'OpenSSL, from Python'
  row openssl-verify reference 'its verification, SHA-384 included' 'OpenSSL, from Python'
}

# measure SIZE
measure() {
  local key=$PLACE/remote-settings/current/private-key.pem
  note_all "$1.ours" < <("$BIN/countersign-load" primitives --key "$key" --records "$1" \
    --chain "${key%/*}/chain.pem" --rounds "$SIGNING_ROUNDS" --save "$PLACE")
  [[ ${MICROS[$1.ours.chain]:-} ]] || give_up 1 'The measurement failed.'
  [[ $REFERENCE_BIN ]] || return 0
  note_all "$1.reference" < <("$REFERENCE_BIN/python" "$ROOT/loadtests/primitives.py" "$PLACE" \
    "$key" "$SIGNING_ROUNDS")
  [[ ${MICROS[$1.reference.sign]:-} ]] || give_up 1 "REFERENCE_BIN=$REFERENCE_BIN: it failed."
}

# note_all PREFIX: lines of a name and a number.
note_all() {
  local name number
  while read -r name number; do MICROS[$1.$name]=$number; done
}

# row STEP WHO TEXT BY: nothing, where it was not measured.
row() {
  local size figures=''
  [[ ${MICROS[${SIZES[0]}.$2.$1]:-} ]] || return 0
  for size in "${SIZES[@]}"; do figures+=" ${MICROS[$size.$2.$1]} |"; done
  say "| $3 | $4 |$figures"
}

main "$@"
