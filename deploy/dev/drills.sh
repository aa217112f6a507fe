#!/usr/bin/env bash
# `make drills`: faults of databases, and of what lies between, one after the other. Started by
# `with-postgres.sh`. How long is told by DRILL_SECONDS, DRILL_DURATION, DRILL_KILLS,
# DRILL_FLOOD and DRILL_LONGEST_MS (loadtests/tests/drills/main.rs, reader/tests/it/flood.rs).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

one_by_one() { cargo test --locked "$@" --nocapture --test-threads=1; }

one_by_one -p countersign-loadtests --test drills --
one_by_one -p countersign-reader --test it -- disk:: pooler:: flood:: \
  http2:: http2_floods:: overload:: clock:: starved::
