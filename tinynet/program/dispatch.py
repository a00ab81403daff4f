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

# By which axes each pair of matrices of a dense product meets.
_MEETS = {
    "dense": ((0, 1, 1, 0), (2, 0, 0, 0), (2, 1, 1, 1)),
    "dense_gradients": ((0, 0, 1, 0), (2, 0, 0, 1), (2, 1, 1, 1)),
    "dense_backward": ((0, 1, 1, 1), (2, 0, 0, 0), (2, 1, 1, 0)),
}


def __getattr__(name: str) -> Any:
    own = "dense" if name == "dense_in_training" else name
    if name == "PAIRS":
        value: Any = _pairs()
    elif name.startswith("_") or not hasattr(functional, own):
        raise AttributeError(f"module 'tinynet.program.dispatch' has no attribute {name!r}")
    else:
        value = getattr(functional, own)
        if False:
            # With fewer than four rows most of the kernel's registers would be empty; but training
            # has one order of sums, that of the fused training loop.
            reference, kernel = _pairs().get(own, (value, value))
            value = _fast(reference, kernel, smallest=4 if name == "dense" else 1)
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
    reference: Callable[..., Any], kernel: Callable[..., Any], smallest: int
) -> Callable[..., Any]:
    """Return the kernel; for a dense product, a function that chooses between it and BLAS."""
    if reference.__name__ not in _MEETS:
        return kernel
    from tinynet import kernels

    # Kernels do not check shapes: NumPy raises an error for matrices that do not fit.
    weights = 2 if reference.__name__ == "dense_gradients" else 1
    meets = _MEETS[reference.__name__]

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
    for name in (*functional.__all__, "dense_in_training"):
        globals().pop(name, None)


config._on_backend_change.append(_forget)
