# Every target sets up what it needs by itself; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help setup demo test conformance chaos bench lint docs

PYTHON := .venv/bin/python

CONFIGURATIONS ?= 3000
SEED ?= random
RUNS ?= 20
HOSTS ?= 3

help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: ## install what is missing: Debian packages (as root) and .venv
	@bash scripts/setup test

demo: setup ## show zones, a mirror, a redirect and a live migration in a lab of two hosts (as root)
	@$(PYTHON) -m topologies.demo

test: setup ## run the whole test suite, real Open vSwitch included (as root)
	@bash scripts/test

conformance: setup ## run the cases that others wrote, and CONFIGURATIONS=3000 generated ones from SEED=random, on real Open vSwitch, too
	@ZONEWALL_CONFIGURATIONS=$(CONFIGURATIONS) $(PYTHON) -m pytest -o timeout=14400 --hypothesis-seed=$(SEED) tests/conformance \
	  tests/property/test_compiled_equals_policy.py tests/property/test_assertions.py tests/property/test_lint.py \
	  tests/ovs/test_compiled_on_switch.py tests/ovs/test_simulator_equals_switch.py

chaos: setup ## do faults of every kind to HOSTS=3 hosts under traffic, RUNS=20 times from SEED=random on (as root)
	@ZONEWALL_CHAOS=$(RUNS) ZONEWALL_CHAOS_HOSTS=$(HOSTS) ZONEWALL_CHAOS_SEED=$(if $(filter random,$(SEED)),$$(shuf -i 1-99999 -n 1),$(SEED)) $(PYTHON) -m pytest -s \
	  tests/net/test_chaos.py

bench: setup ## measure, and write bench/results.json
	@$(PYTHON) -m bench

lint: ## check style, types, layers and spelling
	@bash scripts/setup test,lint
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/codespell

docs: setup ## write docs/pipeline.md and policies/schema anew from what they describe
	@$(PYTHON) -m zonewall.pipeline.document
	@$(PYTHON) -m zonewall.policy.schemas
