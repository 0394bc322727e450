# Everything there is to do, each a word. Bare `make` lists them.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/installed
# Tests that start whole flows take the machine for themselves; all others share it, file by file.
SIDE_BY_SIDE := -n 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo install test lint types unit bench lock clean

help: ## list what there is to do
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install ## the whole product with a sample shop, until Ctrl-C
	@exec $(BIN)/python -m api.demo

install: $(STAMP) ## .venv with everything, as locked; does nothing when nothing changed

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 10) <= v < (3, 13) else "Inlay needs Python 3.10 to 3.12; this is %d.%d. Say which to use: make PYTHON=python3.11 ..." % v[:2])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (once, about a minute)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

test: install ## lint, types, contracts between packages, and every test
	@$(MAKE) --no-print-directory lint types
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/unit tests/flow tests/contract
	@$(BIN)/python -m pytest tests/integration tests/browser

lint: install ## ruff and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: install ## mypy, strict
	@$(BIN)/mypy

unit: install ## only the tests that need no other process
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) tests/unit tests/flow

bench: install ## the benchmarks; prints a table, writes var/bench.json
	@$(BIN)/python -m tests.benchmarks

lock: install ## resolve the dependencies anew into requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --all-extras --generate-hashes --no-header \
		--no-emit-index-url --no-annotate pyproject.toml --output-file requirements.lock

clean: ## forget what the demo stored
	@rm -rf var
