"""Readable and fast side by side: `ops.NAME` is the function NAME that the backend chose.

On the ``"numpy"`` backend it is the one in `functional`. On ``"numba"`` it is its twin in
`kernels`, where there is one. `PAIRS` lists the twins, for the tests that compare them and the
benchmarks that time them. The library always calls ``ops.dense(...)``, never a name imported
from here, so that changing the backend really changes what runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinynet import config, functional

PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {}


def __getattr__(name: str) -> Any:
    if name.startswith("__") or not hasattr(functional, name):
        raise AttributeError(f"module 'tinynet.ops' has no attribute {name!r}")
    function = getattr(functional, name)
    # Kept as an ordinary attribute until the backend changes: a call then costs nothing more.
    globals()[name] = function
    _resolved.append(name)
    return function


_resolved: list[str] = []


def _forget() -> None:
    while _resolved:
        globals().pop(_resolved.pop(), None)


config._on_backend_change.append(_forget)
