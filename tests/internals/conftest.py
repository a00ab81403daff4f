"""Fixtures of the internal tests: kernels are always tested with the numba backend."""

from collections.abc import Iterator

import pytest

from tinynet import config


@pytest.fixture(autouse=True)
def numba_backend() -> Iterator[None]:
    before = config.backend()
    config.set_backend("numba")
    yield
    config.set_backend(before)
