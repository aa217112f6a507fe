# shellcheck shell=bash
# Kinto on the PostgreSQL of stack.sh, to measure beside it. Sourced only, after stack.sh.
#
#   kinto_install            Kinto from PyPI into .run/kinto, as for `make compat`; or KINTO_BIN
#   kinto_prepare INCLUDES   its database and tables, its configuration, its port: URL in KINTO
#   kinto_start              starts it and waits until it answers
#   kinto_await PID          waits until it answers
# shellcheck source-path=SCRIPTDIR source=python-env.sh
source "$(dirname "${BASH_SOURCE[0]}")/python-env.sh"

KINTO='' KINTO_DATABASE=kinto
# Further lines of its configuration.
KINTO_SETTINGS=()

kinto_install() {
  ROOT=$STACK_ROOT
  if [[ -z ${KINTO_BIN:-} ]]; then
    python_env "$ROOT/.run/kinto" 11 "kinto[postgresql]==$KINTO_VERSION"
    KINTO_BIN=$ROOT/.run/kinto/bin
  fi
  [[ -x $KINTO_BIN/kinto ]] || give_up "$EX_CONFIG" "KINTO_BIN=$KINTO_BIN: no kinto there."
}

kinto_prepare() {
  KINTO_PORT=$(free_port $((R + 1)))
  KINTO=http://127.0.0.1:$KINTO_PORT/v1
  postgres_psql postgres -c "create database $KINTO_DATABASE"
  kinto_ini "$1" >"$STACK/kinto.ini"
  "$KINTO_BIN/kinto" migrate --ini "$STACK/kinto.ini" >"$STACK/logs/kinto.log" 2>&1 ||
    failed "Kinto's migration failed" kinto
}

# `kinto start` with its own server and its defaults, but that it logs as little as the writer does.
kinto_ini() {
  cat <<INI
[server:main]
use = egg:waitress#main
host = 127.0.0.1
port = $KINTO_PORT
[app:main]
use = egg:kinto
kinto.userid_hmac_secret = of this one run
multiauth.policies = basicauth
kinto.includes = $1
$(kinto_backends "${KINTO_SETTINGS[@]}")
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = ERROR
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stderr,)
formatter = plain
[formatter_plain]
format = %(message)s
INI
}

# kinto_backends LINE…: and these lines.
kinto_backends() {
  local backend
  (($# == 0)) || say "$@"
  for backend in storage cache permission; do
    say "kinto.${backend}_backend = kinto.core.$backend.postgresql" \
      "kinto.${backend}_url = postgresql://$PG_ROLE@/$KINTO_DATABASE?host=$PG_SOCKETS"
  done
}

kinto_start() {
  # Warnings of its libraries.
  PYTHONWARNINGS=ignore become "$ME" TERM "$KINTO_BIN/kinto" start --ini "$STACK/kinto.ini" \
    </dev/null >>"$STACK/logs/kinto.log" 2>&1 &
  local pid=$!
  CHILDREN[$pid]=1
  kinto_await "$pid"
}

kinto_await() {
  local deadline=$((SECONDS + 60))
  until curl -fsS -o /dev/null --max-time 2 --noproxy '*' "$KINTO/__heartbeat__" 2>/dev/null; do
    is_running "$1" || failed 'Kinto ended while starting' kinto
    ((SECONDS < deadline)) || failed 'Kinto did not answer within 60 s' kinto
    sleep 0.1
  done
}
