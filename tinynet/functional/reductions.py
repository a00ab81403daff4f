"""Reductions over axes, each next to its backward function.

Dimensions: `axis` is an axis, several, or None for all; `keepdims` keeps them with size 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet.functional.arithmetic import Array

Axis = int | tuple[int, ...] | None


def _spread(d_y: Array, x: Array, axis: Axis, keepdims: bool) -> Array:
    """Give `d_y` the axes that a reduction of x removed, with size 1."""
    if keepdims or axis is None or not x.ndim:  # NumPy allows axis -1 of a single number
        return d_y.reshape(d_y.shape if keepdims else (1,) * x.ndim)
    return np.expand_dims(d_y, axis)


def _count(x: Array, y: Array) -> int:
    """Return the number of elements that each element of the result was made of."""
    return np.size(x) // np.size(y) if x.size and y.size else 1


def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Compute the sum."""
    return np.asanyarray(np.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype))


def sum_backward(d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Any:
    """Broadcast: every element has slope 1.

    >>> sum_backward(np.array([1.0, 10.0]), None, np.zeros((2, 3)), axis=1)
    array([[ 1.,  1.,  1.],
           [10., 10., 10.]])
    """
    return np.broadcast_to(_spread(d_y, x, axis, keepdims), x.shape)


def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Compute the mean."""
    return np.asanyarray(np.mean(x, axis=axis, keepdims=keepdims, dtype=x.dtype))


def mean_backward(d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Any:
    """Broadcast: every element has slope 1 / n."""
    share = np.divide(d_y, _count(x, y), dtype=x.dtype)
    return sum_backward(share, y, x, axis, keepdims)


def max(x: Array, axis: Axis = None, keepdims: bool = False, initial: Any = None) -> Array:
    """Compute the largest element; of no elements, it is `initial`."""
    bound = {} if initial is None else {"initial": initial}
    return np.asanyarray(np.max(x, axis=axis, keepdims=keepdims, **bound))


def max_backward(
    d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False, initial: Any = None
) -> Array:
    """Pass the upstream gradient on to the extremum, in equal shares where several tie."""
    chosen = x == _spread(y, x, axis, keepdims)
    shares = np.maximum(np.sum(chosen, axis=axis, keepdims=True, dtype=x.dtype), 1)
    return chosen * (_spread(d_y, x, axis, keepdims) / shares)


def min(x: Array, axis: Axis = None, keepdims: bool = False, initial: Any = None) -> Array:
    """Compute the smallest element; of no elements, it is `initial`."""
    bound = {} if initial is None else {"initial": initial}
    return np.asanyarray(np.min(x, axis=axis, keepdims=keepdims, **bound))


min_backward = max_backward


def prod(x: Array, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Array:
    """Compute the product."""
    return np.asanyarray(np.prod(x, axis=axis, keepdims=keepdims, dtype=dtype or x.dtype))


def prod_backward(
    d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False, dtype: Any = None
) -> Array:
    """Multiply by the product of all other elements, which also holds where one is 0.

    >>> prod_backward(np.array(1.0), None, np.array([2.0, 0.0, 5.0]))
    array([ 0., 10.,  0.])
    """
    axes = tuple(range(x.ndim)) if axis is None else np.atleast_1d(axis) % x.ndim
    kept = [i for i in range(x.ndim) if i not in axes]
    order = [*kept, *axes]
    moved = x.transpose(order)
    rows = moved.reshape(*(x.shape[i] for i in kept), math.prod(x.shape[i] for i in axes))
    one = np.ones_like(rows[..., :1])
    before = np.cumprod(np.concatenate([one, rows[..., :-1]], axis=-1), axis=-1)
    behind = np.concatenate([rows[..., 1:], one], axis=-1)[..., ::-1]
    others = (before * np.cumprod(behind, axis=-1)[..., ::-1]).reshape(moved.shape)
    return np.asanyarray(others.transpose(np.argsort(order)) * _spread(d_y, x, axis, keepdims))


def var(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Compute the variance of the population: the mean of (x - mean)^2."""
    return np.asanyarray(np.var(x, axis=axis, keepdims=keepdims, dtype=x.dtype))


def var_backward(d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Any:
    """Multiply by 2 (x - mean) / n; the mean's own part cancels."""
    centered = x - np.mean(x, axis=axis, keepdims=True, dtype=x.dtype)
    slope = centered * (2 / _count(x, y))
    return np.asanyarray(slope * _spread(d_y, x, axis, keepdims))


def std(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Compute the standard deviation: the root of `var`."""
    return np.asanyarray(np.sqrt(var(x, axis, keepdims)))


def std_backward(d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Any:
    """Divide by 2 y, then go back through `var`."""
    return var_backward(d_y / (y + y), y, x, axis, keepdims)


def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Compute log(sum(exp(x))), with the largest element subtracted first.

    >>> logsumexp(np.array([1000.0, 1000.0]))
    array(1000.69314718)
    """
    largest = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    finite = np.where(np.isfinite(largest), largest, x.dtype.type(0))
    with np.errstate(divide="ignore"):  # of no elements, it is -inf
        y = np.log(np.sum(np.exp(x - finite), axis=axis, keepdims=True)) + finite
    return y if keepdims else np.asanyarray(np.squeeze(y, axis))


def logsumexp_backward(
    d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False
) -> Array:
    """Multiply by the softmax, exp(x - y)."""
    softmax = np.exp(x - _spread(y, x, axis, keepdims))
    return np.asanyarray(softmax * _spread(d_y, x, axis, keepdims))


def cumsum(x: Array, axis: int | None = None, dtype: Any = None) -> Array:
    """Compute the cumulative sum; of the flattened array if `axis` is None."""
    return np.cumsum(x, axis=axis, dtype=dtype or x.dtype)


def cumsum_backward(
    d_y: Array, y: Array, x: Array, axis: int | None = None, dtype: Any = None
) -> Array:
    """Sum the upstream gradient from each element to the end."""
    from_end = np.flip(np.cumsum(np.flip(d_y, axis), axis=axis, dtype=d_y.dtype), axis)
    return from_end.reshape(x.shape)


def cumprod(x: Array, axis: int | None = None, dtype: Any = None) -> Array:
    """Compute the cumulative product; of the flattened array if `axis` is None."""
    return np.cumprod(x, axis=axis, dtype=dtype or x.dtype)


def cumprod_backward(
    d_y: Array, y: Array, x: Array, axis: int | None = None, dtype: Any = None
) -> Array:
    """Sum ``d_y * y`` from each element to the end, and divide by the element."""
    return cumsum_backward(d_y * y, y, x, axis) / x
