# The two commands of the README. Both need Python 3.10 or newer with pip and venv, nothing else.
# PYTHON=python3.12 chooses another Python than python3.
export PYTHON

.PHONY: train test lint clean

train:
	@.ci/environment
	.venv/bin/python -m tinynet train

test:
	@.ci/environment test
	.venv/bin/python -m pytest

lint:
	@.ci/environment lint
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy

clean:
	rm -rf .venv
