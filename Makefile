# Two commands matter: `make run` and `make test`. Everything else serves them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TRL := .venv-trl
PHOENIX := .venv-phoenix
TORCH := torch==2.13.0
WEIR_HOME ?= .weir
PORT ?= 8501

.DEFAULT_GOAL := help
.PHONY: help setup run test check soak format lock benchmark phoenix trl screenshots clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## create .venv from the pinned lock

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Weir needs Python 3.11 or newer; name it with: make PYTHON=python3.11 ..."; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	touch $@

run: export WEIR_HOME := $(WEIR_HOME)
run: setup ## load demo traffic and sample_logs/, then serve the dashboard
	@test -f $(WEIR_HOME)/events.duckdb || { echo "Simulating 30 days of traffic (demo data) ..."; $(BIN)/weir demo > /dev/null; }
	@$(BIN)/weir ingest sample_logs > /dev/null
	@$(BIN)/weir serve --port $(PORT)

test: setup ## run the whole test suite, browser tests included when Chromium is there
	$(BIN)/python -m pytest

soak: setup ## the long tests in full: simulations, a whole shift of reviewers, a hundred quiet weeks, every fault 200 times, a million broken lines
	WEIR_SOAK=1 $(BIN)/python -m pytest -n 0 tests/metrics/test_coverage_simulation.py tests/metrics/test_assisted.py tests/service/test_triage_load.py tests/incidents/test_alert_power.py
	WEIR_SOAK=1 $(BIN)/python -m pytest -n 0 tests/ingest/test_kill.py tests/ingest/test_faults.py tests/service/test_intake_kill.py tests/ingest/test_fuzz.py

check: setup ## lint, formatting, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: setup ## pin the dependencies of pyproject.toml anew
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-header --quiet -o requirements.lock
	$(BIN)/uv pip compile --group trl --universal --python-version 3.11 --generate-hashes --no-header --quiet \
		--no-emit-package torch --no-emit-package sympy --no-emit-package mpmath --no-emit-package networkx --no-emit-package setuptools -o requirements-trl.lock
	$(BIN)/uv pip compile --group phoenix --universal --python-version 3.11 --generate-hashes --no-header --quiet -o requirements-phoenix.lock

benchmark: setup ## ingest of every format against DuckDB's bare reader, its memory, its ticks, and the Overview's queries at 1 and 10 million checks
	$(BIN)/python -m benchmarks.ingest
	$(BIN)/python -m benchmarks.formats
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.ticks
	$(BIN)/python -m benchmarks.overview
	$(BIN)/python -m benchmarks.intake
	$(BIN)/python -m benchmarks.live
	$(BIN)/python -m benchmarks.rerun
	$(BIN)/python -m benchmarks.triage

phoenix: setup $(PHOENIX)/.installed ## the intake beside Arize Phoenix, with the same spans
	$(BIN)/python -m benchmarks.phoenix $(PHOENIX)/bin/phoenix

$(PHOENIX)/.installed: requirements-phoenix.lock
	test -x $(PHOENIX)/bin/python || $(PYTHON) -m venv $(PHOENIX)
	$(PHOENIX)/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-phoenix.lock
	touch $@

trl: setup $(TRL)/.installed ## train a few steps on every TRL set with TRL's own trainers
	$(BIN)/python -m benchmarks.trl_sets build/trl
	HF_HUB_OFFLINE=1 HF_DATASETS_OFFLINE=1 TRANSFORMERS_VERBOSITY=error $(TRL)/bin/python -W ignore benchmarks/trl_train.py build/trl

$(TRL)/.installed: requirements-trl.lock
	test -x $(TRL)/bin/python || $(PYTHON) -m venv $(TRL)
	$(TRL)/bin/python -m pip install --disable-pip-version-check --quiet $(TORCH)
	$(TRL)/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements-trl.lock
	touch $@

screenshots: setup ## photograph every page, light and dark, into docs/screenshots
	$(BIN)/python -m tests.browser.screenshots docs/screenshots

clean: ## remove .venv and caches; the home stays
	rm -rf $(VENV) $(TRL) $(PHOENIX) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info
