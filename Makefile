# `make` alone lists what there is to make. Python 3.11 to 3.13 and make are
# all it needs, and redis-server for the tests.

PYTHON ?= python3
BIN := .venv/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
READY := .venv/ready-$(VERSION)
READY_DEPLOY := .venv/ready-deploy-$(VERSION)
READY_CLIENTS := .venv/ready-clients-$(VERSION)
CLIENTS := tests/clients

.DEFAULT_GOAL := help
.PHONY: help ready run test test-deploy test-deploy-variants test-clients check lock schema requirements bench clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-21s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

ready: $(READY) ## install what the other targets need

run: $(READY) ## start everything here and walk the whole path once, then stay up (ONCE=1: end)
	@$(BIN)/python -m emulator $(if $(ONCE),--once)

test: $(READY) ## linter, types and tests
	@tests/install-redis
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy . --exclude '^(tests/(deploy|clients)|bench/page)'
	$(BIN)/python -m livetoken lock --check
	$(BIN)/pytest -q -n 6 --dist worksteal --ignore=tests/deploy --ignore=$(CLIENTS)
	@echo "Left out: deploy/ and cloudbuild.yaml (make test-deploy, with gcloud); the page and clients'" \
		"SDKs (make test-clients, with Node and Chromium)."

test-deploy: $(READY_DEPLOY) ## deploy/ and cloudbuild.yaml, by real gcloud and a stand-in of Google Cloud
	@command -v gcloud >/dev/null || { \
		echo "It takes gcloud: https://cloud.google.com/sdk/docs/install" >&2; exit 1; }
	MYPYPATH=tests $(BIN)/mypy tests/deploy
	$(BIN)/shellcheck deploy/*.sh deploy/install-tools tests/install-redis \
		$(CLIENTS)/install-chromium .ci/run
	$(BIN)/check-jsonschema --builtin-schema vendor.cloudbuild cloudbuild.yaml
	$(BIN)/pytest -q -n 3 --dist worksteal tests/deploy

test-deploy-variants: $(READY_DEPLOY) ## mistakes in the deploy scripts, and whether a test catches each
	$(BIN)/pytest -v -n 3 --dist worksteal tests/deploy/variants.py

test-clients: $(READY_CLIENTS) ## the page in Chromium, and the SDKs that client apps use
	@$(CLIENTS)/install-chromium
	MYPYPATH=tests $(BIN)/mypy $(CLIENTS) bench/page.py
	cd $(CLIENTS) && npx biome ci --error-on-warnings . ../../emulator/page && npx tsc
	$(BIN)/pytest -q -n 2 --dist worksteal $(CLIENTS)
	@PYTHONPATH=. $(BIN)/python bench/page.py
	@echo "Pictures of the page in each of its states are in build/screenshots."

check: $(READY) ## print what each profile of policy.toml allows, or every mistake in it
	@$(BIN)/python -m livetoken check

lock: $(READY) ## compile policy.toml into policy.lock.json
	@$(BIN)/python -m livetoken lock

schema: $(READY) ## write policy.schema.json, by which editors complete and check policy.toml
	@$(BIN)/python -m livetoken schema > docs/policy.schema.json

requirements: $(READY) ## compile requirements*.in into requirements*.txt, with hashes
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile $(COMPILE) requirements/serving.in -o requirements.txt
	$(BIN)/uv pip compile $(COMPILE) requirements/dev.in -o requirements/dev.txt
	$(BIN)/uv pip compile $(COMPILE) requirements/deploy.in -o requirements/deploy.txt
	$(BIN)/uv pip compile $(COMPILE) requirements/clients.in -o requirements/clients.txt
COMPILE := --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --annotation-style line

bench: $(READY) ## measure HTTP clients, counting a limit in memory, and what an instance takes
	@test -d .venv-bench || { $(PYTHON) -m venv .venv-bench && \
		.venv-bench/bin/pip install --quiet -r requirements/bench.txt; }
	@.venv-bench/bin/python bench/http_clients.py
	@PYTHONPATH=. $(BIN)/python bench/limits_in_memory.py
	@PYTHONPATH=. $(BIN)/python bench/sizing.py

clean: ## remove what the other targets made
	rm -rf .venv .venv-bench build $(CLIENTS)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

$(READY): requirements.txt requirements/dev.txt
	@case "$(VERSION)" in 3.11.*|3.12.*|3.13.*) ;; *) \
		echo "livetoken runs on Python 3.11 to 3.13; $(PYTHON) is $(or $(VERSION),not there):" \
			"try make PYTHON=python3.13" >&2; exit 1;; esac
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements.txt -r requirements/dev.txt
	@touch $@

$(READY_DEPLOY): $(READY) requirements/deploy.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/deploy.txt
	@touch $@

$(READY_CLIENTS): $(READY) requirements/clients.txt $(CLIENTS)/package-lock.json
	@command -v npm >/dev/null || { \
		echo "It takes Node 20 or later and npm: https://nodejs.org" >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/clients.txt
	cd $(CLIENTS) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
