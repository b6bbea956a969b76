# Everything runs in .venv, which `make setup` creates and keeps in step with pyproject.toml.
# Another interpreter: make setup PYTHON=python3.13

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
LOWEST := .venv-lowest
CLIENTS := .venv-clients
UPSTREAM := .venv-upstream
# Stamps: each is touched when its step went through, so that an interrupted one is done again.
MADE   := $(VENV)/.made
DEMO   := $(VENV)/.ready-for-demo
READY  := $(VENV)/.ready-for-work
READY_LOWEST := $(LOWEST)/.ready-for-work
READY_CLIENTS := $(CLIENTS)/.ready-for-work
READY_UPSTREAM := $(UPSTREAM)/.ready-for-work
READY_FUZZ := $(VENV)/.ready-for-fuzzing

# Nothing outside .venv may reach the tests: neither another environment nor the user's own journal and settings.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
unexport TOOLSLOT_HOME TOOLSLOT_MAX_PARALLEL TOOLSLOT_ON_UNKNOWN TOOLSLOT_LOG_ARGS TOOLSLOT_DISABLE TOOLSLOT_CRASH_AT TOOLSLOT_KEY
export PYRIGHT_PYTHON_USE_BUNDLED_PYRIGHT := 1
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# A worker for each core; who is done early takes tests from the other.
PARALLEL := -n auto --dist worksteal
# What runs beside something else is printed when it has ended, where make can do that (4.0 and later).
WHOLE := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
# The lowest releases get the tests of both adapters whose outcome can depend on the release, and of those that kill processes the rows that show resuming at all.
LOWEST_CRASHES := tests/crash/langgraph/test_kill_matrix.py -k by_default_only

.PHONY: help setup demo test test-fast test-lowest test-clients check lint format types coverage bench pictures notebooks docs soak scale nightly clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## Create .venv with toolslot (editable), every extra and every tool
	@echo "$(VENV) is ready"

demo: $(DEMO) ## Kill a real agent in the middle of its tool calls and watch it resume
	@$(BIN)/toolslot demo

test: $(READY) $(READY_LOWEST) $(READY_CLIENTS) ## Set everything up, then every check and every test
	@$(MAKE) --no-print-directory -j2 $(WHOLE) check test-others
	@$(BIN)/python -m pytest $(PARALLEL) --nbmake --nbmake-timeout=110 tests notebooks

# Beside the checks, which use one core for most of their time; one after the other, for they have bounds of time.
.PHONY: test-others
test-others:
	@$(MAKE) --no-print-directory test-lowest
	@$(MAKE) --no-print-directory test-clients

test-fast: $(READY) ## The tests without those that kill processes or take seconds
	@$(BIN)/python -m pytest -m "not crash and not slow"

test-lowest: $(READY_LOWEST) ## The tests of both adapters with the oldest releases we support (tests/lowest.txt), in .venv-lowest
	@echo "With the lowest supported releases:"
	@$(LOWEST)/bin/python -m pytest -q $(PARALLEL) -o cache_dir=$(LOWEST)/.pytest_cache -m "not slow and not crash and not any_release" tests/langgraph tests/llamaindex
	@$(LOWEST)/bin/python -m pytest -q $(PARALLEL) -o cache_dir=$(LOWEST)/.pytest_cache $(LOWEST_CRASHES)

test-clients: $(READY_CLIENTS) ## Agents with the provider classes that people use, killed and resumed, in .venv-clients
	@echo "With the newest clients of the providers:"
	@$(CLIENTS)/bin/python -m pytest -q -n auto --dist loadfile -o cache_dir=$(CLIENTS)/.pytest_cache tests/clients

.PHONY: upstream
upstream: $(READY_UPSTREAM) ## LangGraph's and LangChain's own tests with durable nodes: what differs is what the guide lists
	@$(UPSTREAM)/bin/python -m pip install --quiet --upgrade langgraph langgraph-prebuilt langchain
	@$(UPSTREAM)/bin/python tests/upstream/run.py

.PHONY: chaos
chaos: $(READY) ## Kill agents at every named point until 5,000 have died, and see that every broken build is caught (ARGS=--help)
ifeq ($(ARGS),)
	@PYTHONPATH=tests $(BIN)/python -m crash.chaos --controls
endif
	@PYTHONPATH=tests $(BIN)/python -m crash.chaos $(ARGS)

notebooks: $(READY) ## Run the notebooks and keep their outputs
	@$(BIN)/python notebooks/save_outputs.py

check: lint types

lint: $(READY) ## Style, spelling, package metadata and import boundaries
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/codespell
	@$(BIN)/validate-pyproject pyproject.toml
	@$(BIN)/lint-imports --no-cache

format: $(READY) ## Rewrite the code in the house format and fix what can be fixed
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

types: $(READY) ## mypy and pyright, both strict, on the packages and on tests/typing
	@$(BIN)/mypy
	@$(BIN)/mypy tests/typing
	@$(BIN)/pyright --pythonpath $(BIN)/python

coverage: $(READY) ## Run all tests and report the branches they miss
	@$(BIN)/coverage erase
	@$(BIN)/coverage run -m pytest
	@$(BIN)/coverage combine -q
	@$(BIN)/coverage report

bench: $(READY) ## Measure what durability costs, one table of ratios (ARGS=--help: some rows, --json, --full)
	@$(BIN)/python benchmarks/bench.py $(ARGS)

.PHONY: browser
browser: ## Install Chromium and its driver, for the tests of the timeline page (Debian and Ubuntu, as root)
	@command -v chromedriver >/dev/null && command -v chromium >/dev/null \
	  || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium chromium-driver; }

docs: $(READY) ## Build the guides and the API reference into build/site; a broken link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build
	@echo "build/site/index.html"

pictures: $(READY) ## Play the crash story and draw docs/images/before-after.svg from it
	@$(BIN)/python docs/pictures.py

soak: $(READY) ## 100,000 batches in one process, purged as it goes: what it takes must not grow (an hour)
	@$(BIN)/python tests/soak/soak.py

scale: $(READY) ## A journal of 1,000,000 slots: opening, reading, purging beside a writer (minutes)
	@$(BIN)/python tests/soak/scale.py

nightly: $(READY) $(READY_FUZZ) ## What searches longer than the tests do, one line for each
	@TOOLSLOT_NIGHTLY=1 $(BIN)/python -m pytest -q $(PARALLEL) -m pairwise
	@TOOLSLOT_NIGHTLY=1 $(BIN)/python -m pytest -q -o timeout=3600 tests/journal/test_owners_model.py tests/crash/core tests/crash/journal/test_creation.py
	@$(BIN)/python tests/nightly/fuzz.py 600
	@TOOLSLOT_POWER_CUTS=400 $(BIN)/python -m pytest -q -s --timeout=1800 tests/crash/journal/test_power_cut.py
	@$(BIN)/python -m pytest -q -o timeout=3600 tests/nightly/encrypted_contract.py
	@$(MAKE) --no-print-directory upstream
	@TOOLSLOT_WAL_SECONDS=120 $(BIN)/python -m pytest -q -s -o timeout=600 tests/nightly/wal_reset.py

clean: ## Remove .venv and everything that was generated
	rm -rf $(VENV) $(LOWEST) $(CLIENTS) $(UPSTREAM) build dist htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find core adapters tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(MADE):
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 10) or sys.exit(f"toolslot needs Python 3.10 or later; {sys.executable} is {v[0]}.{v[1]}. Name another: make setup PYTHON=python3.13")'
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module does not work here. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

$(DEMO): pyproject.toml | $(MADE)
	@echo "Installing toolslot and what the demo needs"
	@$(BIN)/python -m pip install --quiet --editable ".[demo]"
	@touch $@

$(READY): pyproject.toml | $(MADE)
	@echo "Installing toolslot, its extras and the tools (a minute or two)"
	@$(BIN)/python -m pip install --quiet --editable ".[all]" --group dev
	@touch $(DEMO) $@

$(READY_FUZZ): pyproject.toml | $(READY)
	@echo "Installing the fuzzer"
	@$(BIN)/python -m pip install --quiet --group fuzz
	@touch $@

$(READY_LOWEST): pyproject.toml tests/lowest.txt | $(MADE)
	@echo "Installing the lowest supported releases"
	@test -x $(LOWEST)/bin/python || $(BIN)/python -m venv $(LOWEST) || { rm -rf $(LOWEST); exit 1; }
	@$(LOWEST)/bin/python -m pip install --quiet --upgrade pip
	@$(LOWEST)/bin/python -m pip install --quiet --constraint tests/lowest.txt --editable ".[langchain,llamaindex]" --group test-langgraph
	@$(LOWEST)/bin/python -m pip check
	@touch $@

$(READY_UPSTREAM): pyproject.toml | $(MADE)
	@echo "Installing LangGraph, LangChain and what their tests need"
	@test -x $(UPSTREAM)/bin/python || $(BIN)/python -m venv $(UPSTREAM) || { rm -rf $(UPSTREAM); exit 1; }
	@$(UPSTREAM)/bin/python -m pip install --quiet --upgrade pip
	@$(UPSTREAM)/bin/python -m pip install --quiet --upgrade --editable ".[langchain]" --group test-upstream
	@touch $@

$(READY_CLIENTS): pyproject.toml | $(MADE)
	@echo "Installing the newest clients of the providers"
	@test -x $(CLIENTS)/bin/python || $(BIN)/python -m venv $(CLIENTS) || { rm -rf $(CLIENTS); exit 1; }
	@$(CLIENTS)/bin/python -m pip install --quiet --upgrade pip
	@$(CLIENTS)/bin/python -m pip install --quiet --upgrade --editable ".[langchain,llamaindex]" --group test-clients
	@touch $@
