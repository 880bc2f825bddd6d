# One file, a target an image: market-data-ingestion, python-risk-engine, portfolio-simulation,
# ai-microservice-engine, backend-api, dagster-host. Each installs its slice's lock alone, hashes checked.
#   docker build --target python-risk-engine -t python-risk-engine .
# A domain image serves its code location by default and its HTTP service by `python -m serving NAME`.
# No `# syntax=` line and no heredoc, so that the engines of Debian stable build it too.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS tools
COPY requirements/uv.lock requirements/build.in /locks/
RUN pip install --no-cache-dir --root-user-action=ignore --require-hashes -r /locks/uv.lock
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_PROGRESS=1
WORKDIR /src

# The distribution itself, without its dependencies: the same wheel in every image.
FROM tools AS wheel
COPY requirements/serving.lock /locks/
RUN --mount=type=cache,target=/root/.cache/uv uv venv -q /build \
    && uv pip sync -q --python /build/bin/python --require-hashes /locks/serving.lock
COPY pyproject.toml README.md LICENSE ./
COPY pipeline pipeline
COPY serving serving
COPY fintech fintech
COPY deploy deploy
RUN /build/bin/python -m hatchling build -t wheel -d /wheel

FROM tools AS installed-market-data
COPY requirements/market-data.lock requirements/serving.lock /locks/
RUN --mount=type=cache,target=/root/.cache/uv uv venv -q /opt/app \
    && uv pip sync -q --python /opt/app/bin/python --require-hashes /locks/market-data.lock /locks/serving.lock
COPY --from=wheel /wheel /wheel
RUN uv pip install -q --python /opt/app/bin/python --no-deps /wheel/*.whl

FROM tools AS installed-risk
COPY requirements/risk.lock requirements/serving.lock /locks/
RUN --mount=type=cache,target=/root/.cache/uv uv venv -q /opt/app \
    && uv pip sync -q --python /opt/app/bin/python --require-hashes /locks/risk.lock /locks/serving.lock
COPY --from=wheel /wheel /wheel
RUN uv pip install -q --python /opt/app/bin/python --no-deps /wheel/*.whl

FROM tools AS installed-simulation
COPY requirements/simulation.lock requirements/serving.lock /locks/
RUN --mount=type=cache,target=/root/.cache/uv uv venv -q /opt/app \
    && uv pip sync -q --python /opt/app/bin/python --require-hashes /locks/simulation.lock /locks/serving.lock
COPY --from=wheel /wheel /wheel
RUN uv pip install -q --python /opt/app/bin/python --no-deps /wheel/*.whl

FROM tools AS installed-forecast
COPY requirements/forecast.lock requirements/serving.lock /locks/
RUN --mount=type=cache,target=/root/.cache/uv uv venv -q /opt/app \
    && uv pip sync -q --python /opt/app/bin/python --require-hashes /locks/forecast.lock /locks/serving.lock
COPY --from=wheel /wheel /wheel
RUN uv pip install -q --python /opt/app/bin/python --no-deps /wheel/*.whl

FROM tools AS installed-serving
COPY requirements/serving.lock /locks/
RUN --mount=type=cache,target=/root/.cache/uv uv venv -q /opt/app \
    && uv pip sync -q --python /opt/app/bin/python --require-hashes /locks/serving.lock
COPY --from=wheel /wheel /wheel
RUN uv pip install -q --python /opt/app/bin/python --no-deps /wheel/*.whl

FROM tools AS installed-dagster-host
COPY requirements/dagster-host.lock /locks/
RUN --mount=type=cache,target=/root/.cache/uv uv venv -q /opt/app \
    && uv pip sync -q --python /opt/app/bin/python --require-hashes /locks/dagster-host.lock

# What every image runs in: no tools, no root, nothing to write but the Dagster home and /tmp.
FROM ${PYTHON_IMAGE} AS runtime
RUN useradd --uid 10001 --create-home app && install -d -o 10001 /opt/dagster/home
COPY dagster.yaml /opt/dagster/home/
ENV PATH=/opt/app/bin:$PATH VIRTUAL_ENV=/opt/app DAGSTER_HOME=/opt/dagster/home PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 FINTECH_ENV=production NUMBA_CACHE_DIR=/tmp/numba
LABEL org.opencontainers.image.title="fintech-platform" org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /home/app
USER 10001

FROM runtime AS location
EXPOSE 4000
# Asked over gRPC directly: `dagster api grpc-health-check` starts all of Dagster, about 2 s a probe.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "import grpc; from grpc_health.v1 import health_pb2 as p, health_pb2_grpc as g; assert g.HealthStub(grpc.insecure_channel('127.0.0.1:4000')).Check(p.HealthCheckRequest(service='DagsterApi'), timeout=3).status == 1"]

FROM location AS market-data-ingestion
COPY --from=installed-market-data /opt/app /opt/app
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "pipeline.market_data.definitions"]

FROM location AS python-risk-engine
COPY --from=installed-risk /opt/app /opt/app
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "pipeline.risk.definitions"]

FROM location AS portfolio-simulation
COPY --from=installed-simulation /opt/app /opt/app
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "pipeline.simulation.definitions"]

FROM location AS ai-microservice-engine
COPY --from=installed-forecast /opt/app /opt/app
CMD ["dagster", "api", "grpc", "-h", "0.0.0.0", "-p", "4000", "-m", "pipeline.forecast.definitions"]

FROM runtime AS backend-api
COPY --from=installed-serving /opt/app /opt/app
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:3000/health', timeout=3)"]
CMD ["python", "-m", "serving", "backend-api"]

FROM runtime AS dagster-host
COPY --from=installed-dagster-host /opt/app /opt/app
EXPOSE 3030
# The daemon is the same image with `dagster-daemon run`. The webserver has no login: never publish its port.
CMD ["dagster-webserver", "-h", "0.0.0.0", "-p", "3030", "-w", "/opt/dagster/home/workspace.yaml"]
