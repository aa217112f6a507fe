#!/usr/bin/env bash
# `make clean-run`: forgets what `make run` keeps: the database, the keys, the configuration, the logs.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=postgres.sh
source "$(dirname "${BASH_SOURCE[0]}")/postgres.sh"
# shellcheck source-path=SCRIPTDIR source=private-run.sh
source "$(dirname "${BASH_SOURCE[0]}")/private-run.sh"

[[ -d $RUN ]] || exit 0
open_run_directory
home=$RUN/postgres
[[ ! -f $RUN/postgres-home ]] || home=$(<"$RUN/postgres-home")
# An earlier run that was killed may have left its server.
if [[ -d $home/data ]]; then
  PG_HOME=$home PG_DATA=$home/data PG_USER=$(stat -c %U "$home")
  postgres_end_leftovers
fi
# Outside of the checkout, we delete nothing but a name that we would have given.
case $home in
  "$RUN"/*) ;;
  /var/tmp/countersign-*) [[ $home == */../* ]] || rm -rf "$home" ;;
esac
# Kinto, installed for `make compat` and `make bench-api`, is no state of `make run`.
find "$RUN" -mindepth 1 -maxdepth 1 ! -name kinto -exec rm -rf {} +
rmdir --ignore-fail-on-non-empty "$RUN"
say 'Forgotten: .run/'
