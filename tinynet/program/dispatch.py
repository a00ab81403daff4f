"""Readable and fast side by side: `dispatch.NAME` is the function NAME that the backend chose.

On the ``"numpy"`` backend it is the one in `functional`. On ``"numba"`` it is its twin in
`kernels`, where there is one. `PAIRS` lists the twins, for the tests that compare them and the
benchmarks that time them. The library always calls ``dispatch.dense(...)``, never a name imported
from here, so that changing the backend really changes what runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet import config
from tinynet.functional import dense_net as functional

Pair = tuple[Callable[..., Any], Callable[..., Any]]

_resolved: list[str] = []


def __getattr__(name: str) -> Any:
    if name == "PAIRS":
        value: Any = _pairs()
    elif name == "dense_in_training":
        # As the fused training loop computes it, whatever the number of rows.
        value = functional.dense
        if config.backend() == "numba":
            value = _fast(*_pairs()["dense"], smallest=1)
        _resolved.append(name)
    elif name.startswith("_") or not hasattr(functional, name):
        raise AttributeError(f"module 'tinynet.program.dispatch' has no attribute {name!r}")
    else:
        value = getattr(functional, name)
        if config.backend() == "numba":
            value = _fast(*_pairs().get(name, (value, value)))
        _resolved.append(name)
    # Kept as an ordinary attribute until the backend changes: a call then costs nothing more.
    globals()[name] = value
    return value


def _pairs() -> dict[str, Pair]:
    """Return each kernel with its reference; importing Numba waits until it is needed."""
    from tinynet import kernels

    pairs: dict[str, Pair] = {}
    for name in kernels.__all__:
        if not hasattr(functional, name):
            raise ImportError(f"The kernel {name} has no reference in functional")
        pairs[name] = (getattr(functional, name), getattr(kernels, name))
    return pairs


def _fast(
    reference: Callable[..., Any], kernel: Callable[..., Any], smallest: int | None = None
) -> Callable[..., Any]:
    """Return the kernel; of dense products, what chooses between it and BLAS."""
    if reference.__name__ not in ("dense", "dense_gradients", "dense_backward"):
        return kernel
    from tinynet import kernels

    # Which matrix is the kernel's, and by which axes each pair of matrices meets: kernels do not
    # check; a pair that does not fit is left to NumPy, which says so.
    weights = 2 if reference.__name__ == "dense_gradients" else 1
    meets = {
        "dense": ((0, 1, 1, 0), (2, 0, 0, 0), (2, 1, 1, 1)),
        "dense_gradients": ((0, 0, 1, 0), (2, 0, 0, 1), (2, 1, 1, 1)),
        "dense_backward": ((0, 1, 1, 1), (2, 0, 0, 0), (2, 1, 1, 0)),
    }[reference.__name__]

    if smallest is None:
        # Of fewer than four rows most of the kernel's registers would be empty; but there is one
        # order of sums in training.
        smallest = 4 if reference.__name__ == "dense" else 1

    def product(*arrays: Any) -> Any:
        if len(arrays[0]) < smallest:
            return reference(*arrays)
        matrices = [a for a in arrays if a is not None and a.ndim == 2]
        suits = len(matrices) == 3 and kernels.products_pay(matrices[weights].size)
        if not suits or any(a.dtype != np.float32 or not a.flags.c_contiguous for a in matrices):
            return reference(*arrays)
        if any(matrices[a].shape[i] != matrices[b].shape[j] for a, i, b, j in meets):
            return reference(*arrays)
        kernel(*arrays)
        return arrays[-1]

    return product


def _forget() -> None:
    while _resolved:
        globals().pop(_resolved.pop(), None)


config._on_backend_change.append(_forget)
