"""Shared helpers of the tests that are not fixtures."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from typing import Any

try:
    import pytest
except ModuleNotFoundError:  # `python -m tests.parity` does not need it
    pytest = None  # type: ignore[assignment]

#: Timeout in seconds, after which a test is assumed to hang; far longer than any test takes, even
#: on a busy machine.
HUNG = 900
#: Mark of tests that compare with Keras 3.13 or newer.
newer_keras = pytest and pytest.mark.skipif(
    sys.version_info < (3, 11), reason="needs Keras 3.13 or newer, which needs Python 3.11"
)


def mostly_slow(names: Iterable[str], *everyday: str, mark: Any = pytest.mark.slow) -> list[Any]:
    """Return parameters for `pytest.mark.parametrize`; all names except `everyday` are slow."""
    names = list(names)
    assert set(everyday) <= set(names)
    return [pytest.param(name, id=name, marks=() if name in everyday else mark) for name in names]


def mostly_wide(names: Iterable[str], *everyday: str) -> list[Any]:
    """Return parameters like `mostly_slow`, but with the mark "wide" instead of "slow".

    Wide tests also run in the other configurations of `.ci/run`.
    """
    return mostly_slow(names, *everyday, mark=pytest.mark.wide)


class RandomNumbers(threading.local):
    """Random number generator of a file; `conftest` resets it for each test, and in each thread."""

    def __init__(self, seed: int) -> None:
        import numpy as np  # not above: `tests.parity` sets the number of BLAS threads before

        self._generator = np.random.default_rng(seed)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)
