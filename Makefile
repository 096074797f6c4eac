# `make demo` and `make test` each set up everything they need in .venv first.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install demo fmt check test docs site ci clean

help: ## Lists the targets.
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(INSTALLED) ## Makes .venv and installs pae into it with its development tools.

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install ## Runs the main job end to end on the bundled sample.
	$(BIN)/pae demo

test: install ## Runs the tests, a process a core.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto
	@for name in chromium chromium-browser google-chrome; do \
	    command -v $$name > /dev/null && exit 0; done; \
	    echo "No Chromium is installed: the page of pae serve was NOT tested in a browser."

check: install ## Lint, format and types.
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

fmt: install ## Formats the code and mends what ruff can mend.
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: install ## Writes docs/cli.md and the picture of the architecture.
	$(BIN)/typer paecli.cli.app utils docs --name pae --title "Commands" --output docs/cli.md
	$(BIN)/python tools/architecture.py

site: install ## Builds the documentation as a site, in site/.
	$(BIN)/python -m mkdocs build --strict

ci: check test ## What must pass before a change lands.

clean: ## Removes .venv and caches.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
