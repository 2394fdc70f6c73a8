# Everything runs in .venv, which the first verb creates. PYTHON picks the interpreter, TORCH=cpu a torch without CUDA.
PYTHON ?= python3
TORCH ?=
VENV := .venv
BIN := $(VENV)/bin
# mypy wants the package under its own name, whatever the checkout's folder is called.
TYPING := $(VENV)/typing
READY := $(VENV)/ready$(if $(TORCH),-$(TORCH))
.DEFAULT_GOAL := help
.PHONY: help demo test check format up faults nemesis bench clean

help:  ## list the verbs
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16
	@echo "  Without an NVIDIA GPU, TORCH=cpu spares the download of the CUDA libraries: make demo TORCH=cpu"

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Dragoman needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || { echo "installing uv into $(VENV)"; $(BIN)/python -m pip install --quiet uv; }
	@echo "installing Dragoman and its libraries into $(VENV)$(if $(TORCH), (torch backend: $(TORCH)))"
	@$(BIN)/uv pip install --compile-bytecode --python $(BIN)/python $(if $(TORCH),--torch-backend=$(TORCH)) --editable '.[dev]'
	@touch $@

demo: $(READY)  ## the whole pipeline on a real Kafka and a real PostgreSQL, under a minute
	@$(BIN)/dragoman demo

test: $(READY)  ## all tests, those with services too
	$(BIN)/pytest

check: $(READY)  ## formatter, linter, types, import contracts, tests without services
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@mkdir -p $(TYPING) && ln -sfn $(CURDIR) $(TYPING)/dragoman
	cd $(TYPING) && MYPYPATH=. $(CURDIR)/$(BIN)/mypy --config-file $(CURDIR)/pyproject.toml --cache-dir $(CURDIR)/.mypy_cache -p dragoman
	$(BIN)/lint-imports
	$(BIN)/pytest -q -m "not services"

format: $(READY)  ## apply the formatter and the linter's fixes
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

up: $(READY)  ## a local Kafka and PostgreSQL until Ctrl-C
	@$(BIN)/dragoman up

faults: $(READY)  ## every fault of the matrix on real services, about an hour; docs/reliability.md gets the table
	$(BIN)/python -m dragoman.tests.faults --report docs/reliability.md
	$(BIN)/python -m dragoman.tests.faults.mutation

SEED ?= 1
MINUTES ?= 10
nemesis: $(READY)  ## faults composed at random: make nemesis SEED=1 MINUTES=10
	$(BIN)/dragoman-nemesis --seed $(SEED) --minutes $(MINUTES)

bench: $(READY)  ## the side-by-side measurements
	@for file in benchmarks/[a-z]*.py; do echo "== $$file"; $(BIN)/python $$file; done

clean:  ## remove everything that make and the local stack created here
	rm -rf $(VENV) .dragoman build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
