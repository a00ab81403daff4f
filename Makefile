# The two commands of the README. Both need Python 3.10 or newer with pip and venv, nothing else.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: train test lint clean

train: $(BIN)/tinynet
	$(BIN)/tinynet train

test: .venv/test-installed
	$(BIN)/python -m pytest

lint: .venv/lint-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf .venv

$(BIN)/python:
	$(PYTHON) -m venv .venv

$(BIN)/tinynet: $(BIN)/python setup.cfg
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/%-installed: $(BIN)/tinynet
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@
