# `make` alone lists what there is to make. Python 3.11 to 3.13 and make are all it needs.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.DEFAULT_GOAL := help
.PHONY: help run test check lock requirements bench clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 22

run: $(READY) ## start everything here and walk the whole path once, then stay up (ONCE=1: end)
	@$(BIN)/python -m local $(if $(ONCE),--once)

test: $(READY) ## linter, types and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/python -m livetoken lock --check
	$(BIN)/pytest -q -n 6 --dist worksteal

check: $(READY) ## print what each profile of policy.toml allows, or every mistake in it
	@$(BIN)/python -m livetoken check

lock: $(READY) ## compile policy.toml into policy.lock.json
	@$(BIN)/python -m livetoken lock

requirements: $(READY) ## compile requirements*.in into requirements*.txt, with hashes
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile $(COMPILE) requirements.in -o requirements.txt
	$(BIN)/uv pip compile $(COMPILE) requirements-dev.in -o requirements-dev.txt
COMPILE := --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --annotation-style line

bench: ## measure HTTP clients: CPU a request and import time
	@test -d .venv-bench || { $(PYTHON) -m venv .venv-bench && \
		.venv-bench/bin/pip install --quiet -r bench/requirements.txt; }
	@.venv-bench/bin/python bench/http_clients.py

clean: ## remove what the other targets made
	rm -rf .venv .venv-bench .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info[:2] <= (3, 13) else \
	"livetoken runs on Python 3.11 to 3.13, and " + sys.executable + " is " + sys.version.split()[0] \
	+ ": make PYTHON=python3.13")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements.txt -r requirements-dev.txt
	@touch $@
