.DEFAULT_GOAL := help
.PHONY: help setup demo serve test check quick format bench bench-growth torture tour transcript clean lint

BIN := .venv/bin
ENSURE := . scripts/venv.sh && ensure_venv dev ".[dev]"

help: ## List every command
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv and install Faregate with its development tools
	@$(ENSURE)

demo: ## Run the demo
	@scripts/demo

serve: setup ## Serve the API and the dashboard
	@$(BIN)/faregate serve

test: ## Do what CI does, from a fresh clone on
	@scripts/test

lint: setup ## Run the linters and check types, formatting and imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

check: lint ## Run the linters and all tests
	@$(BIN)/pytest -n 2 --dist loadfile

quick: lint ## Run the linters and the quick tests below the faces, on SQLite alone (under a minute)
	@$(BIN)/pytest -n 2 --dist loadfile -m "not slow" -k "not postgresql" \
		--hypothesis-profile quick tests/core tests/store tests/ledger tests/insights

format: setup ## Format the code and fix what the linter can fix
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: setup ## Measure rates and costs, beside baselines (half an hour; needs wrk, redis-server)
	@$(BIN)/python -m benchmarks

bench-growth: setup ## Measure a ledger that grows to 10,000,000 events
	@$(BIN)/python -m benchmarks --level growth --long-growth

torture: setup ## Do harm for an hour or two, and print what was lost (nothing)
	@$(BIN)/python -m tests.faults

tour: setup ## Look at every page of a demo, and write docs/tour.md anew
	@FAREGATE_TOUR=1 $(BIN)/pytest tests/web/test_tour.py

transcript: setup ## Live the story of an assistant that sets up billing, and write docs/transcript.md anew
	@FAREGATE_TRANSCRIPT=1 $(BIN)/pytest -k transcript tests/scenarios/test_an_assistant_sets_up_credit_packs.py

clean: ## Remove caches, builds and .venv
	rm -rf .venv build dist htmlcov mutants .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
