# `make campaign` and `make test` are all a new machine needs: Python 3.11+ and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help install campaign test test-slow lint ui docs audit constraints clean

help: ## Say what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## Build the virtual environment in .venv with pinned versions

$(STAMP): pyproject.toml constraints.txt
	@echo "==> installing ionloop into $(VENV) (some minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit("ionloop needs Python 3.11 or newer, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,docs,postgres]'
	@touch $(STAMP)

campaign: $(STAMP) ## Run a real campaign on NASICON, about 10 minutes on 2 cores
	@echo "==> running examples/nasicon-quick.toml; its folder: campaigns/nasicon-quick"
	$(BIN)/ionloop run examples/nasicon-quick.toml

# Two workers on two cores: threads of their own would only wait for each other.
test: export OMP_NUM_THREADS = 1
test: $(STAMP) ## Lint, type-check and run the tests
	@echo "==> ruff, mypy, pytest"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=15

test-slow: $(STAMP) ## The tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(STAMP) ## Format and lint in place
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

ui: $(STAMP) ## Open the Prefect UI over all campaigns of this machine
	$(BIN)/ionloop ui

docs: $(STAMP) ## Build the documentation in build/site; a warning is an error
	$(BIN)/mkdocs build --quiet --strict

audit: $(STAMP) ## Ask for known vulnerabilities of the pinned versions
	.ci/audit $(BIN)/pip-audit

constraints: $(STAMP) ## Renew constraints.txt from pyproject.toml (all versions anew); then run the tests
	$(BIN)/python .ci/constraints.py --upgrade

clean: ## Remove the virtual environment and caches (campaigns stay)
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
