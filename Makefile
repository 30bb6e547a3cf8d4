# bookloom: `make run` and `make test` are all that is needed; `make help` lists the rest.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check

.PHONY: help run standard serve test test-faults test-faults-short check dictionary lock clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 20

run: .venv/installed ## run the whole pipeline on the packaged plays (the quick deployment)
	$(BIN)/bookloom run --deployment quick

standard: .venv/installed ## the same at full quality
	$(BIN)/bookloom run --deployment standard

serve: .venv/installed ## serve on this machine: Prefect, MLflow, a worker, the deployments, the watched folder
	$(BIN)/bookloom serve

test: .venv/installed-for-tests ## run all tests but the fault suite
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-faults: .venv/installed-for-tests ## kill runs, workers and servers, fill the disk, queue 200 runs: is nothing lost?
	$(BIN)/python -m pytest -m faults -o faulthandler_timeout=1500

test-faults-short: .venv/installed-for-tests ## the same with few kills in place of twenty, and no queue
	$(BIN)/python -m pytest -m 'faults and not long' -n 3 --dist loadfile --no-loadscope-reorder -o faulthandler_timeout=600

check: .venv/installed-for-tests ## format, lint, strict types, the import rule, the data dictionary
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy flows tasks models data
	$(BIN)/python -m pytest tests/test_import_rule.py tests/data/test_dictionary.py

dictionary: .venv/installed ## write data/README.md from data/*schemas.py
	$(BIN)/python -m data.dictionary

lock: ## renew the lock files from the ranges in pyproject.toml
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet .
	.venv-lock/bin/pip freeze --exclude bookloom | sed 's/+cpu//' > requirements.lock
	.venv-lock/bin/pip install --quiet '.[test]'
	.venv-lock/bin/pip freeze --exclude bookloom | sed 's/+cpu//' | grep -vxFf requirements.lock > requirements-test.lock
	rm -rf .venv-lock build

clean: ## remove the environment and what runs have made; books in artefacts/shelf and downloads stay
	rm -rf .venv
	test ! -d artefacts || find artefacts -mindepth 1 -maxdepth 1 ! -name shelf ! -name downloads -exec rm -rf {} +

.venv/installed: requirements.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	{ echo 'bookloom needs Python 3.11, which $(PYTHON) is not: make $(or $(MAKECMDGOALS),run) PYTHON=python3.11'; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --quiet -r requirements.lock
	$(PIP) install --quiet --no-deps -e .
	touch $@

.venv/installed-for-tests: .venv/installed requirements-test.lock
	$(PIP) install --quiet -r requirements-test.lock
	touch $@
