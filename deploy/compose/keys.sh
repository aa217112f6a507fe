#!/usr/bin/env bash
# Makes the signing key, unless there is one.
set -euo pipefail
if [[ ! -f /private/private-key.pem ]]; then
  countersign-writer keygen --out /private
fi
install -m 644 /private/public-key.pem /public/public-key.pem
# The servers run as this user.
chown -R 10001:10001 /private
