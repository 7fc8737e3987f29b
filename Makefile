# Everything runs in .venv, which is built when it is missing or pyproject.toml has changed.
PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
BIN := $(VENV)/bin

.PHONY: demo test slow check format bench notebooks gallery docs verification clean

demo: $(VENV)/.package
	$(BIN)/jaxmimo run iqi-mismatch

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow"

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m slow

# Format, lint, types, layers, pages, tests: what CI runs.
check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports --no-logo
	$(MAKE) docs
	$(MAKE) test

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Run the notebooks in full and write their outputs; `make notebooks ONLY=tuning` for one.
notebooks: $(VENV)/.dev
	$(BIN)/python -m notebooks.build $(ONLY)

# Draw every study at its default size for the gallery: ten minutes.
gallery: $(VENV)/.package
	$(BIN)/python docs/gallery.py $(ONLY)

# Into docs/_build; a name without docstring or a broken link is an error.
docs: $(VENV)/.docs
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c docs . docs/_build

# How closely formulas were checked, measured by the tests, for the page of that name.
verification: $(VENV)/.dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow" --verification=docs/verification.json tests

bench: $(VENV)/.package
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist docs/_build docs/generated docs/jupyter_execute .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.package: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@ $(VENV)/.package

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@ $(VENV)/.package
