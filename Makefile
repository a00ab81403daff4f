# Every target requires only Python 3.10 or newer with pip and venv, and installs everything else in .venv.
# `make PYTHON=python3.12 train` selects a Python other than python3. `make clean` removes .venv and
# everything that the other targets build, but not output/, where `make train` writes.
export PYTHON

.PHONY: train test parity lint docs dist release clean

train:
	@.ci/environment
	.venv/bin/python -m tinynet train

test:
	@.ci/environment test
	.venv/bin/python -m pytest

parity:
	@.ci/environment parity
	.venv/bin/python -m tests.parity

lint:
	@.ci/environment lint
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy
	.venv/bin/python -m repo_review --show err .

docs:
	@.ci/environment docs
	.venv/bin/python -m sphinx --fail-on-warning --quiet -d docs/_build/doctrees docs docs/_build/html
	@echo "The documentation is in docs/_build/html/index.html"

dist:
	@.ci/environment dist
	.venv/bin/python .ci/dist.py
	.venv/bin/python -m twine check --strict dist/*
	.venv/bin/python -m check_wheel_contents dist/*.whl

# The distributions of a release, whose tables must have been measured with its code.
release:
	@changes="$$(git status --porcelain)" && [ -z "$$changes" ] \
	    || { echo "make: all changes must be committed, because a release is built from the last commit"; exit 1; }
	@.ci/environment dist
	.venv/bin/python -m benchmarks.staleness
	@$(MAKE) dist

clean:
	rm -rf .venv build dist *.egg-info docs/_build docs/api docs/course
