"""Matrix and tensor products, each next to its backward function.

The backward functions return one gradient for each input.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinynet.functional.arithmetic import Array, sum_to_shape


def matmul(x1: Array, x2: Array) -> Array:
    """Compute the matrix product ``y = x1 @ x2`` of the last two axes; leading axes are broadcast.

    >>> matmul(np.array([[2.0, 3.0]]), np.array([[5.0], [7.0]]))  # 2 * 5 + 3 * 7
    array([[31.]])
    """
    return np.asarray(np.matmul(x1, x2))


def matmul_backward(
    d_y: Array, y: Array, x1: Array, x2: Array, needs: Sequence[bool] = (True, True)
) -> Any:
    """Compute the gradients of `matmul`: ``d_x1 = d_y @ x2.T`` and ``d_x2 = x1.T @ d_y``.

    y[i, k] = sum_j x1[i, j] * x2[j, k]; hence d_x1[i, j] is the sum of d_y[i, k] * x2[j, k] over k.
    A vector is treated as a row (x1) or a column (x2). `needs` selects the gradients to compute.

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
    """Return the axes of each array that a tensor product sums over, as non-negative integers."""
    most = min(x1.ndim, x2.ndim)
    if type(axes) is int or isinstance(axes, np.integer):
        is_valid = 0 <= axes <= most
        pair = [np.arange(x1.ndim - axes, x1.ndim), np.arange(axes)]
    else:
        pair = [np.atleast_1d(a) for a in axes] if np.iterable(axes) else []
        is_valid = len(pair) == 2 and pair[0].shape == pair[1].shape == (pair[0].size,)
        for a, x in zip(pair, (x1, x2), strict=False):
            is_valid &= not a.size or (a.dtype.kind == "i" and (abs(2 * a + 1) < 2 * x.ndim).all())
    if not is_valid:
        raise ValueError(
            f"axes must be an integer from 0 to {most}, or two lists of axes of equal length. "
            f"Received: axes={axes}"
        )
    first, second = ([int(a) % x.ndim for a in own] for own, x in zip(pair, (x1, x2), strict=True))
    return first, second


def tensordot(x1: Array, x2: Array, axes: Any = 2) -> Array:
    """Compute the tensor dot product along the given axes.

    >>> tensordot(np.array([[2.0, 3.0]]), np.array([[5.0, 7.0]]), axes=([1], [1]))  # 10 + 21
    array([[31.]])
    """
    return np.asarray(np.tensordot(x1, x2, _axes(x1, x2, axes)))


def tensordot_backward(d_y: Array, y: Array, x1: Array, x2: Array, axes: Any = 2) -> Any:
    """Compute the gradients of `tensordot`, which are tensor products as well.

    d_x1 is the product of d_y and x2, summed over the axes of x2 that were not summed; d_x2 is the
    product of x1 and d_y, summed over the axes of x1 that were not summed.
    """
    first, second = _axes(x1, x2, axes)
    kept1 = [i for i in range(x1.ndim) if i not in first]
    kept2 = [i for i in range(x2.ndim) if i not in second]
    n = len(kept1)
    d_x1 = np.tensordot(d_y, x2, ([*range(n, d_y.ndim)], kept2))
    d_x2 = np.tensordot(x1, d_y, (kept1, [*range(n)]))
    # tensordot returns the summed axes in the order of the other array; transpose them to the order
    # of this array.
    order1 = [*kept1, *(first[i] for i in np.argsort(second))]
    order2 = [*(second[i] for i in np.argsort(first)), *kept2]
    return d_x1.transpose(np.argsort(order1)), d_x2.transpose(np.argsort(order2))


def dot(x1: Array, x2: Array) -> Array:
    """Compute the dot product over the last axis of x1 and the second-to-last axis of x2."""
    return np.asarray(np.dot(x1, x2))


def dot_backward(d_y: Array, y: Array, x1: Array, x2: Array) -> Any:
    """Compute the gradients of `dot`, as in `tensordot_backward`.

    If an input is a scalar, the gradients are d_y times the other input.
    """
    if x1.ndim == 0 or x2.ndim == 0:
        return d_y * x2, d_y * x1
    return tensordot_backward(d_y, y, x1, x2, ([x1.ndim - 1], [max(x2.ndim - 2, 0)]))


def einsum(*operands: Array, subscripts: str) -> Array:
    """Compute a sum of products in Einstein notation, such as ``"bi,ij->bj"``.

    >>> einsum(np.array([[2.0, 3.0]]), np.array([[5.0], [7.0]]), subscripts="bi,ij->bj")
    array([[31.]])
    """
    return np.asarray(np.einsum(subscripts, *operands, optimize=len(operands) > 1))


def einsum_backward(d_y: Array, y: Array, *operands: Array, subscripts: str) -> Any:
    """Compute the gradients of `einsum`, which are sums of products of d_y and the other operands.

    For ``"bi,ij->bj"``, they are ``d_x1 = "bj,ij->bi"`` and ``d_x2 = "bj,bi->ij"``. If an axis
    occurs neither in the result nor in another operand, it was summed and its gradient is
    broadcast. If an axis occurs twice in an operand, the gradient is written to the diagonal.
    """
    terms, result = subscripts.split("->")
    names = terms.split(",")
    gradients = []
    for i, own in enumerate(names):
        others = [result, *names[:i], *names[i + 1 :]]
        axes = "".join(dict.fromkeys(own))
        known = "".join(a for a in axes if any(a in other for other in others))
        arrays = (d_y, *operands[:i], *operands[i + 1 :])
        d = np.einsum(f"{','.join(others)}->{known}", *arrays, optimize=len(arrays) > 1)
        d_x = np.zeros(operands[i].shape, d_y.dtype)
        view = np.einsum(f"{own}->{axes}", d_x)
        d = np.expand_dims(d, tuple(j for j, a in enumerate(axes) if a not in known))
        view[...] = sum_to_shape(d, tuple(np.minimum(view.shape, d.shape)))
        gradients.append(d_x)
    return tuple(gradients)


def einsum_rule(subscripts: str, dimensions: Sequence[int]) -> str:
    """Expand the subscripts of `einsum`.

    Each ellipsis is replaced with letters, and the output subscripts are added if they are missing.

    >>> einsum_rule("...ij,jk", [3, 2])
    'aij,jk->aik'
    """
    terms, arrow, result = subscripts.replace(" ", "").partition("->")
    names = terms.split(",")
    if len(names) != len(dimensions):
        raise ValueError(
            f"subscripts must have one term for each operand. Received: "
            f"subscripts={subscripts!r}, {len(dimensions)} operands"
        )
    free = [a for a in "abcdefghijklmnopqrstuvwxyz" if a not in subscripts]
    counts = [n - len(name.replace("...", "")) for name, n in zip(names, dimensions, strict=True)]
    shared = max((c for c, name in zip(counts, names, strict=True) if "..." in name), default=0)
    letters = "".join(free[:shared])
    for i, (name, count) in enumerate(zip(names, counts, strict=True)):
        names[i] = name.replace("...", letters[shared - count :])
    every = "".join(names)
    if not arrow:
        result = "..." + "".join(sorted(a for a in set(every) - {*letters} if every.count(a) == 1))
    return f"{','.join(names)}->{result.replace('...', letters)}"
