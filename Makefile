# Everything a person needs: `make demo` and `make test` work on a fresh machine with Python 3.11 or newer.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

CLAIMS := ceiling lone_client overhead many_adapters swaps precision recording overload idle start_up

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow lint type check bench bench-peers proto dashboards advisor constraints clean

help: ## Say what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(STAMP) ## Make .venv and install everything that is pinned

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "driftgate needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	touch $(STAMP)

demo: $(STAMP) ## Play the whole loop on made-up support tickets
	$(BIN)/driftgate demo

test: $(STAMP) ## Run the quick tests
	$(BIN)/python -m pytest -m 'not slow'

test-slow: $(STAMP) ## Run the tests that take minutes: real data, many kills
	$(BIN)/python -m pytest -m slow

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

type: $(STAMP)
	$(BIN)/mypy

check: lint type ## Format, lint, import floors and types: what CI checks beside the tests

bench: $(STAMP) ## Print one line for each figure that we claim
	@for claim in $(CLAIMS); do $(BIN)/python -m benchmarks.$$claim || exit 1; done

bench-peers: $(STAMP) ## Measure other servers beside ours; installs each in .bench-peers
	$(BIN)/python -m benchmarks.peers

proto: $(STAMP) ## Make the gRPC code anew from server/oip/inference.proto
	$(BIN)/python -m server.oip.generate

dashboards: $(STAMP) ## Build the Grafana dashboards anew from observability/dashboards
	$(BIN)/python -m observability.dashboards.build

advisor: $(STAMP) ## Write the tables of the page /advisor anew from retrain
	$(BIN)/python -m cli.advisor_tables

constraints: $(STAMP) ## Pin what is installed now
	$(BIN)/python -m pip freeze --exclude-editable | grep -viE '^(driftgate|pip|setuptools)\b' | sed 's/+cpu$$//' > constraints.txt

clean: ## Remove what was built; state in .driftgate stays
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
