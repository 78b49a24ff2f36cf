PYTHON ?= python3
# Which torch: cpu, or cuda, whose libraries take some 4 GB more.
TORCH ?= cpu
# Which versions of the libraries: newest, or oldest, in an environment of their own.
VERSIONS ?= newest
ifeq ($(filter newest oldest,$(VERSIONS)),)
$(error VERSIONS must be newest or oldest, got $(VERSIONS))
endif
SUFFIX := $(patsubst %,-%,$(filter-out newest,$(VERSIONS)))
CONSTRAINTS := constraints$(SUFFIX).txt
VENV := .venv$(SUFFIX)
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.installed-docs
# -qq leaves errors alone: pip's warnings are about the machine it runs on.
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint $(CONSTRAINTS)
# One thread a worker: two test workers that each start a thread a core run slower than one.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest

TORCH_VERSION := $(shell sed -n 's/^torch==//p' $(CONSTRAINTS))

# On Linux, the torch of the package index brings CUDA. A torch for CPUs has the version's tag cpu where pip finds one;
# otherwise uv knows where PyTorch keeps it.
ifeq ($(TORCH)-$(shell uname -s),cpu-Linux)
INSTALL_TORCH := $(PIP_INSTALL) "torch==$(TORCH_VERSION)+cpu" 2>/dev/null || \
	{ $(PIP_INSTALL) uv && $(BIN)/uv pip install --quiet --python $(VENV) --torch-backend cpu "torch==$(TORCH_VERSION)"; } || \
	{ echo "no torch $(TORCH_VERSION) for CPUs can be had here; TORCH=cuda takes the index's own"; exit 1; }
else
INSTALL_TORCH := $(PIP_INSTALL) "torch==$(TORCH_VERSION)"
endif

.PHONY: help install demo test quick test-oldest slow faults coverage lint format docs dist bench tables gpu clean
.DEFAULT_GOAL := help

help:
	@echo "make demo     find the torus in a net's states, learn points on it, prune, compress, draw (runs/demo)"
	@echo "make test     lint, types and the quick tests"
	@echo "make test-oldest  the quick tests with the oldest versions of the libraries, in .venv-oldest"
	@echo "make slow     the slow tests"
	@echo "make faults   kills, signals, full disks, bad calls and files, NaN: what was tried, and what failed"
	@echo "make coverage the lines of riemod that no quick test runs"
	@echo "make bench    the speed benchmarks, against what users would write"
	@echo "make tables   the tables of docs/results.md and their figures, from the committed records"
	@echo "make gpu      tests, speed and a part of navigation on a CUDA device, in 9 minutes; DRY=1 tries it on the CPU"
	@echo "make docs     the manual, in docs/_build/html; runs the gallery's examples"
	@echo "make format   rewrite the code as ruff wants it"
	@echo "make dist     wheel and sdist in dist/, tried in an empty environment"
	@echo "make install  .venv with everything that the above need; torch for CPUs, or TORCH=cuda"
	@echo "make clean    remove builds and caches; environments and runs/ stay"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else f"riemod needs Python 3.11 to 3.13, $(PYTHON) is {v.major}.{v.minor}: say make PYTHON=...")'
	@case "$(TORCH)" in cpu|cuda) ;; *) echo "TORCH must be cpu or cuda, got $(TORCH)"; exit 2;; esac
	@$(PYTHON) -m venv $(VENV)
	@echo "1/2 torch $(TORCH_VERSION) for $(TORCH) into $(VENV): about $(if $(filter cuda,$(TORCH)),5,1) GB, some minutes"
	@$(INSTALL_TORCH)
	@echo "2/2 riemod and the tools to develop it: about 1.5 GB, some minutes"
	@$(PIP_INSTALL) --editable ".[dev]"
	@touch $@
	@echo "done; riemod doctor says what is there: $(BIN)/riemod doctor"

$(DOCS_INSTALLED): $(INSTALLED)
	@$(PIP_INSTALL) --editable ".[docs]"
	@touch $@

demo: $(INSTALLED)
	@$(BIN)/python -m riemod demo --out runs/demo

lint: $(INSTALLED)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/basedpyright

test: lint quick

quick: $(INSTALLED)
	@$(PYTEST) -n 2 -m "not slow"

# Types are checked against the newest versions alone.
test-oldest:
	@$(MAKE) --no-print-directory quick VERSIONS=oldest

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

dist: $(INSTALLED)
	@rm -rf dist
	@$(BIN)/python -m tests.release.distributions dist
	@rm -rf dist/trial

tables: $(INSTALLED)
	@$(BIN)/python -m benchmarks.tables

bench: $(INSTALLED)
	@$(BIN)/python -m benchmarks.speed

# DRY=1 goes through every line on the CPU, with small sizes, and keeps nothing.
gpu: $(INSTALLED)
	@$(BIN)/python -m benchmarks.gpu $(if $(DRY),--dry)

clean:
	rm -rf build dist docs/_build .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path "./.venv*" -prune -exec rm -rf {} +
