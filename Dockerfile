# One file, a target an image: market-data-ingestion, python-risk-engine, portfolio-simulation,
# ai-microservice-engine, backend-api, dagster-host.
#   docker build --target python-risk-engine -t python-risk-engine \
#       --label org.opencontainers.image.revision="$(git rev-parse HEAD)" .
# So are version, source and created. None is an ARG: with another value, every layer would be built again. Nor can an
# image know its digest: who deploys it sets DAGSTER_CURRENT_IMAGE, by which runs get the image that made their plan.
# What two builds share bit by bit: the packages, by hash, their bytecode, which knows no times, and the base, by digest
# if PYTHON_IMAGE has one. Times of files are SOURCE_DATE_EPOCH where BuildKit (0.13) writes them:
#   --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" --output type=image,rewrite-timestamp=true
# It needs BuildKit, but no `# syntax=` line and no heredoc: the engine of Debian stable builds it without
# fetching a newer frontend. Behind a mirror or a CA of your own, name a base image that knows them (its
# /etc/pip.conf, /etc/uv/uv.toml and CA bundle are used): --build-arg PYTHON_IMAGE=…; a digest goes there too.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

# Lent to single steps of the other stages; nothing of it is in an image.
FROM ${PYTHON_IMAGE} AS tools
COPY requirements/uv.lock /locks/
RUN pip install --no-cache-dir --root-user-action=ignore --require-hashes -r /locks/uv.lock
COPY requirements /locks
COPY deploy/scripts/install-locks.sh deploy/scripts/share-libpq.py deploy/scripts/cut-symbols.py \
    deploy/scripts/keep-bytecode.py deploy/scripts/unpack-bytecode.py /

# This project without its dependencies: the same small layer in every image, the only one that new code changes.
FROM tools AS code
RUN --mount=type=cache,target=/root/.cache/uv \
    uv venv --quiet /opt/app && uv pip sync --quiet --python /opt/app --require-hashes /locks/serving.lock
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
COPY serving serving
COPY fintech fintech
COPY deploy deploy
# Sources stay beside their bytecode, which never asks for their times: numba's cache, Alembic and tracebacks read them.
ENV PYTHONHASHSEED=0 PYC_INVALIDATION_MODE=UNCHECKED_HASH
RUN /opt/app/bin/python -m hatchling build --target wheel --directory /wheel \
    && uv pip install --quiet --python /opt/app --no-deps --compile-bytecode --target /opt/fintech /wheel/*.whl \
    && rm -f /opt/fintech/.lock
# Beside the packages, where `fintech migrate` looks for it.
COPY dagster.yaml /opt/fintech/

# What every image runs in: no installer, no root, nothing to write to but /tmp and Dagster's storage.
FROM ${PYTHON_IMAGE} AS runtime
RUN pip uninstall --quiet --yes --root-user-action=ignore pip \
    && useradd --uid 10001 --create-home app \
    && install -d -o app -g app /opt/dagster/home/storage
COPY dagster.yaml /opt/dagster/home/
ENV PATH=/opt/app/bin:/opt/fintech/bin:${PATH} PYTHONPATH=/opt/fintech VIRTUAL_ENV=/opt/app PYTHONUNBUFFERED=1 \
    FINTECH_ENV=production FINTECH_DATA_DIR=/tmp/fintech HOST=0.0.0.0 NUMBA_CACHE_DIR=/tmp/numba \
    DAGSTER_HOME=/opt/dagster/home DAGSTER_DISABLE_TELEMETRY=yes DAGSTER_EVENT_BATCH_SIZE=1000
WORKDIR /home/app
LABEL org.opencontainers.image.vendor="fintech-platform" org.opencontainers.image.licenses="Apache-2.0"

# The services' dependencies, a layer that five images share. None reads an exchange's calendar or a table of pandas:
# only market data and the optimizer of portfolios do, 40 MB.
FROM runtime AS services
RUN --mount=type=bind,from=tools,target=/mnt --mount=type=cache,target=/root/.cache/uv \
    /mnt/install-locks.sh serving --without exchange-calendars korean-lunar-calendar pandas pyluach toolz

FROM services AS backend-api
RUN --mount=type=bind,from=tools,target=/mnt --mount=type=cache,target=/root/.cache/uv \
    /mnt/install-locks.sh gateway --without exchange-calendars korean-lunar-calendar pandas pyluach toolz
COPY --from=code /opt/fintech /opt/fintech
USER 10001
ENV PORT=3000
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=10s --start-period=30s \
    CMD ["sh", "-c", "exec python -m deploy.probe http:$PORT/health"]
CMD ["python", "-m", "serving", "backend-api"]
LABEL org.opencontainers.image.title="backend-api" \
    org.opencontainers.image.description="The API over all that the pipeline has computed."

# A domain image is its code location (gRPC on 4000), or with `python -m serving NAME` its HTTP service.
FROM services AS location
EXPOSE 4000
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s \
    CMD ["sh", "-c", "exec python -m deploy.probe grpc:4000 http:$PORT/health"]

# Of skfolio only the data files are read, never the code: what it alone computes with stays outside, 200 MB.
# Not cffi: passwords are checked with it.
FROM location AS market-data-ingestion
RUN --mount=type=bind,from=tools,target=/mnt --mount=type=cache,target=/root/.cache/uv \
    /mnt/install-locks.sh market-data serving --without clarabel cloudpickle cvxpy-base joblib narwhals plotly qdldl \
    scikit-learn sparsediffpy threadpoolctl
COPY --from=code /opt/fintech /opt/fintech
USER 10001
ENV PORT=8002
EXPOSE 8002
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "pipeline.market_data.definitions"]
LABEL org.opencontainers.image.title="market-data-ingestion" \
    org.opencontainers.image.description="Instruments, prices and exchange rates: code location and HTTP service."

FROM location AS risk-packages
RUN --mount=type=bind,from=tools,target=/mnt --mount=type=cache,target=/root/.cache/uv \
    /mnt/install-locks.sh risk serving --without exchange-calendars korean-lunar-calendar pandas pyluach toolz

# The code with the kernels that a run calls, compiled: 40 s of a core that a container's first answers need not wait
# for. The one part that two builds do not make alike. The inner shell knows what the processor can run.
FROM risk-packages AS compiled
COPY --from=code /opt/fintech /opt/fintech
COPY deploy/scripts/with-kernels.sh /opt/fintech/bin/with-kernels
# hadolint ignore=SC2016
RUN FINTECH_ENV=local FINTECH_STORED_MODELS=stationary_bootstrap,student_t,gbm,filtered_historical,t_copula \
    NUMBA_CACHE_DIR=/opt/fintech/kernels with-kernels sh -c \
    'install -d "$NUMBA_CACHE_DIR"; [ -z "${NUMBA_CPU_NAME-}" ] || python -m fintech.rehearsal "$NUMBA_CACHE_DIR"'

FROM risk-packages AS python-risk-engine
COPY --from=compiled /opt/fintech /opt/fintech
USER 10001
ENTRYPOINT ["with-kernels"]
ENV PORT=8000
EXPOSE 8000
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "pipeline.risk.definitions"]
LABEL org.opencontainers.image.title="python-risk-engine" \
    org.opencontainers.image.description="Risk of instruments and portfolios: code location and HTTP service."

# cvxpy loads sparsediffpy, 40 MB, for problems that are not convex, of which there are none.
FROM location AS portfolio-simulation
RUN --mount=type=bind,from=tools,target=/mnt --mount=type=cache,target=/root/.cache/uv \
    /mnt/install-locks.sh simulation serving --statistics --without exchange-calendars korean-lunar-calendar pyluach \
    sparsediffpy
COPY --from=compiled /opt/fintech /opt/fintech
USER 10001
ENTRYPOINT ["with-kernels"]
ENV PORT=8001
EXPOSE 8001
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "pipeline.simulation.definitions"]
LABEL org.opencontainers.image.title="portfolio-simulation" \
    org.opencontainers.image.description="Simulated outcomes of portfolios: code location and HTTP service."

FROM location AS ai-microservice-engine
RUN --mount=type=bind,from=tools,target=/mnt --mount=type=cache,target=/root/.cache/uv \
    /mnt/install-locks.sh forecast serving --without exchange-calendars korean-lunar-calendar pandas pyluach toolz
COPY --from=compiled /opt/fintech /opt/fintech
USER 10001
ENTRYPOINT ["with-kernels"]
ENV PORT=8003
EXPOSE 8003
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "pipeline.forecast.definitions"]
LABEL org.opencontainers.image.title="ai-microservice-engine" \
    org.opencontainers.image.description="Forecasts of volatility and returns: code location and HTTP service."

# Dagster's webserver; its daemon is the same image with `dagster-daemon run`. It holds none of the project's code,
# nor what only that code needs. The webserver has no login: never publish its port.
FROM runtime AS dagster-host
RUN --mount=type=bind,from=tools,target=/mnt --mount=type=cache,target=/root/.cache/uv \
    /mnt/install-locks.sh dagster-host --without aiohttp exchange-calendars korean-lunar-calendar numpy pandas psycopg \
    psycopg-binary pydantic-settings pyluach toolz
COPY --from=code /opt/fintech/deploy/probe.py /opt/fintech/deploy/on_render.py /opt/fintech/deploy/
COPY --from=code /opt/fintech/deploy/__pycache__/probe.*.pyc /opt/fintech/deploy/__pycache__/on_render.*.pyc \
    /opt/fintech/deploy/__pycache__/
COPY deploy/workspace.yaml /opt/dagster/home/
COPY deploy/render/workspace.yaml /opt/dagster/home/render-workspace.yaml
USER 10001
WORKDIR /opt/dagster/home
ENV PORT=3030
EXPOSE 3030
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s \
    CMD ["sh", "-c", "exec python -m deploy.probe http:$PORT/server_info"]
CMD ["sh", "-c", "exec dagster-webserver -h 0.0.0.0 -p $PORT"]
LABEL org.opencontainers.image.title="dagster-host" \
    org.opencontainers.image.description="Dagster's webserver and daemon, over the code locations of workspace.yaml."
