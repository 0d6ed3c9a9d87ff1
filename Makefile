# `make demo` and `make test` need Python 3.11 or newer and make; each sets up all the rest in .venv.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
CODE   := meshflow_prefect flows tests benchmarks demo
# Tests mostly wait, for servers and for batches: three at once keep two cores busy.
JOBS   ?= 3

# Without .pyc files every process start, and so every wake of a run, costs twice as much.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test check faults live bench lock clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY) ## set up .venv: the pinned requirements and this package

$(READY): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	  f"Python 3.11 or newer is needed, $(PYTHON) is {v[0]}.{v[1]}. Try: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	@# Everything is pinned in there. pip would look for the newest of what is required with an extra.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

demo: install ## see a real suspension: a server, a worker, the emulator, and one batch (STAY=1: keep the UI up)
	@$(BIN)/python -m demo $(if $(STAY),--stay)

test: install ## run every test (JOBS=1: one after the other)
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal

check: install ## format, lint, strict types, duplicates of code
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/pylint --disable=all --enable=duplicate-code --min-similarity-lines=8 \
	  --ignore-imports=yes --ignore-signatures=yes --score=no meshflow_prefect

faults: install ## the fault tests alone; writes docs/faults.md (KILLS=200 SEED=7: more random kills)
	$(BIN)/python -m pytest tests/faults --write-matrix $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

live: install ## two tiny requests to the real API, where ANTHROPIC_API_KEY is set
	@$(BIN)/python -m demo.live

bench: install ## one job in six ways, side by side; writes docs/benchmarks.md (MILLION=1: a million rows too)
	@$(BIN)/python -m benchmarks $(if $(MILLION),--million) $(if $(ROUNDS),--rounds $(ROUNDS))

lock: ## compile requirements.txt anew (needs uv)
	uv pip compile --universal --python-version 3.11 --group dev --all-extras pyproject.toml \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	  --upgrade --quiet --output-file requirements.txt

clean: ## remove what the other targets made
	rm -rf $(VENV) dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis
