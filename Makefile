# Needs Python >= 3.11, git and make; everything else is set up here, in .venv.
PYTHON ?= python3
UV := .venv/bin/uv

.DEFAULT_GOAL := help
.PHONY: help install lint test

help: ## What each command does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

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

test: .venv/.installed ## Every test that needs no Docker, no Java and no AWS account
	.venv/bin/pytest
