#!/usr/bin/env bash
# Runs once, when the primary's database is made: passwords for the roles of roles.sql, and whom the
# standby logs in as.
set -euo pipefail
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" <<'SQL'
alter role countersign_writer login password 'writer';
alter role countersign_reader login password 'reader';
create role replicator login replication password 'replicator';
SQL
echo 'host replication replicator all scram-sha-256' >>"$PGDATA/pg_hba.conf"
