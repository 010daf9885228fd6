# `make help` lists the targets. Each does all the set-up it needs; nothing is written outside this folder.
.DEFAULT_GOAL := help
.PHONY: help setup test test-long bench-batch bench-import bench-ingest bench-memory chaos demo ui serve lint lock clean

VENV := .venv
BIN := $(VENV)/bin
CONFINED := -m orchestration.environment
LOCKS := requirements-carried.lock requirements.lock pyproject.toml
# A finished set-up leaves a stamp named after what it installed and where; an unfinished one leaves none.
KEY := $(shell { cat $(LOCKS); pwd; } | cksum | tr ' ' '-')
STAMP := $(VENV)/ready-$(KEY)
TEST_TMP := .cache/test
PYTEST = TMPDIR="$(CURDIR)/$(TEST_TMP)" INTENT_STATE="$(CURDIR)/$(TEST_TMP)/state" \
  $(BIN)/python $(CONFINED) $(BIN)/python -m pytest -q

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z-]*\):.*## /  make \1: /p' Makefile

setup: $(STAMP) ## install the locked dependencies into .venv
	@:

$(STAMP): $(LOCKS)
	@python=; for candidate in $(PYTHON) python3.11 python3 python; do \
	  "$$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null \
	    && { python=$$candidate; break; }; done; \
	[ -n "$$python" ] || { echo "Python 3.11 is needed and was not found on the PATH; name one with: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }; \
	echo "Setting up $(VENV) with $$("$$python" --version): about 180 packages, some minutes"; \
	rm -rf $(VENV) && "$$python" -m venv $(VENV)
	@$(BIN)/python $(CONFINED) $(BIN)/pip install --disable-pip-version-check \
	  --no-deps --only-binary :all: --require-hashes -r requirements-carried.lock
	@$(BIN)/python $(CONFINED) $(BIN)/pip install --disable-pip-version-check --no-compile -r requirements.lock
	@$(BIN)/python $(CONFINED) $(BIN)/pip install --disable-pip-version-check --quiet \
	  --no-deps --no-build-isolation --editable .
	@$(BIN)/python $(CONFINED) $(BIN)/pip check --disable-pip-version-check
	@rm -rf .cache/pip && touch $@

test: setup ## run the tests, or some with ARGS="-k name"
	@rm -rf $(TEST_TMP) && mkdir -p $(TEST_TMP)
	@$(PYTEST) -n 2 --dist loadfile --no-loadscope-reorder -m "not long" $(ARGS)

test-long: setup ## run the tests that take minutes each
	@rm -rf $(TEST_TMP) && mkdir -p $(TEST_TMP)
	@$(PYTEST) -m long $(ARGS)

bench-import: setup ## measure how fast logs are imported; FORMATS="otto ubi" ROWS=1000000
	@$(BIN)/python $(CONFINED) $(BIN)/python -m tests.benchmarks.import_speed

chaos: setup ## kill processes at random under load, then count every event; KILLS=100 SEED=7
	@$(BIN)/python $(CONFINED) $(BIN)/python -m tests.chaos --kills $(or $(KILLS),100) --seed $(or $(SEED),7)

bench-ingest: setup ## measure what taking in events costs, beside a bare client of Redis; EVENTS=20000 ROUNDS=7
	@$(BIN)/python $(CONFINED) $(BIN)/python -m tests.benchmarks.ingest_speed

bench-batch: setup ## measure the batch jobs beside DuckDB; SIZES="1 3 10" (millions of events) ROUNDS=3
	@$(BIN)/python $(CONFINED) $(BIN)/python -m tests.benchmarks.batch_speed

bench-memory: setup ## measure what Redis holds of a shopper; DAYS=8 EVENTS=200000
	@$(BIN)/python $(CONFINED) $(BIN)/python -m tests.benchmarks.redis_memory

demo: export DATA := $(DATA)
demo: export SERVE := $(SERVE)
demo: setup ## run it all, on DATA=path/to/log.csv or a simulated log; SERVE=0 stops after the report
	@$(BIN)/python -m orchestration.demo

ui: setup ## open Dagster's UI
	@$(BIN)/python $(CONFINED) $(BIN)/dagster dev -w workspace.yaml

serve: setup ## run the online API
	@$(BIN)/intent serve

lint: setup ## check the style
	@$(BIN)/python $(CONFINED) $(BIN)/ruff check .

lock: ## compile requirements.lock from requirements.in (needs uv, and pip's find-links with a CPU torch)
	@sed '/^torch==/d' requirements.lock > requirements.lock.new
	@UV_FIND_LINKS="$${UV_FIND_LINKS:-$$PIP_FIND_LINKS}" uv pip compile --quiet requirements.in \
	  --output-file requirements.lock.new --python-version 3.11 --no-header --annotation-style line
	@{ sed '/^#/!Q' requirements.lock; sed "s/+cpu/    /" requirements.lock.new; } > requirements.lock.head
	@mv requirements.lock.head requirements.lock && rm requirements.lock.new

clean: ## delete .venv, .cache and the state of every run
	@for state in .state .state/demo/*; do [ ! -d "$$state/redis" ] || $(BIN)/python -c \
	  'import pathlib, sys, online_api.redis_server as server; server.stop_redis(pathlib.Path(sys.argv[1]))' "$$state"; done
	@rm -rf $(VENV) .cache .state
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf ./*.egg-info
