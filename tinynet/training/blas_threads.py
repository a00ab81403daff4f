"""Hold back BLAS: for small products its threads cost more than they compute.

Where NumPy's BLAS is OpenBLAS or MKL it would give each product of a few microseconds to all
cores, and its waiting threads would take them from everybody else.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

# Names of "set" and "get", as the different builds spell them.
_SPELLINGS = (
    ("scipy_openblas_set_num_threads64_", "scipy_openblas_get_num_threads64_"),
    ("scipy_openblas_set_num_threads", "scipy_openblas_get_num_threads"),
    ("openblas_set_num_threads64_", "openblas_get_num_threads64_"),
    ("openblas_set_num_threads", "openblas_get_num_threads"),
    ("MKL_Set_Num_Threads", "MKL_Get_Max_Threads"),
)


def _find() -> tuple[Callable[[int], Any], Callable[[], int]] | None:
    """Find the functions in the library that NumPy has loaded; None if it has no such BLAS."""
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
    # Or a child might be born with it locked by a thread that it does not have.
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )
_depth = 0
_before = 1


def num_threads() -> int:
    """Return how many threads NumPy's BLAS uses at most.

    Returns
    -------
    int
        The number; 1 where it can't be asked.

    Examples
    --------
    >>> num_threads() >= 1
    True
    """
    return 1 if _functions is None else int(_functions[1]())


class Computing:
    """While it is entered, BLAS computes on one thread, and overflow is no warning.

    What overflows ends in a loss that is no number, which training looks at by itself. It can be
    entered by several threads at once; the last to leave sets BLAS back to what it was.

    Examples
    --------
    >>> with Computing():
    ...     num_threads()
    1
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
