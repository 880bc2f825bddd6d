#!/usr/bin/env bash
# Have what `make test-containers` needs: a Docker engine, Compose v2 and a registry. Installs Debian's where that is
# possible, and starts the engine.
#   usage: ensure-docker.sh
# Answers 0 if all of it is there, else 1 after one line that says why the container tests will be skipped.
set -euo pipefail

readonly START_SECONDS=30
readonly LOG=/var/log/dockerd.log
readonly PLUGINS=/usr/local/lib/docker/cli-plugins
# Debian 12 has Compose v1 alone. The plug-in of its successor is one static file that needs nothing of that release.
readonly SUITE_WITH_COMPOSE=trixie
readonly ARCHIVE_KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

give_up() {
    echo "the container tests will be skipped: $1" >&2
    exit 1
}

answers() { docker version >/dev/null 2>&1; }

install_packages() {
    command -v apt-get >/dev/null || give_up "there is no apt-get to install $* with"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq || give_up "the package lists could not be fetched"
    apt-get install -y -qq --no-install-recommends "$@" >/dev/null || give_up "$* could not be installed"
}

start_engine() {
    # Where there is an init system the package has started it already.
    for _ in 1 2 3; do
        ! answers || return 0
        sleep 1
    done
    setsid nohup dockerd >"$LOG" 2>&1 </dev/null &
    for _ in $(seq "$START_SECONDS"); do
        ! answers || return 0
        sleep 1
    done
    give_up "dockerd does not start: $(tail -n 1 "$LOG")"
}

# apt fetches and checks the package as any other, but by lists of its own: the system's sources stay as they are.
install_compose() {
    local folder mirror
    folder=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$folder'" EXIT
    mirror=$(awk '/^URIs:/ { print $2; exit } /^deb / { print $(NF - 2); exit }' /etc/apt/sources.list.d/debian.sources \
        /etc/apt/sources.list 2>/dev/null || true)
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial" "$PLUGINS"
    echo "deb [signed-by=$ARCHIVE_KEYS] ${mirror:-http://deb.debian.org/debian} $SUITE_WITH_COMPOSE main" \
        >"$folder/sources.list"
    local apt=(apt-get -qq -o "Dir::Etc::sourcelist=$folder/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$folder/lists" -o "Dir::Cache=$folder/cache" -o APT::Sandbox::User=root)
    "${apt[@]}" update || give_up "the package lists of $SUITE_WITH_COMPOSE could not be fetched"
    (cd "$folder" && "${apt[@]}" download docker-compose) || give_up "docker-compose could not be fetched"
    dpkg-deb -x "$folder"/docker-compose_*.deb "$folder/unpacked"
    install -m 755 "$(find "$folder/unpacked" -path '*cli-plugins/docker-compose' -type f)" "$PLUGINS/docker-compose"
}

is_root() { [ "$(id -u)" = 0 ]; }

if ! answers; then
    is_root || give_up "no Docker engine answers, and only root can start one"
    command -v dockerd >/dev/null || install_packages docker.io
    start_engine
fi
if ! command -v docker-registry >/dev/null; then
    is_root || give_up "docker-registry is missing, and only root can install it"
    install_packages docker-registry
fi
if ! docker compose version >/dev/null 2>&1; then
    is_root || give_up "docker compose is missing, and only root can install it"
    install_compose
fi
