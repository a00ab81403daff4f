"""Limit the BLAS library of NumPy to one thread: more threads slow down small products.

OpenBLAS and MKL would distribute even products of a few microseconds over all cores, and their
waiting threads would take CPU time from other threads.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

# Names of the functions that set and get the number of threads, in different builds.
_SPELLINGS = (
    ("scipy_openblas_set_num_threads64_", "scipy_openblas_get_num_threads64_"),
    ("scipy_openblas_set_num_threads", "scipy_openblas_get_num_threads"),
    ("openblas_set_num_threads64_", "openblas_get_num_threads64_"),
    ("openblas_set_num_threads", "openblas_get_num_threads"),
    ("MKL_Set_Num_Threads", "MKL_Get_Max_Threads"),
)


def _find() -> tuple[Callable[[int], Any], Callable[[], int]] | None:
    """Return the functions that set and get the number of BLAS threads; None if unsupported."""
    for module in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):
        try:
            library = ctypes.CDLL(str(importlib.import_module(module).__file__))
        except (ImportError, OSError):
            continue
        for set_name, get_name in _SPELLINGS:
            if hasattr(library, set_name):
                return getattr(library, set_name), getattr(library, get_name)
    return None


_functions = _find()
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    # Otherwise, a forked process could inherit a locked lock that none of its threads can release.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )
_depth = 0
_before = 1


def num_threads() -> int:
    """Return the maximum number of threads of NumPy's BLAS; 1 if it is unknown."""
    return 1 if _functions is None else int(_functions[1]())


class Computing:
    """Context manager that limits BLAS to one thread and disables floating-point warnings.

    Training checks whether the loss is finite, so overflow needs no warning. Several threads may
    enter it; the last one to exit restores the number of BLAS threads.
    """

    __slots__ = ("_quiet",)

    def __enter__(self) -> None:
        global _depth, _before
        if _functions is not None:
            with _lock:
                if _depth == 0:
                    _before = _functions[1]()
                    if _before != 1:
                        _functions[0](1)
                _depth += 1
        self._quiet = np.errstate(all="ignore")
        self._quiet.__enter__()

    def __exit__(self, *error: Any) -> None:
        global _depth
        self._quiet.__exit__(*error)
        if _functions is not None:
            with _lock:
                _depth -= 1
                if _depth == 0 and _before != 1:
                    _functions[0](_before)
