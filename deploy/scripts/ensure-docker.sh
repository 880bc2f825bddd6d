#!/usr/bin/env bash
# Have a Docker engine that `make test-containers` can use: install Debian's and start it where that is possible.
#   usage: ensure-docker.sh
# Answers 0 if an engine runs, else 1 after one line that says why the container tests will be skipped.
set -euo pipefail

readonly START_SECONDS=30
readonly LOG=/var/log/dockerd.log

give_up() {
    echo "no Docker engine ($1): the container tests will be skipped" >&2
    exit 1
}

answers() { docker version >/dev/null 2>&1; }

! answers || exit 0
[ "$(id -u)" = 0 ] || give_up "none answers, and only root can start one"
if ! command -v dockerd >/dev/null; then
    command -v apt-get >/dev/null || give_up "none is installed, and there is no apt-get"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || give_up "the package lists could not be fetched"
    apt-get install -y -qq --no-install-recommends docker.io >/dev/null || give_up "docker.io could not be installed"
fi
# Where there is an init system the package has started it already.
for _ in 1 2 3; do
    ! answers || exit 0
    sleep 1
done
setsid nohup dockerd >"$LOG" 2>&1 </dev/null &
for _ in $(seq "$START_SECONDS"); do
    ! answers || exit 0
    sleep 1
done
give_up "dockerd does not start: $(tail -n 1 "$LOG")"
