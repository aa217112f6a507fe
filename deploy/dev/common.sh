# shellcheck shell=bash
# What the scripts of this directory share: messages, and how they start processes. Sourced only.

# Exit codes, as in sysexits.h.
# shellcheck disable=SC2034 # used by those that source this file
readonly EX_UNAVAILABLE=69 EX_TEMPFAIL=75 EX_NOPERM=77 EX_CONFIG=78

# One line for each argument.
say() { printf '%s\n' "$@"; }

# give_up CODE MESSAGE…: one line each.
give_up() {
  local code=$1
  shift
  printf '%s\n' "$@" >&2
  exit "$code"
}

# interruptible COMMAND…: runs it in the foreground, yet lets a signal end the script at once. Bash
# runs traps only while it waits, so the command goes to the background (with our standard input and
# with Ctrl-C as in the foreground), and the script's EXIT trap calls `end_interruptible`.
interruptible() {
  env --default-signal=INT,QUIT -- "$@" <&0 9>&- &
  INTERRUPTIBLE_PID=$!
  local code=0
  # Silenced, or bash would report how the command died.
  wait "$INTERRUPTIBLE_PID" 2>/dev/null || code=$?
  INTERRUPTIBLE_PID=
  return "$code"
}

end_interruptible() {
  [[ -n ${INTERRUPTIBLE_PID:-} ]] || return 0
  kill -TERM "$INTERRUPTIBLE_PID" 2>/dev/null || true
  wait "$INTERRUPTIBLE_PID" 2>/dev/null || true
}

# become USER SIGNAL COMMAND…: for `become … &`. The process gets a session of its own, because
# Ctrl-C is meant for the script, which then stops its children in order; and the kernel sends it
# SIGNAL when the script dies, so that even `kill -9` leaves nothing behind. File 9 is the lock of
# `make run`: a child must not hold it.
become() {
  local user=$1 signal=$2
  shift 2
  local -a switch=()
  if [[ $user != "$(id -un)" ]]; then
    switch=(--reuid="$user" --regid="$(id -g "$user")" --init-groups)
  fi
  exec 9>&-
  exec setsid setpriv "${switch[@]}" --pdeathsig="$signal" -- "$@"
}

# as_user USER COMMAND…: in `/`, because USER may not be allowed into the current directory.
as_user() (
  user=$1
  shift
  cd /
  [[ $user != "$(id -un)" ]] || exec "$@"
  exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups -- "$@"
)

# end_process PID SIGNAL LAST_SIGNAL: ends a child of ours and waits for it; LAST_SIGNAL after 15 s.
end_process() {
  local pid=$1 tries
  kill "-$2" "$pid" 2>/dev/null || true
  for ((tries = 0; tries < 300; tries++)); do
    is_running "$pid" || break
    sleep 0.05
  done
  ! is_running "$pid" || kill "-$3" "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

# A child that ended stays a zombie until it is waited for.
is_running() {
  local state
  state=$(sed -n 's/^State:[[:space:]]*//p' "/proc/$1/status" 2>/dev/null) && [[ $state && $state != Z* ]]
}
