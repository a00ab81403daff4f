"""Kernels are tested on the backend that has them, whichever the other tests compute with."""

from collections.abc import Iterator

import pytest

from tinynet import config


@pytest.fixture(autouse=True)
def numba_backend() -> Iterator[None]:
    before = config.backend()
    config.set_backend("numba")
    yield
    config.set_backend(before)
