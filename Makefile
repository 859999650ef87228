# Every command of the project, one line each; `make` lists them.
# Paths stay relative: the folder's own name may hold spaces and Chinese characters.

PYTHON ?= python3
BIN = .venv/bin
GATES = tests/test_layers.py tests/test_catalogue.py tests/test_migrations.py tests/test_permissions.py

# Chinese is printed and read as UTF-8, whatever the terminal's locale says.
export PYTHONUTF8 = 1

.DEFAULT_GOAL = help
.PHONY: help run setup reset test check static fmt lint types migration translations bench bench-quick pins

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name what; do printf '  make %-14s %s\n' "$$name" "$$what"; done

run: setup  ## start the demo on http://127.0.0.1:8080 (HOST, PORT and APP_PROFILE override)
	@exec $(BIN)/python app.py

setup:  ## make everything ready, but do not serve
	@$(PYTHON) tools/setup.py run

reset:  ## stop the demo and empty its data
	@$(PYTHON) tools/setup.py reset

test: tools-for-tests  ## run the whole suite in random order (TESTS="..." for a part of it)
	@APP_PROFILE=test $(BIN)/python -m pytest -n 2 --dist loadgroup $(TESTS)

check: static  ## all gates: format, lint, types, analysis, dependencies, layers, catalogue, migrations (AUDIT=1: an audit is a must)
	@APP_PROFILE=test $(BIN)/python -m pytest $(GATES)

static: tools-for-tests  ## the gates that are no tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(PYTHON) tools/setup.py analysis
	@$(BIN)/python tools/analysis.py

fmt: tools-for-tests  ## format the code and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lint: tools-for-tests  ## ruff alone
	@$(BIN)/ruff check .

types: tools-for-tests  ## mypy alone
	@$(BIN)/mypy

migration: tools-for-tests  ## write a migration from the models: make migration m="what it does"
	@$(BIN)/flask db revision --autogenerate -m "$(m)"

translations: tools-for-tests  ## gather the texts of the code into the catalogue, and compile it
	@$(BIN)/python tools/translations.py

bench: setup  ## measure everything against its yardstick
	@$(PYTHON) tools/setup.py bench
	@$(BIN)/python -m bench

bench-quick: setup  ## the same in under two minutes
	@$(PYTHON) tools/setup.py bench
	@$(BIN)/python -m bench --quick

pins: tools-for-tests  ## resolve pyproject.toml anew into requirements*.txt
	@$(BIN)/python tools/pins.py

.PHONY: tools-for-tests
tools-for-tests:
	@$(PYTHON) tools/setup.py tests
