# shellcheck shell=bash
# Trials one after the other, and the table of what they found. Sourced only, after `stack.sh`.

FAILURES=0 RESULTS=()

# trial TITLE FUNCTION: the function prints what it found, and fails when a promise was broken. It
# runs in this shell, since it starts and ends servers. ONLY, a regular expression, leaves out other titles.
trial() {
  [[ $1 =~ ${ONLY:-} ]] || return 0
  local verdict=passed start=$SECONDS
  : >"$STACK/found"
  "$2" >"$STACK/found" 2>"$STACK/logs/$2.log" || verdict=FAILED
  if [[ $verdict == FAILED ]]; then
    FAILURES=$((FAILURES + 1))
    KEEP=1
    tail -n 5 "$STACK/logs/$2.log" >&2
  fi
  RESULTS+=("| $1 | $verdict | $((SECONDS - start)) s | $(paste -sd' ' "$STACK/found") |")
  say "${RESULTS[-1]}"
}

# wrong TEXT: says why a trial fails, for `… || wrong … || return`.
wrong() {
  say "$1" >&2
  return 1
}

# Prints the table, and fails if any did.
end_trials() {
  say '' '| trial | verdict | time | found |' '|---|---|---|---|' "${RESULTS[@]}" ''
  ((FAILURES == 0)) || failed "$FAILURES of ${#RESULTS[@]} trials failed"
}
