# make demo | test | check | docs | clean. Everything runs in .venv, made with pip when it is missing or out of date.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test quick check format docs build clean

demo: $(VENV)/demo.done
	$(BIN)/picme demo --out runs/demo

test: $(VENV)/dev.done
	$(BIN)/python -m pytest -n 2 --dist loadscope

# Without what takes minutes.
quick: $(VENV)/dev.done
	$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow"

check: $(VENV)/dev.done
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/dev.done
	$(BIN)/ruff format src tests benchmarks
	$(BIN)/ruff check --fix src tests benchmarks

# The pages in site/, from docs/ and the docstrings; a warning is an error.
docs: $(VENV)/dev.done
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

build: $(VENV)/dev.done
	$(BIN)/python -m build

$(VENV)/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.done: $(VENV)/pyvenv.cfg pyproject.toml constraints.txt
	$(PIP) install --quiet --constraint constraints.txt --editable ".[demo]"
	touch $@

$(VENV)/dev.done: $(VENV)/demo.done
	$(PIP) install --quiet --constraint constraints.txt --editable ".[demo,dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
