#!/bin/sh
# Makes the database by the variables of the official image, if its volume is empty, and starts the server.
set -eu

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    mkdir -p "$PGDATA"
    # shellcheck disable=SC2086 # several options
    initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" $POSTGRES_INITDB_ARGS
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    pg_ctl --pgdata "$PGDATA" --wait --options "-c listen_addresses='' -c unix_socket_directories=/tmp" start
    PGPASSWORD=$(cat "$POSTGRES_PASSWORD_FILE") createdb --host /tmp --username "$POSTGRES_USER" "$POSTGRES_DB"
    pg_ctl --pgdata "$PGDATA" --wait --mode fast stop
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories=/tmp
