"""Access to private settings for `conftest`."""

from __future__ import annotations

from typing import Any

from tinynet import config
from tinynet.training import blas_threads, profile


def current() -> dict[str, Any]:
    """Return the current values of all settings."""
    return vars(config._settings).copy()


def setters() -> list[str]:
    """Return the names of the functions that change settings."""
    return [f"{config.__name__}.set_{name}" for name in current()]


def limit_blas(threads: int) -> None:
    """Set the number of BLAS threads; plugins of pytest import NumPy before `conftest` does."""
    if blas_threads._functions is not None:
        blas_threads._functions[0](threads)


def measure_briefly() -> None:
    """Shorten profile measurements: no test needs exact times."""
    profile._SECONDS = 0.0
