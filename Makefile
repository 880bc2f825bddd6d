# Two commands do all the set-up on a bare machine: `make run` and `make test`.
# Everything is made inside this folder: .venv, .cache and .data.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export UV_CACHE_DIR ?= $(CURDIR)/.cache/uv
export PIP_CACHE_DIR ?= $(CURDIR)/.cache/pip
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Whatever the shell says: without bytecode each of the hundreds of processes here compiles all that it imports, for 4 s.
export PYTHONDONTWRITEBYTECODE :=
UV := $(BIN)/uv
INSTALL = $(UV) pip sync --quiet --python $(BIN)/python --require-hashes

.DEFAULT_GOAL := help
.PHONY: help run up test test-fast test-slice test-shared test-browser test-containers lint lint-deploy types contracts \
	audit health-check logs-errors backup restore docs dashboards bench load fuzz lock clean

# What continuous integration tests side by side.
SLICES := market_data risk simulation forecast serving

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-16s %s\n", $$1, $$2}'

$(UV): requirements/uv.lock
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not on the PATH. Install Python 3.11 or newer, or name it: make run PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(0 if sys.version_info >= (3, 11) else f"error: Python 3.11 or newer is needed, {sys.executable} is {v}. Name a newer one: make run PYTHON=/path/to/python3.12")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "error: the virtual environment could not be made. On Debian: apt-get install python3-venv; or free disk space."; rm -rf $(VENV); exit 1; }
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.lock
	@touch $@

$(VENV)/.installed-run: requirements/run.lock pyproject.toml | $(UV)
	@echo "Installing the platform into $(VENV) ..."
	@test -e $(VENV)/.installed-dev || $(INSTALL) requirements/run.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements/dev.lock pyproject.toml | $(UV)
	@echo "Installing the development tools into $(VENV) ..."
	@$(INSTALL) requirements/dev.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.installed-run

run: $(VENV)/.installed-run  ## Materialise everything on real bundled prices and print the results
	@$(BIN)/fintech run

up: $(VENV)/.installed-run  ## Serve the Dagster UI, its daemon and the API on loopback
	@$(BIN)/fintech up

test: $(VENV)/.installed-dev  ## Lint, types, import contracts and every test that needs no Docker
	@$(MAKE) --no-print-directory -j 2 lint types contracts kernels
	@tests/browser/run-with-chromium.sh $(BIN)/pytest

# Once, before several workers and the servers that they start would each compile what they call first.
kernels: $(VENV)/.installed-dev
	@$(BIN)/python -m tests.kernels > /dev/null

test-fast: $(VENV)/.installed-dev  ## Unit and architecture tests only
	@$(BIN)/pytest tests/unit tests/architecture tests/golden

test-slice: $(VENV)/.installed-dev  ## Tests of SLICE=risk alone: market_data|risk|simulation|forecast|serving
	@$(BIN)/pytest $(wildcard tests/unit/$(SLICE) tests/integration/$(SLICE))

test-shared: $(VENV)/.installed-dev  ## Tests of what the slices share
	@$(BIN)/pytest $(foreach s,$(SLICES),--ignore=tests/unit/$(s) --ignore=tests/integration/$(s)) --ignore=tests/browser

test-browser: $(VENV)/.installed-dev  ## Tests of the pages in Chromium
	@$(BIN)/pytest tests/browser

test-containers: $(VENV)/.installed-dev  ## Build the six images and test them on a Docker engine
	@$(BIN)/pytest tests/containers -n 0

health-check: $(VENV)/.installed-run  ## Ask every service, Dagster, Postgres and Redis how they are
	@$(BIN)/fintech health

logs-errors: $(VENV)/.installed-run  ## Show errors of the logs, equal ones as one; LOGS=file or -, COMPOSE=1
	@$(BIN)/fintech logs --errors $(LOGS) $(if $(COMPOSE),--compose)

backup: $(VENV)/.installed-run  ## Dump both databases to FOLDER and keep the last KEEP=7
	@$(BIN)/fintech backup $(if $(FOLDER),--folder $(FOLDER)) --keep $(or $(KEEP),7)

restore: $(VENV)/.installed-run  ## Put the backup FROM in place; REPLACE=1 also where there are tables
	@$(BIN)/fintech restore $(if $(FROM),--from $(FROM)) $(if $(REPLACE),--replace)

lint: $(VENV)/.installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

lint-deploy: $(VENV)/.installed-dev  ## Lint workflows, Dockerfiles, Compose, Render, Kubernetes, monitoring and scripts
	@deploy/scripts/lint-deploy.sh

audit: $(VENV)/.installed-dev  ## Look for known vulnerabilities in the locks, and for unsafe code
	@deploy/scripts/lint-security.sh

types: $(VENV)/.installed-dev
	@$(BIN)/mypy

contracts: $(VENV)/.installed-dev
	@$(BIN)/lint-imports

docs: $(VENV)/.installed-dev  ## Write what docs/ has from the code, and record answers of the API
	@$(BIN)/python -m tests.docs

dashboards: $(VENV)/.installed-dev  ## Write Grafana's dashboards from their code
	@$(BIN)/python -m deploy.monitoring.dashboards

bench: $(VENV)/.installed-dev  ## Measure the bars; ONLY=run|ingest|risk|sim|forecast|quality|serve
	@SOAK=$(SOAK) $(BIN)/python -m tests.load $(ONLY)

load: $(VENV)/.installed-dev  ## Send the profile of 100 users to HOST (a running API), SCALE=0.1 of its 9 minutes
	@$(BIN)/locust -f tests/load/locustfile.py --headless --only-summary --host $(or $(HOST),http://127.0.0.1:3000) --scale $(or $(SCALE),0.1)

fuzz: $(VENV)/.installed-dev  ## Send EXAMPLES=200 requests an operation, made from its OpenAPI, to HOST, whose data they change
	@SCHEMATHESIS_HOOKS=tests.integration.serving.fuzzing PYTHONPATH=. $(BIN)/schemathesis run \
		$(or $(HOST),http://127.0.0.1:3000)/openapi.json --max-examples $(or $(EXAMPLES),200) --continue-on-failure \
		--generation-database none --checks all --exclude-checks positive_data_acceptance,ignored_auth

# One resolution for all: the slices' locks are cut out of the development lock's versions.
LOCK = $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-emit-package fintech-platform \
	--custom-compile-command "make lock" pyproject.toml
lock: | $(UV)  ## Resolve every dependency again, with hashes
	@$(LOCK) --extra dev --upgrade -o requirements/dev.lock requirements/build.in
	@$(LOCK) --extra local -c requirements/dev.lock -o requirements/run.lock requirements/build.in
	@for slice in market-data risk forecast serving gateway; do \
		$(LOCK) --extra $$slice -c requirements/dev.lock -o requirements/$$slice.lock requirements/build.in; done
	@$(LOCK) --extra simulation --extra cluster -c requirements/dev.lock -o requirements/simulation.lock requirements/build.in
	@$(LOCK) --extra dagster-host --extra kubernetes -c requirements/dev.lock -o requirements/dagster-host.lock requirements/build.in
	@echo uv | $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 --custom-compile-command "make lock" -o requirements/uv.lock -

clean:  ## Delete everything that was made here, the data included
	@rm -rf $(VENV) .cache .data .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
