# Every target does its own set-up: on a fresh machine `make demo` or `make test` is all it takes.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Any torch build: `make setup TORCH_INDEX_URL=<index of the build you want> TORCH=torch`.
TORCH ?= torch==2.13.0
TORCH_INDEX_URL ?=
READY := $(VENV)/.ready
# One file's tests stay together: what a module sets up once is set up once.
PYTEST_SPREAD ?= -n auto --maxprocesses 4 --dist loadfile

.PHONY: help setup demo test test-langchain-floor test-ray test-vllm check bench wheel clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## Make .venv with everything (TORCH_INDEX_URL=... for another torch build)

$(READY): pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make setup PYTHON=python3.11")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (a minute or two the first time)"
	@$(BIN)/pip install --quiet --upgrade pip
	@$(BIN)/pip install --quiet $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) '$(TORCH)'
	@$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

demo: setup ## Route a stream of generated questions over a simulated fleet, over HTTP, with a live table
	@$(BIN)/inframind demo

test: setup ## Run the test suite
	@$(BIN)/pytest -q $(PYTEST_SPREAD)

test-langchain-floor: setup ## Run LangChain's suites at the oldest LangChain and LangGraph that we promise
	@BIN=$(BIN) bash .ci/test-langchain-floor

test-ray: setup ## Run the engines' tests with Ray (installs it, 80 MB)
	@$(BIN)/pip install --quiet --editable '.[ray]'
	@$(BIN)/pytest -q tests/arena/test_engines.py

test-vllm: setup ## Run the server contract against a real vLLM on CPU (installs it in .venv-vllm, 3.5 GB)
	@BIN=$(BIN) bash .ci/test-vllm

check: setup ## Format, lint and type-check
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

bench: setup ## Run every benchmark, quickly
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file --quick || exit 1; done

wheel: setup ## Build the wheel, install it into an empty environment, and try it there
	@BIN=$(BIN) PYTHON=$(PYTHON) TORCH='$(TORCH)' TORCH_INDEX_URL='$(TORCH_INDEX_URL)' bash .ci/test-wheel

clean: ## Remove what the other targets made
	@rm -rf $(VENV) .cache .out build dist src/*.egg-info
