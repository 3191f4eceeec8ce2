# Two commands on a fresh machine: `make demo` and `make test`. Both set up what is missing, quietly.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
DURATION ?= 30

.PHONY: demo test check format lint types lock clean help

help:  ## list these targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/runtime  ## a real local model and a simulated cloud share traffic; ends with the bill
	@$(BIN)/spillway demo --duration $(DURATION)

test: .venv/dev  ## every test
	@$(BIN)/python -m pytest

check: .venv/dev format lint types  ## safe to push: format, lint, types, fast tests
	@$(BIN)/python -m pytest -m 'not slow'

format: .venv/dev
	@$(BIN)/ruff format -q . && $(BIN)/ruff check -q --select I --fix .

lint: .venv/dev
	@$(BIN)/ruff check .

types: .venv/dev
	@$(BIN)/mypy

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "spillway needs Python 3.11 or newer: install it, or run make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { echo "this Python cannot make virtual environments: on Debian install python3-venv" >&2; exit 1; }

.venv/runtime: requirements/runtime.lock pyproject.toml .venv/bin/python
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/runtime.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.venv/dev: requirements/dev.lock .venv/runtime
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

lock:  ## renew the lock files (needs uv)
	uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	  pyproject.toml --extra demo --extra plan requirements/build.in -o requirements/runtime.lock
	uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
	  -c requirements/runtime.lock pyproject.toml --extra demo --extra plan requirements/build.in --group dev -o requirements/dev.lock

clean:  ## remove the virtual environment and caches
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache
