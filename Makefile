# Needs Python >= 3.11, git and make; everything else is set up here, in .venv.
PYTHON ?= python3
UV := .venv/bin/uv

# `$(call quoted,NAME)`: the value of a variable as it was typed, quoted as one word for the shell.
# If make expanded it, or the shell got it unquoted, a value could run a program.
quoted = '$(subst ','\'',$(value $(1)))'
unexport user day days users folder from to PARAMETERS PORT MINISTACK_PORT HOST

.DEFAULT_GOAL := help
.PHONY: help install lint test test-all

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check uv

.venv/.installed: $(UV) pyproject.toml layers/callback/pyproject.toml cli/pyproject.toml uv.lock
	$(UV) sync --quiet --frozen --inexact
	@touch $@

install: .venv/.installed ## Set up the development environment in .venv

lint: .venv/.installed ## Check the code with ruff and mypy
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy

test: .venv/.installed .venv-proxy/.installed ## Run the tests that need no Docker, no Java and no AWS account (11 minutes)
	.venv/bin/pytest -n 3

test-all: test ## Run make test, then the long tests: crashes, updates, faults, simulations, every command
	.venv/bin/pytest -n 3 -m long

.PHONY: lock

lock: $(UV) ## Write uv.lock and functions/requirements.txt, after a change of pyproject.toml
	$(UV) lock
	$(UV) export --quiet --frozen --only-group lambda --no-emit-workspace --no-annotate --output-file functions/requirements.txt

.PHONY: test-litellm

LITELLM_TESTS := tests/e2e/test_charges.py tests/e2e/test_deploy_files.py tests/e2e/test_callback_process.py \
  tests/e2e/test_demo.py::test_every_figure_agrees_and_nothing_is_left

LITELLM_ENVIRONMENTS := $(or $(only),.venv-proxy .venv-proxy-newest)

test-litellm: .venv/.installed $(addsuffix /.installed,$(LITELLM_ENVIRONMENTS)) ## Test the callback in LiteLLM's pinned version and in the newest (only=.venv-proxy-newest)
	@failed=; for environment in $(LITELLM_ENVIRONMENTS); do \
	  LITELLM_ENVIRONMENT=$$environment .venv/bin/pytest -n 2 -m "long or not long" $(LITELLM_TESTS) \
	    || failed="$$failed $$environment"; \
	done; test -z "$$failed" || { echo "Failed with the LiteLLM of:$$failed"; exit 1; }

.PHONY: audit

audit: .venv/.installed ## Look for unsafe code, secrets in the repository, and known vulnerabilities of the packages
	.venv/bin/bandit --quiet --configfile pyproject.toml --recursive functions layers cli deploy
	git ls-files -z | xargs -0 .venv/bin/detect-secrets-hook --baseline .secrets.baseline
	@.venv/bin/python -m local.audit

.PHONY: faults

faults: .venv/.installed ## Test each function while DynamoDB and SQS fail in every way (some minutes)
	.venv/bin/pytest tests/faults tests/e2e/test_faults.py -m "long or not long"

.PHONY: simulate

simulate: .venv/.installed ## Simulate the whole path with random failures, one simulation a seed (seeds=1000, first=0; seed=N for one)
	@PYTHONPATH=functions:layers/callback:. .venv/bin/python -m tests.simulation $(if $(seed),--seed $(seed),--seeds $(or $(seeds),1000) --first $(or $(first),0))

SAM := PATH="$(CURDIR)/.venv/bin:$$PATH" SAM_CLI_TELEMETRY=0 .venv/bin/sam

.PHONY: local months build validate deploy revert-drift rollup rate replay erase put-back

# As they are typed: make expands no `$` in them, and the shell expands each variable to one word.
override date := $(value date)
override usd := $(value usd)
override reason := $(value reason)
override yes := $(value yes)
override STACK := $(value STACK)
export date usd reason STACK

IMPACT := .venv/bin/impact
in_stack = $${STACK:+--stack="$$STACK"}

local: .venv/.installed ## Run the stack on this machine until Ctrl-C; its API is http://localhost:3090 (PORT=, MINISTACK_PORT=, HOST=0.0.0.0 for containers, PARAMETERS="Name=value")
	@.venv/bin/python -m local.stack $(if $(findstring command,$(origin HOST)),--host=$(call quoted,HOST)) $(if $(value PORT),--port=$(call quoted,PORT)) $(if $(value MINISTACK_PORT),--ministack-port=$(call quoted,MINISTACK_PORT)) --parameters=$(call quoted,PARAMETERS)

months: .venv/.installed ## Fill the stack of make local with three months of made-up use (days=92, users=40)
	@.venv/bin/python -m local.months $(if $(value days),--days=$(call quoted,days)) $(if $(value users),--users=$(call quoted,users))

build: .venv/.installed ## Build the zips, for AWS and for `sam local`
	$(SAM) build

validate: .venv/.installed ## Check the template by SAM's, CloudFormation's and serverless rules
	$(SAM) validate --lint
	.venv/bin/cfn-lint --template template.yaml --append-rules cfn_lint_serverless.rules

deploy: .venv/.installed ## Deploy to AWS; asks for parameters the first time (STACK=impact, yes=1, PARAMETERS="Name=value ...")
	@$(IMPACT) deploy $(in_stack) $(if $(yes),--yes) --parameters=$(call quoted,PARAMETERS)

revert-drift: .venv/.installed ## Bring back what was deleted or changed by hand in a deployed stack (STACK=impact, yes=1)
	@$(IMPACT) revert-drift $(in_stack) $(if $(yes),--yes)

rollup: .venv/.installed ## Recompute a day of a deployed stack (day=YYYY-MM-DD, STACK=impact)
	@$(IMPACT) rollup $(in_stack) -- $(call quoted,day)

rate: .venv/.installed ## Store an fx rate by hand, or correct one (date=YYYY-MM-DD, usd=1.1172, reason="...", yes=1, STACK=impact)
	@$(IMPACT) rates enter $(in_stack) $(if $(yes),--yes) $${reason:+--reason="$$reason"} -- "$$date" "$$usd"

replay: .venv/.installed ## Repeat the failed calls in the dead-letter queues (STACK=impact)
	@$(IMPACT) replay $(in_stack)

# Anybody may have chosen the id: no text that the shell reads contains it.
override ERASED_USER := $(value user)
export ERASED_USER

erase: .venv/.installed ## Delete all events and summaries of one user from a deployed stack (user=ID, else asked for; everywhere=1, yes=1, STACK=impact)
	@$(IMPACT) erase $(in_stack) $(if $(value everywhere),--everywhere) $(if $(yes),--yes) -- $${ERASED_USER:+"$$ERASED_USER"}

put-back: .venv/.installed ## Copy missing items from a restored table into a table (from=TABLE, to=TABLE; docs/runbook.md)
	@$(IMPACT) put-back -- $(call quoted,from) $(call quoted,to)

.PHONY: demo proxy-env

demo: .venv/.installed .venv-proxy/.installed ## Let users chat through a real LiteLLM proxy into the stack on this machine, and check every number (KEEP=1: then look at the page)
	@.venv/bin/python -m local.demo $(if $(value KEEP),--keep)

proxy-env: .venv-proxy/.installed ## Install the real LiteLLM proxy, in an environment of its own (.venv-proxy)

.venv-proxy/.installed: $(UV) pyproject.toml layers/callback/pyproject.toml uv.lock
	UV_PROJECT_ENVIRONMENT=.venv-proxy $(UV) sync --quiet --frozen --only-group proxy --python .venv/bin/python
	@touch $@

.venv-proxy-newest/.installed: $(UV) pyproject.toml layers/callback/pyproject.toml uv.lock
	UV_PROJECT_ENVIRONMENT=.venv-proxy-newest $(UV) sync --quiet --frozen --only-group proxy-newest --python .venv/bin/python
	@touch $@

.PHONY: openapi screenshots cli-reference

openapi: .venv/.installed ## Write docs/openapi.json, the description of the HTTP API, from the code
	@PYTHONPATH=functions:layers/callback:. .venv/bin/python -m local.openapi

screenshots: .venv/.installed ## Take the pictures of the pages in docs/screenshots (needs Chromium)
	@.venv/bin/python -m local.screenshots $(if $(value folder),--folder=$(call quoted,folder))

cli-reference: .venv/.installed ## Write docs/cli.md, the reference of the command line, from the code
	@.venv/bin/python -m local.cli_reference

.PHONY: fuzz crashes

fuzz: .venv/.installed ## Send much bad input to the functions and over HTTP; prints statistics (rounds=10)
	FUZZ_ROUNDS=$(or $(rounds),10) .venv/bin/pytest --timeout 3600 -m "long or not long" \
	  tests/fuzz tests/e2e/test_openapi.py tests/e2e/test_bad_input.py

crashes: .venv/.installed .venv-proxy/.installed ## Kill a real LiteLLM proxy under load, again and again, and look for lost events (rounds=20, seed=)
	@.venv/bin/python -m tests.crashes $(if $(rounds),--rounds $(rounds)) $(if $(seed),--seed $(seed))

.PHONY: librechat

librechat: .venv/.installed ## Test with a running LibreChat: users chat, stop and close tabs; each call is in the ledger once
	@.venv/bin/python -m tests.librechat

.PHONY: bench load

load: .venv/.installed ## Put a load with bursts on the stack on this machine (seconds=300, rate=20)
	@.venv/bin/python -m benchmarks.load $(if $(seconds),--seconds $(seconds)) $(if $(rate),--rate $(rate))

bench: build .venv-proxy/.installed ## Run the benchmarks (15 minutes; smallest=1 only shows that they work)
	@.venv/bin/python -m benchmarks $(if $(smallest),--smallest)
