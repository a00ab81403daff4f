"""Products of matrices and of higher arrays, each next to its backward function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def matmul(x1: Array, x2: Array) -> Array:
    """Compute the matrix product of the last two axes; leading axes are broadcast."""
    return np.asarray(np.matmul(x1, x2))


def matmul_backward(
    d_y: Array, y: Array, x1: Array, x2: Array, needs: Sequence[bool] = (True, True)
) -> Any:
    """From ``y = x1 @ x2``: ``d_x1 = d_y @ x2.T`` and ``d_x2 = x1.T @ d_y``.

    A vector is a matrix with one row (x1) or one column (x2). What is not needed is None.

    >>> matmul_backward(np.array([[1.0]]), None, np.array([[2.0, 3.0]]), np.array([[5.0], [7.0]]))
    (array([[5., 7.]]), array([[2.],
           [3.]]))
    """
    a, b = (x1[None] if x1.ndim == 1 else x1), (x2[:, None] if x2.ndim == 1 else x2)
    d = d_y[..., None] if x2.ndim == 1 else d_y
    d = d[..., None, :] if x1.ndim == 1 else d
    d_x1 = d_x2 = None
    if needs[0]:
        d_x1 = d @ np.swapaxes(b, -1, -2)
        d_x1 = d_x1[..., 0, :] if x1.ndim == 1 else d_x1
    if needs[1]:
        d_x2 = np.swapaxes(a, -1, -2) @ d
        d_x2 = d_x2[..., 0] if x2.ndim == 1 else d_x2
    return d_x1, d_x2


def _axes(x1: Array, x2: Array, axes: Any) -> tuple[list[int], list[int]]:
    """Return the axes of each array that a tensor product sums over."""
    if isinstance(axes, int | np.integer):
        return [*range(x1.ndim - int(axes), x1.ndim)], [*range(int(axes))]
    first, second = (np.atleast_1d(a) for a in axes)
    return [int(a) % x1.ndim for a in first], [int(a) % x2.ndim for a in second]


def tensordot(x1: Array, x2: Array, axes: Any = 2) -> Array:
    """Compute the sum of products over pairs of axes."""
    return np.asarray(np.tensordot(x1, x2, axes))


def tensordot_backward(d_y: Array, y: Array, x1: Array, x2: Array, axes: Any = 2) -> Any:
    """Multiply the gradient by the other array, over the axes that it kept."""
    first, second = _axes(x1, x2, axes)
    kept1 = [i for i in range(x1.ndim) if i not in first]
    kept2 = [i for i in range(x2.ndim) if i not in second]
    n = len(kept1)
    d_x1 = np.tensordot(d_y, x2, ([*range(n, d_y.ndim)], kept2))
    d_x2 = np.tensordot(x1, d_y, (kept1, [*range(n)]))
    # The summed axes come in the order that the other array has them in.
    order1 = [*kept1, *(first[i] for i in np.argsort(second))]
    order2 = [*(second[i] for i in np.argsort(first)), *kept2]
    return d_x1.transpose(np.argsort(order1)), d_x2.transpose(np.argsort(order2))


def dot(x1: Array, x2: Array) -> Array:
    """Compute the sum of products over x1's last and x2's last but one axis."""
    return np.asarray(np.dot(x1, x2))


def dot_backward(d_y: Array, y: Array, x1: Array, x2: Array) -> Any:
    """Multiply by the other array, as for `tensordot`; a scalar is a factor."""
    if x1.ndim == 0 or x2.ndim == 0:
        return d_y * x2, d_y * x1
    return tensordot_backward(d_y, y, x1, x2, ([x1.ndim - 1], [max(x2.ndim - 2, 0)]))
