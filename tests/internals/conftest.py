"""Fixtures of the internal tests: kernels are always tested with the numba backend."""

import pytest

from tinynet import config


@pytest.fixture(autouse=True)
def numba_backend() -> None:
    config.set_backend("numba")
