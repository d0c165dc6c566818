# Two commands matter: `make demo` and `make test`. Everything runs in .venv, installed with constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
OUT ?= OUT
ENSEMBLE ?= default

.PHONY: setup demo test test-slow lint audit hashes check bench docs clean

setup: $(VENV)/.ready
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "vibro needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup
	$(BIN)/vibro demo -o $(OUT) --force --ensemble $(ENSEMBLE)

test: setup
	$(BIN)/python -m pytest -n auto

test-slow: setup
	$(BIN)/python -m pytest -n auto -m slow

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: setup
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml engine plugins

hashes: setup
	$(BIN)/python docs/make_hashes.py

check: lint audit test

bench: setup
	$(BIN)/python -m benchmarks.run

docs: setup
	$(BIN)/python docs/make_cli.py
	$(BIN)/python docs/make_gallery.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:
	rm -rf $(VENV) OUT build dist .pytest_cache .ruff_cache .mypy_cache .import_linter_cache
