# Needs Python >= 3.11, git and make; everything else is set up here, in .venv.
PYTHON ?= python3
UV := .venv/bin/uv

# `$(call quoted,NAME)`: the value of a variable as it was typed, as one word for the shell, whatever is in it.
# Expanded by make, or handed to the recipe without quotes, it could run a program.
quoted = '$(subst ','\'',$(value $(1)))'
unexport user day from to PARAMETERS PORT MINISTACK_PORT

.DEFAULT_GOAL := help
.PHONY: help install lint test test-all

help: ## What each command does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check uv

.venv/.installed: $(UV) pyproject.toml layers/callback/pyproject.toml uv.lock
	$(UV) sync --quiet --frozen --inexact
	@touch $@

install: .venv/.installed ## Set up the development environment in .venv

lint: .venv/.installed ## ruff and mypy
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

test: .venv/.installed .venv-proxy/.installed ## Every test that needs no Docker, no Java and no AWS account (7 minutes)
	.venv/bin/pytest -n 3

test-all: test ## make test, then what takes longer: crashes, updates, faults, long simulations, every command
	.venv/bin/pytest -n 3 -m long

.PHONY: test-litellm

LITELLM_TESTS := tests/e2e/test_charges.py tests/e2e/test_deploy_files.py tests/e2e/test_callback_process.py \
  tests/e2e/test_demo.py::test_every_figure_agrees_and_nothing_is_left

LITELLM_ENVIRONMENTS := $(or $(only),.venv-proxy .venv-proxy-newest)

test-litellm: .venv/.installed $(addsuffix /.installed,$(LITELLM_ENVIRONMENTS)) ## What LiteLLM hands over, in its pinned version and the newest (only=.venv-proxy-newest)
	@failed=; for environment in $(LITELLM_ENVIRONMENTS); do \
	  LITELLM_ENVIRONMENT=$$environment .venv/bin/pytest -n 2 -m "long or not long" $(LITELLM_TESTS) \
	    || failed="$$failed $$environment"; \
	done; test -z "$$failed" || { echo "Failed with the LiteLLM of:$$failed"; exit 1; }

.PHONY: audit

audit: .venv/.installed ## Unsafe code, secrets in the repository, known vulnerabilities of what is installed
	.venv/bin/bandit --quiet --configfile pyproject.toml --recursive functions layers deploy
	git ls-files -z | xargs -0 .venv/bin/detect-secrets-hook --baseline .secrets.baseline
	@.venv/bin/python -m local.audit

.PHONY: faults

faults: .venv/.installed ## Each function while DynamoDB and SQS fail in every way (some minutes)
	.venv/bin/pytest tests/faults tests/e2e/test_faults.py -m "long or not long"

.PHONY: simulate

simulate: .venv/.installed ## The simulation with many seeds, in all that can go wrong (seeds=100000 for the night, first=0; seed= for one)
	@PYTHONPATH=functions:layers/callback:. .venv/bin/python -m tests.simulation $(if $(seed),--seed $(seed),--seeds $(or $(seeds),1000) --first $(or $(first),0))

SAM := PATH="$(CURDIR)/.venv/bin:$$PATH" SAM_CLI_TELEMETRY=0 .venv/bin/sam

.PHONY: local build validate deploy rollup rate replay erase put-back

in_stack = $(if $(value STACK),--stack=$(call quoted,STACK))

local: .venv/.installed ## The stack on this machine, its API on http://localhost:3090, until Ctrl-C (PORT=, MINISTACK_PORT=, PARAMETERS="Name=value")
	@.venv/bin/python -m local.stack $(if $(value PORT),--port=$(call quoted,PORT)) $(if $(value MINISTACK_PORT),--ministack-port=$(call quoted,MINISTACK_PORT)) --parameters=$(call quoted,PARAMETERS)

build: .venv/.installed ## The zips, for AWS and for `sam local`
	$(SAM) build

validate: .venv/.installed ## The template: SAM's rules, CloudFormation's and those for serverless
	$(SAM) validate --lint
	.venv/bin/cfn-lint --template template.yaml --append-rules cfn_lint_serverless.rules

deploy: build ## To AWS; asks the first time (STACK=impact, PARAMETERS="Name=value ...")
	@.venv/bin/python -m local.deploy $(in_stack) --parameters=$(call quoted,PARAMETERS)

rollup: .venv/.installed ## Count a day of a deployed stack again (day=YYYY-MM-DD, STACK=impact)
	@.venv/bin/python -m local.rollup $(in_stack) -- $(call quoted,day)

# As they are typed: no `$` in them is expanded, and they reach Python by the environment, not by a shell.
override date := $(value date)
override usd := $(value usd)
override reason := $(value reason)
override yes := $(value yes)
override STACK := $(value STACK)
export date usd reason STACK

rate: .venv/.installed ## Enter an exchange rate, or correct one (date=YYYY-MM-DD, usd=1.1172, reason="...", yes=1, STACK=impact)
	@.venv/bin/python -m local.rate $(if $(yes),--yes)

replay: .venv/.installed ## Do again what failed for good and waits in the dead-letter queues (STACK=impact)
	@.venv/bin/python -m local.replay $(in_stack)

# The id may be anybody's invention: it goes to Python by the environment, and stands in no command.
override ERASED_USER := $(value user)
export ERASED_USER

erase: .venv/.installed ## Delete all that a deployed stack holds of one user (user=ID, or asked for; everywhere=1, yes=1, STACK=impact)
	@.venv/bin/python -m local.erase $(in_stack) $(if $(value everywhere),--everywhere) $(if $(value yes),--yes)

put-back: .venv/.installed ## Put into a table what it lacks of a restored one (from=TABLE, to=TABLE; docs/runbook.md)
	@.venv/bin/python -m local.put_back -- $(call quoted,from) $(call quoted,to)

.PHONY: demo proxy-env

demo: .venv/.installed .venv-proxy/.installed ## The whole path on real parts: users chat, and their days are counted and checked
	@.venv/bin/python -m local.demo

proxy-env: .venv-proxy/.installed ## The real LiteLLM proxy, in an environment of its own (.venv-proxy)

.venv-proxy/.installed: $(UV) pyproject.toml layers/callback/pyproject.toml uv.lock
	UV_PROJECT_ENVIRONMENT=.venv-proxy $(UV) sync --quiet --frozen --only-group proxy --python .venv/bin/python
	@touch $@

.venv-proxy-newest/.installed: $(UV) pyproject.toml layers/callback/pyproject.toml uv.lock
	UV_PROJECT_ENVIRONMENT=.venv-proxy-newest $(UV) sync --quiet --frozen --only-group proxy-newest --python .venv/bin/python
	@touch $@

.PHONY: openapi

openapi: .venv/.installed ## docs/openapi.json, the description of the HTTP API, from the code
	@PYTHONPATH=functions:layers/callback:. .venv/bin/python -m local.openapi

.PHONY: fuzz crashes

fuzz: .venv/.installed ## Bad input at length, to the functions and over HTTP; ends with figures (rounds=10)
	FUZZ_ROUNDS=$(or $(rounds),10) .venv/bin/pytest --timeout 3600 -m "long or not long" \
	  tests/fuzz tests/e2e/test_openapi.py tests/e2e/test_bad_input.py

crashes: .venv/.installed .venv-proxy/.installed ## Kill a real proxy under load, again and again, and look for what is missing (rounds=20, seed=)
	@.venv/bin/python -m tests.crashes $(if $(rounds),--rounds $(rounds)) $(if $(seed),--seed $(seed))

.PHONY: librechat

librechat: .venv/.installed ## A LibreChat that is up: users chat, stop and close tabs, and each call is in the ledger once
	@.venv/bin/python -m tests.librechat

.PHONY: bench load

load: .venv/.installed ## A load with bursts on the stack on this machine, for five minutes (seconds=300, rate=20)
	@.venv/bin/python -m benchmarks.load $(if $(seconds),--seconds $(seconds)) $(if $(rate),--rate $(rate))

bench: .venv/.installed .venv-proxy/.installed ## What each part costs, as ratios (15 minutes; smallest=1 to see that it works)
	@.venv/bin/python -m benchmarks $(if $(smallest),--smallest)
