#!/usr/bin/env bash
# A hot standby: a copy of the primary, which follows it.
set -euo pipefail
# The image lets everybody write there, which a server refuses.
chmod 700 "$PGDATA"
if [[ ! -s $PGDATA/PG_VERSION ]]; then
  # Without -c fast it waits for the next checkpoint: minutes.
  pg_basebackup -h primary -U replicator -D "$PGDATA" -R -X stream -c fast
fi
# -R has written where the primary is, but for the password.
export PGPASSWORD
exec postgres -c hot_standby=on
