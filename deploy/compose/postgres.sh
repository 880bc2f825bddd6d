#!/usr/bin/env bash
# Dump and fill databases of an installation by Compose with its server's own programs, where the host has none.
#   usage: postgres.sh dump FOLDER           both databases, each into FOLDER/NAME.dump
#          postgres.sh fill DATABASE FILE    a new database with what a dump holds
# Which installation: COMPOSE_PROJECT_NAME, or that of compose.yaml. Unlike `fintech backup` a dump keeps no sums by which
# a restore could prove itself, and each database is of its own moment.
set -euo pipefail

readonly DATABASES=(fintech fintech_dagster)
here=$(dirname "$0")

in_server() { # PROGRAM ARGUMENT...
    # shellcheck disable=SC2016 # the container's shell reads the secret
    docker compose --file "$here/../compose.yaml" exec --no-TTY postgres \
        sh -c 'PGPASSWORD=$(cat /run/secrets/POSTGRES_PASSWORD) exec "$0" --host 127.0.0.1 --username fintech "$@"' "$@"
}

dump() { # FOLDER
    local database
    umask 077 # hashes of passwords, and everybody's portfolios
    mkdir -p "$1"
    for database in "${DATABASES[@]}"; do
        in_server pg_dump --format custom "$database" >"$1/$database.part"
        mv "$1/$database.part" "$1/$database.dump" # whole, or not there under its name
    done
}

fill() { # DATABASE FILE
    [ -r "$2" ] || {
        echo "error: $2 cannot be read; name a file that \`$0 dump\` has written" >&2
        return 1
    }
    in_server createdb --template template0 "$1" </dev/null
    in_server pg_restore --exit-on-error --dbname "$1" <"$2"
}

case "${1-}:$#" in
    dump:2) dump "$2" ;;
    fill:3) fill "$2" "$3" ;;
    *)
        sed -n '3,4s/^# *//p' "$0" >&2
        exit 2
        ;;
esac
