# mexclab: everything a person runs from a clone. `make` alone lists it.
SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
ARGS ?=
BIN := .venv/bin

# The bootstrap runs on any Python from 3.11 on; the one inside .venv is asked first.
BOOTSTRAP = for python in $(BIN)/python python3.11 python3.12 python3.13 python3.14 python3; do \
	if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	exec "$$python" -I tools/setup.py $(1); fi; done; \
	echo "mexclab needs Python 3.11 or newer on the PATH: install it and run make again." >&2; exit 1

.PHONY: help setup demo lab test crash storm halts soak check bench lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:  ## virtual environment, locked dependencies, live panel, Jupyter kernel; does only what changed
	@$(call BOOTSTRAP,)

demo: setup  ## the whole desk on simulated listings: no key, no network (ARGS="--help" for options)
	@$(BIN)/mexclab demo $(ARGS)

lab: setup  ## JupyterLab with the notebooks (ARGS passed on)
	@$(BIN)/mexclab lab $(ARGS)

# One worker more than two cores: a quarter of the time tests wait, for a process or for a silence.
test: setup  ## every test (ARGS passed on to pytest)
	@$(call BOOTSTRAP,--browser)
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

crash: setup  ## kill -9 at every await of the order path, restart, compare (ARGS="--sample 20 --seed 7")
	@$(BIN)/python -m tests.crash --all $(ARGS)

storm: setup  ## hundreds of snipes under every fault of the simulator (ARGS="--seed 7 --snipes 200")
	@$(BIN)/python -m tests.storm $(ARGS)

halts: setup  ## every way to halt in every situation: how soon nothing more is entered (ARGS="--rounds 20")
	@$(BIN)/python -m tests.halt $(ARGS)

soak: setup  ## half an hour of wall time, weeks of venue time: memory, files, loop, ledger (ARGS="--minutes 5")
	@$(BIN)/python -m tests.soak $(ARGS)

check: setup  ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# benchmarks/fit_*.py fit to data from outside the repository: run by hand.
bench: setup  ## every benchmark, quick (ARGS passed on)
	@failed=; for file in benchmarks/[a-z]*.py; do name=$$(basename "$$file" .py); \
	case "$$name" in fit_*|raw_*) continue;; esac; echo "== $$name"; \
	$(BIN)/python -m "benchmarks.$$name" --quick $(ARGS) || failed="$$failed $$name"; done; \
	if [ -n "$$failed" ]; then echo "failed:$$failed" >&2; exit 1; fi

lock: setup  ## resolve pyproject.toml anew into requirements.lock
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-header --no-annotate --extra dev pyproject.toml --output-file requirements.lock $(ARGS)

clean:  ## remove what was built: .venv, the live panel, caches
	@rm -rf .venv .venv-bench build dist frontend/node_modules mexclab/notebook/static/panel.js mexclab/notebook/static/panel.css
	@rm -rf .pytest_cache .ruff_cache .mypy_cache .hypothesis .benchmarks
	@find mexclab tests benchmarks tools -name __pycache__ -type d -prune -exec rm -rf {} +
