"""Access to private settings for `conftest`."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from tinynet import config
from tinynet.training import blas_threads, profile


def current() -> dict[str, Any]:
    """Return the current values of all settings."""
    return vars(config._settings).copy()


def setters() -> list[str]:
    """Return the names of the functions that change settings."""
    return [f"{config.__name__}.set_{name}" for name in current()]


def only_set_in_main_thread() -> None:
    """Raise an error if a test that runs in several threads changes a setting."""

    class Settings(SimpleNamespace):
        def __setattr__(self, name: str, value: Any) -> None:
            in_main = threading.current_thread() is threading.main_thread()
            assert in_main, "a test that changes settings must be marked as thread_unsafe"
            super().__setattr__(name, value)

    config._settings = Settings(**current())


def limit_blas(threads: int) -> None:
    """Set the number of BLAS threads; plugins of pytest import NumPy before `conftest` does."""
    if blas_threads._functions is not None:
        blas_threads._functions[0](threads)


def measure_briefly() -> None:
    """Shorten profile measurements: no test needs exact times."""
    profile._SECONDS = 0.0
