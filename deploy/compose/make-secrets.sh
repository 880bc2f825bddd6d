#!/usr/bin/env bash
# Make the secrets of an installation by Compose, once: files that are there are left as they are.
#   usage: make-secrets.sh [FOLDER]
# The folder is closed to others. The files are not: in a container another user reads them.
set -euo pipefail

folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"

keep() { # NAME VALUE
    [ -e "$folder/$1" ] || (umask 222 && printf %s "$2" >"$folder/$1")
}

random() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }

for name in POSTGRES_PASSWORD REDIS_PASSWORD JWT_SECRET SERVICE_API_KEY GRAFANA_ADMIN_PASSWORD; do
    keep "$name" "$(random)"
done
server="fintech:$(cat "$folder/POSTGRES_PASSWORD")@postgres:5432"
keep DATABASE_URL "postgresql://$server/fintech"
# SQLAlchemy 2.1 takes a bare postgresql:// for psycopg 3, with which dagster-postgres cannot write events.
keep DAGSTER_DATABASE_URL "postgresql+psycopg2://$server/fintech_dagster"
keep REDIS_URL "redis://:$(cat "$folder/REDIS_PASSWORD")@valkey:6379/0"
# Where alerts go is for you to write; until then they go nowhere.
keep SLACK_WEBHOOK_URL ""
keep PAGERDUTY_ROUTING_KEY ""
