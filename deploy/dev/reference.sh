# shellcheck shell=bash
# The reference on the PostgreSQL of stack.sh, to measure beside it: Kinto with the plug-in
# kinto-remote-settings, served by granian as Mozilla's image does. Sourced only, after stack.sh.
#
# It is not on PyPI, and nothing here fetches it: REFERENCE_BIN is the `bin` of a Python environment
# in which Kinto, granian and the plug-in are installed (docs/performance.md says how). Without it,
# `reference_wanted` fails, and the benches measure without a reference.
#
#   reference_wanted              whether there is one; ends the script where it is incomplete
#   reference_prepare DATABASE    its database and tables, its configuration
#   reference_start CPUS          starts it and waits: URL in REFERENCE, PID in REFERENCE_PID
#   reference_end                 SIGTERM, and waits
# shellcheck source-path=SCRIPTDIR source=kinto.sh
source "$(dirname "${BASH_SOURCE[0]}")/kinto.sh"

REFERENCE_BIN=${REFERENCE_BIN:-} REFERENCE='' REFERENCE_PID=''
# As the image sets it: so many requests at once in its one process; granian makes up to 16 threads.
readonly REFERENCE_BACKPRESSURE=32

reference_wanted() {
  [[ -n $REFERENCE_BIN ]] || return 1
  if [[ ! -x $REFERENCE_BIN/kinto || ! -x $REFERENCE_BIN/granian ]] ||
    ! "$REFERENCE_BIN/python" -c 'import kinto_remote_settings' 2>/dev/null; then
    give_up "$EX_CONFIG" \
      "REFERENCE_BIN=$REFERENCE_BIN: kinto, granian or kinto_remote_settings is missing."
  fi
}

# The same resources, key and review as ours (stack.sh). Less than in production, in its favour: no
# history, attachments, notifications or metrics, and hardly any log.
reference_prepare() {
  KINTO_BIN=$REFERENCE_BIN
  KINTO_DATABASE=$1
  KINTO_SETTINGS=(
    'kinto.batch_max_requests = 1000'
    'kinto.changes.resources = /buckets/main /buckets/main-preview'
    'kinto.signer.resources = /buckets/main-workspace -> /buckets/main-preview -> /buckets/main'
    'kinto.signer.to_review_enabled = true'
    'kinto.signer.signer_backend = kinto_remote_settings.signer.backends.local_ecdsa'
    "kinto.signer.ecdsa.private_key = $STACK/keys/private-key.pem"
  )
  kinto_prepare kinto_remote_settings
  say 'from os import environ' 'from pyramid.paster import get_app' \
    'app = get_app(environ["KINTO_INI"])' >"$STACK/reference.py"
}

# shellcheck disable=SC2004,SC2034 # used by those that source this file, or of stack.sh
reference_start() {
  # It listens seconds after it was started: another bench on this machine looks elsewhere.
  KINTO_PORT=$(free_port $((22000 + RANDOM % 6000)))
  KINTO=http://127.0.0.1:$KINTO_PORT/v1
  REFERENCE=$KINTO
  PYTHONWARNINGS=ignore PYTHONPATH=$STACK KINTO_INI=$STACK/kinto.ini become "$ME" TERM taskset -c "$1" \
    "$REFERENCE_BIN/granian" reference:app --interface wsgi --host 127.0.0.1 --port "$KINTO_PORT" \
    --workers 1 --backpressure "$REFERENCE_BACKPRESSURE" --log-level warning \
    </dev/null >>"$STACK/logs/kinto.log" 2>&1 &
  REFERENCE_PID=$!
  CHILDREN[$REFERENCE_PID]=1
  kinto_await "$REFERENCE_PID"
}

reference_end() {
  end_process "$REFERENCE_PID" TERM KILL
  unset "CHILDREN[$REFERENCE_PID]"
  REFERENCE_PID=
}
