# `make` alone lists the targets. They need Python 3.11 to 3.13; the tests also need redis-server.

PYTHON ?= python3
export PYTHONDONTWRITEBYTECODE := # the tests start many processes, which share their bytecode
BIN := .venv/bin
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])')
READY := .venv/ready-$(VERSION)
READY_RELEASE := .venv-release/ready-$(VERSION)
READY_DEPLOY := .venv/ready-deploy-$(VERSION)
READY_CLIENTS := .venv/ready-clients-$(VERSION)
READY_LEDGER := .venv/ready-ledger-$(VERSION)
READY_AUDIT := .venv-audit/ready-$(VERSION)
READY_FUZZ := .venv-fuzz/ready-$(VERSION)
CLIENTS := tests/clients
ELSEWHERE := --ignore=tests/attacks --ignore=tests/deploy --ignore=tests/ledger --ignore=$(CLIENTS)
SCRIPTS := deploy/*.sh deploy/install-tools tests/install $(CLIENTS)/install .ci/run

.DEFAULT_GOAL := help
.PHONY: help ready ready-release run test test-slow attacks fuzz ledger test-firestore test-deploy test-deploy-variants \
	test-clients test-clients-variants shellcheck coverage check lock schema docs \
	requirements audit sbom bench load clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-21s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

ready: $(READY) ## install what the other targets need

ready-release: $(READY_RELEASE) ## install only what deploy/ needs, which the deploy scripts do themselves

run: $(READY) ## start everything locally, check each step once, stay up (ONCE=1: end; GEMINI=real: see README)
	@$(BIN)/python -m emulator $(if $(ONCE),--once) $(if $(GEMINI),--gemini $(GEMINI)) \
		$(if $(FIREBASE),--firebase $(FIREBASE)) $(if $(ORIGIN),--origin $(ORIGIN))

test: $(READY) ## linters, types and tests
	@tests/install redis-server
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-logo
	@$(MAKE) --no-print-directory shellcheck
	$(BIN)/mypy . .ci/audit.py --exclude '^(tests/(deploy|clients)|bench/page)'
	$(BIN)/python -m livetoken lock --check
	$(BIN)/pytest -q -n 6 --dist worksteal -m "not slow" $(ELSEWHERE)
	@echo "Not tested here: the longest deadlines, storages that fail, most sessions of smoke, long random searches and make run (make test-slow); attacks and faults (make attacks);" \
		"the queries of deploy/queries/ (make ledger); limits against Google's emulator of Firestore (make test-firestore" \
		"needs Java); deploy/ and cloudbuild.yaml (make test-deploy needs gcloud); the page and the client SDKs" \
		"(make test-clients needs Node, Chromium and Java)."

test-slow: $(READY) ## the tests that wait for real deadlines, search at random for long, or start the whole emulator
	@tests/install redis-server
	$(BIN)/pytest -q -n 6 --dist worksteal -m slow $(ELSEWHERE)

attacks: $(READY) ## attack the real function with bad tokens, raw requests and faults, also behind nginx
	@tests/install redis-server nginx
	$(BIN)/pytest -q -n 2 --dist worksteal tests/attacks

test-deploy: $(READY_DEPLOY) $(READY_RELEASE) ## run deploy/ and cloudbuild.yaml with real gcloud against a stand-in of Google Cloud
	@command -v gcloud >/dev/null || { \
		echo "This needs gcloud: https://cloud.google.com/sdk/docs/install" >&2; exit 1; }
	MYPYPATH=tests $(BIN)/mypy tests/deploy
	$(BIN)/check-jsonschema --builtin-schema vendor.cloudbuild cloudbuild.yaml cloudbuild-test.yaml
	$(BIN)/pytest -q -n 3 --dist worksteal tests/deploy

test-deploy-variants: $(READY_DEPLOY) $(READY_RELEASE) ## break the deploy scripts in many ways; a test must fail each time
	$(BIN)/pytest -v -n 3 --dist worksteal tests/deploy/variants.py

test-clients: $(READY_CLIENTS) ## test the page in Chromium, and the SDKs that client apps use
	@$(CLIENTS)/install
	MYPYPATH=tests $(BIN)/mypy $(CLIENTS) bench/page.py
	cd $(CLIENTS) && npx biome ci --error-on-warnings . ../../emulator/page ../../clients/web && npx tsc
	$(BIN)/pytest -q -n 2 --dist worksteal $(CLIENTS)
	@PYTHONPATH=. $(BIN)/python bench/page.py
	@echo "Screenshots of the page in each of its states are in build/screenshots."

test-clients-variants: $(READY_CLIENTS) ## break livetoken.js and the page in many ways; a test must fail each time
	@$(CLIENTS)/install
	$(BIN)/pytest -v -n 2 --dist worksteal $(CLIENTS)/variants.py

ledger: $(READY_LEDGER) ## run deploy/queries/ by Google's SQL engine, on log lines that a real function writes
	$(BIN)/pytest -q tests/ledger

FIRESTORE_TESTS := tests/emulator/test_firestore_stand_in.py \
	$(addprefix tests/serving/test_,storages.py limits.py budgets.py totals.py)
test-firestore: $(READY) ## test limits in Firestore, and its stand-in, with Google's emulator
	@tests/install redis-server
	@command -v java >/dev/null && [ -e "$(FIRESTORE_JAR)" ] || { echo "This needs Java and Google's Firestore emulator:" \
		"gcloud components install cloud-firestore-emulator, or the package google-cloud-cli-firestore-emulator." >&2; exit 1; }
	FIRESTORE=google FIRESTORE_JAR="$(FIRESTORE_JAR)" $(BIN)/pytest -q -n 2 --dist loadfile $(FIRESTORE_TESTS) -k firestore
FIRESTORE_JAR ?= $(shell gcloud info --format='value(installation.sdk_root)' 2>/dev/null)/platform/cloud-firestore-emulator/cloud-firestore-emulator.jar

fuzz: $(READY_FUZZ) ## fuzz the parsers, and the function by docs/openapi.yaml (SECONDS=20 for each parser)
	@.venv-fuzz/bin/openapi-spec-validator docs/openapi.yaml
	@PYTHONPATH=.:tests .venv-fuzz/bin/python tests/fuzz/fuzz.py $(if $(SECONDS),--seconds $(SECONDS)) $(if $(SEED),--seed $(SEED))

shellcheck: $(READY)
	@$(BIN)/shellcheck $(SCRIPTS)

coverage: export PYTHONPATH = $(CURDIR)/tests
coverage: export COVERAGE_RCFILE = $(CURDIR)/pyproject.toml
coverage: $(READY) ## run the tests of `make test` with branch coverage of livetoken/, subprocesses included
	@tests/install redis-server
	@rm -rf build/coverage && mkdir -p build/coverage
	@$(BIN)/coverage run -m pytest -q -n 6 --dist worksteal $(ELSEWHERE)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --skip-covered

check: $(READY) ## print what each profile of policy.toml allows, or every mistake in it
	@$(BIN)/python -m livetoken check

lock: $(READY) ## compile policy.toml into policy.lock.json
	@$(BIN)/python -m livetoken lock

schema: $(READY) ## write docs/policy.schema.json, which editors use to complete and check policy.toml
	@$(BIN)/python -m livetoken schema > docs/policy.schema.json

docs: $(READY) ## write the tables of docs/ that restate the code
	@$(BIN)/python docs/generate.py

requirements: $(READY) ## compile requirements/*.in into the pinned .txt files, with hashes (UPGRADE=1: newest versions)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile $(COMPILE) --output-file=requirements.txt requirements/serving.in
	$(BIN)/uv pip compile $(COMPILE) --output-file=requirements/dev.txt requirements/dev.in
	$(BIN)/uv pip compile $(COMPILE) --output-file=requirements/release.txt requirements/release.in
	$(BIN)/uv pip compile $(COMPILE) --output-file=requirements/deploy.txt requirements/deploy.in
	$(BIN)/uv pip compile $(COMPILE) --output-file=requirements/clients.txt requirements/clients.in
	$(BIN)/uv pip compile $(COMPILE) --output-file=requirements/audit.txt requirements/audit.in
	$(BIN)/uv pip compile $(COMPILE) --output-file=requirements/fuzz.txt requirements/fuzz.in
	$(BIN)/uv pip compile $(COMPILE) --output-file=requirements/ledger.txt requirements/ledger.in
COMPILE := --quiet $(if $(UPGRADE),--upgrade)

audit: $(READY_AUDIT) ## look for known vulnerabilities in the pinned requirements
	@.venv-audit/bin/python .ci/audit.py requirements.txt requirements/dev.txt

sbom: $(READY_AUDIT) ## write build/sbom.json: what a deployed function consists of, in CycloneDX format
	@mkdir -p build
	@PYTHONWARNINGS=ignore .venv-audit/bin/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml \
		--output-reproducible -o build/sbom.json
	@echo "Wrote build/sbom.json."

bench: $(READY) ## measure HTTP clients, the storages of limits, one instance under load, and refusals
	@test -d .venv-bench || { $(PYTHON) -m venv .venv-bench && \
		.venv-bench/bin/pip install --quiet -r requirements/bench.txt; }
	@PYTHONPATH=. .venv-bench/bin/python bench/http_clients.py
	@tests/install redis-server
	@PYTHONPATH=.:tests $(BIN)/python bench/limits.py
	@PYTHONPATH=. $(BIN)/python bench/sizing.py
	@PYTHONPATH=. $(BIN)/python bench/refusals.py

load: $(READY) ## load one instance with good and bad requests; fails if a promise breaks (REQUESTS=2000: fewer)
	@PYTHONPATH=. $(BIN)/python bench/load.py

clean: ## remove everything that the other targets made
	rm -rf .venv .venv-release .venv-audit .venv-bench .venv-fuzz build $(CLIENTS)/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf {} +

define check-python
	@case "$(VERSION)" in 3.11.*|3.12.*|3.13.*) ;; *) \
		echo "livetoken needs Python 3.11 to 3.13; $(PYTHON) is $(or $(VERSION),not installed)." \
			"Try make PYTHON=python3.13" >&2; exit 1;; esac
endef

$(READY): requirements.txt requirements/dev.txt
	$(check-python)
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements.txt -r requirements/dev.txt
	@touch $@

$(READY_RELEASE): requirements.txt requirements/release.txt
	$(check-python)
	$(PYTHON) -m venv --clear .venv-release
	.venv-release/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: \
		-r requirements.txt -r requirements/release.txt
	@touch $@

$(READY_DEPLOY): $(READY) requirements/deploy.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/deploy.txt
	@touch $@

$(READY_LEDGER): $(READY) requirements/ledger.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/ledger.txt
	@touch $@

$(READY_AUDIT): requirements/audit.txt
	$(PYTHON) -m venv --clear .venv-audit
	.venv-audit/bin/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/audit.txt
	@touch $@

$(READY_FUZZ): requirements.txt requirements/fuzz.txt
	$(PYTHON) -m venv --clear .venv-fuzz
	.venv-fuzz/bin/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements.txt -r requirements/fuzz.txt
	@touch $@

$(READY_CLIENTS): $(READY) requirements/clients.txt $(CLIENTS)/package-lock.json
	@command -v npm >/dev/null || { \
		echo "This needs Node 20 or later and npm: https://nodejs.org" >&2; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements/clients.txt
	cd $(CLIENTS) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
