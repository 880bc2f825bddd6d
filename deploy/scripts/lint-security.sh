#!/usr/bin/env bash
# Ask what is known to be dangerous in the code (bandit), the locks (pip-audit) and the workflows (zizmor).
# For `make audit`; pip-audit needs the network, and zizmor, for what GitHub knows of the actions, a GH_TOKEN.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly BIN=.venv/bin

echo "bandit: pipeline serving fintech deploy"
# These are S104, S310 and S608 of ruff, where each exception is explained beside it.
$BIN/bandit --quiet --severity-level medium --skip B104,B310,B608 --recursive pipeline serving fintech deploy

echo "zizmor: .github"
options=(--no-progress --quiet)
[ -n "${GH_TOKEN:-}" ] || options+=(--offline)
$BIN/zizmor "${options[@]}" .github

for lock in requirements/*.lock; do
    echo "pip-audit: $lock"
    $BIN/pip-audit --requirement "$lock" --require-hashes --disable-pip --progress-spinner off
done
