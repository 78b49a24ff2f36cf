PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DOCS_INSTALLED := .venv/.installed-docs
# -qq leaves errors alone: pip's warnings are about the machine it runs on.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
# One thread a worker: two test workers that each start a thread a core run slower than one.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

.PHONY: help install demo test slow faults coverage lint format docs bench clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     find the torus in a net's states, learn points on it, prune, compress, draw (runs/demo)"
	@echo "make test     lint, types and the quick tests"
	@echo "make slow     the slow tests"
	@echo "make faults   kills, signals, full disks, bad calls and files, NaN: what was tried, and what failed"
	@echo "make coverage the lines of riemod that no quick test runs"
	@echo "make bench    the speed benchmarks, against what users would write"
	@echo "make docs     the manual, in docs/_build/html"
	@echo "make format   rewrite the code as ruff wants it"
	@echo "make install  .venv with everything that the above need"
	@echo "make clean    remove builds and caches; .venv and runs/ stay"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"riemod needs Python 3.11 to 3.13, $(PYTHON) is {v.major}.{v.minor}: say make PYTHON=...")'
	@echo "installing into .venv, which takes some minutes"
	@$(PYTHON) -m venv .venv
	@$(PIP_INSTALL) torch==$$(sed -n 's/^torch==//p' constraints.txt)
	@$(PIP_INSTALL) --editable ".[dev]"
	@touch $@

$(DOCS_INSTALLED): $(INSTALLED)
	@$(PIP_INSTALL) --editable ".[docs]"
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/python -m riemod demo --out runs/demo

lint: $(INSTALLED)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/basedpyright

test: lint
	@$(PYTEST) -n 2 -m "not slow"

slow: $(INSTALLED)
	@$(PYTEST) -m slow

faults: $(INSTALLED)
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults

coverage: $(INSTALLED)
	@$(PYTEST) -n 2 -m "not slow" --cov=riemod --cov-report=term-missing:skip-covered

format: $(INSTALLED)
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

docs: $(DOCS_INSTALLED)
	@$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html
	@echo "docs/_build/html/index.html"

bench: $(INSTALLED)
	@$(BIN)/python -m benchmarks.speed

clean:
	rm -rf build dist docs/_build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path "./.venv/*" -prune -exec rm -rf {} +
