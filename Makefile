# Everything a newcomer types. Needs Python 3.11 to 3.13 (with venv) and make; nothing else, and no root.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
PORT ?= 3000
# tests side by side: each process has a platform of its own, about 1 GB of memory
WORKERS ?= 2

.PHONY: demo up test test-long test-docker test-compose drill-recovery drill-kills bench check format lock clean help
.DEFAULT_GOAL := help

help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

demo: $(VENV)/.installed ## start a platform, back it up, destroy it, restore it, prove it identical (REPOSITORY=s3, RUNTIME=compose)
	@$(BIN)/archon demo $(if $(REPOSITORY),--repository $(REPOSITORY)) $(if $(RUNTIME),--runtime $(RUNTIME))

up: $(VENV)/.installed ## the embedded platform with the Dagster UI, until Ctrl-C (PORT=3000)
	@exec $(BIN)/archon up --port $(PORT)

PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder
test: $(VENV)/.installed ## the tests; what this machine lacks is skipped with the reason
	$(PYTEST) -m "not long" $(ARGS)

test-long: $(VENV)/.installed ## the suites that take minutes each (ARGS="archon_dagster_tests/integration/test_up.py")
	$(PYTEST) -m long $(ARGS)

test-docker: $(VENV)/.installed ## the tests that need a Docker engine, then test-compose, on the engine that is there
	$(BIN)/python -m pytest archon_dagster_tests/docker $(ARGS)
	@$(MAKE) test-compose

SUITES := startup health recovery round_trip restore_target restore_faults maintenance cli_maintenance configuration_changes performance every_job
test-compose: $(VENV)/.installed ## the sandbox's suites with containers instead of processes (SUITES="health recovery")
	ARCHON_TEST_RUNTIME=compose $(BIN)/python -m pytest $(SUITES:%=archon_dagster_tests/integration/test_%.py) $(ARGS)

drill-recovery: $(VENV)/.installed ## break every part of a platform in turn, nobody touching anything (ARGS="--only NAME")
	$(BIN)/python -m drills recovery $(ARGS)

drill-kills: $(VENV)/.installed ## a hundred random kills, one after the other (ARGS="--kills N --seed N")
	$(BIN)/python -m drills kills --interval 5 $(ARGS)

bench: $(VENV)/.installed ## measure against tar, restic and borg; writes docs/benchmarks.md (half an hour)
	$(BIN)/python -m benchmarks $(ARGS)

check: $(VENV)/.installed ## linter, format and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed ## let the formatter write
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-strip-extras --quiet \
	--custom-compile-command 'make lock'
lock: ## resolve requirements.lock and docker/requirements.lock again (needs uv on the path)
	$(LOCK) --extra sandbox --extra verify --extra postgres --extra dev pyproject.toml -o requirements.lock
	$(LOCK) --extra docker --extra verify -c requirements.lock pyproject.toml docker/build.in -o docker/requirements.lock

clean: ## remove the virtual environment and caches (data in .archon stay)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed: install one, or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@$(PYTHON) archon_dagster/sandbox/support.py
	@echo "installing into $(VENV) (about a minute, once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --no-index -e .
	@touch $@
