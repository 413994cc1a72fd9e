# Every target sets itself up on a bare machine: Python 3.11 or newer and PyPI are all it needs.
PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help setup demo test lint lab bench bench-long contract laws wheel clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/'

$(READY): pyproject.toml uv.lock
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; call: make PYTHON=/path/to/python3.11") if sys.version_info < (3, 11) else 0'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv==$(UV_VERSION)
	$(BIN)/uv sync --frozen --inexact -q
	@touch $(READY)

setup: $(READY)  ## make the virtual environment from the lock file

demo: $(READY)  ## move a sample practice into the built-in sandbox, end to end
	$(BIN)/python -m dentlib demo

test: $(READY)  ## the test suite (under 8 minutes on two cores)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not law"

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lab: $(READY)  ## open JupyterLab on the notebooks
	DENTLIB_HOME="$${DENTLIB_HOME:-$(CURDIR)/engagements}" $(BIN)/jupyter lab --notebook-dir=notebooks \
		--KernelManager.transport=ipc

bench: $(READY)  ## figures, as ratios against a baseline in the same run
	$(BIN)/python benchmarks/run.py

bench-long: $(READY)  ## the figures that need many minutes: ten at default limits, a million records
	$(BIN)/python benchmarks/run.py --long

contract: $(READY)  ## replay the recorded exchanges of two real Twentys, 2.21 and 1.17, against the sandbox
	$(BIN)/python tests/contract/replay.py --all 7

laws: $(READY)  ## crash anywhere + resume = never crashed; run + rollback = before
	$(BIN)/python -m pytest -n 2 --dist loadfile -m law

wheel: $(READY)  ## build the wheel into dist/
	$(BIN)/uv build --wheel -q

clean:  ## remove the environment, caches and the demo
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache dist build engagements/demo
