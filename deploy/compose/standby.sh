#!/usr/bin/env bash
# A hot standby: a copy of the primary, which follows it.
set -euo pipefail
if [[ ! -s $PGDATA/PG_VERSION ]]; then
  pg_basebackup -h primary -U replicator -D "$PGDATA" -R -X stream -C -S standby
fi
# -R has written where the primary is, but for the password.
export PGPASSWORD
exec postgres -c hot_standby=on
