"""Reductions over axes, each next to its backward function.

`axis` is an axis, a tuple of axes, or None for all axes; if `keepdims` is True, reduced
axes are kept with size 1. In the formulas, d_y and y are broadcast to the shape of x, and n is the
number of elements of x per element of y.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet.functional.arithmetic import Array

Axis = int | tuple[int, ...] | None


def _restore_axes(d_y: Array, x: Array, axis: Axis, keepdims: bool) -> Array:
    """Restore the reduced axes with size 1, so that `d_y` broadcasts to x."""
    if keepdims or axis is None or not x.ndim:  # NumPy accepts axis=-1 for 0-d arrays
        return d_y.reshape(d_y.shape if keepdims else (1,) * x.ndim)
    return np.expand_dims(d_y, axis)


def _count(x: Array, y: Array) -> int:
    """Return n, the number of elements of x per element of y."""
    return np.size(x) // np.size(y) if x.size and y.size else 1


def sum(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Compute the sum over axes.

    >>> sum(np.array([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    array([3., 7.])
    """
    return np.asanyarray(np.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype))


def sum_backward(d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Any:
    """Compute the gradient of `sum`: ``d_x = d_y``, broadcast, since dy/dx is 1 for each element.

    >>> sum_backward(np.array([1.0, 10.0]), None, np.zeros((2, 3)), axis=1)
    array([[ 1.,  1.,  1.],
           [10., 10., 10.]])
    """
    return np.broadcast_to(_restore_axes(d_y, x, axis, keepdims), x.shape)


def mean(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Compute the mean over axes: ``y = sum(x) / n``."""
    return np.asanyarray(np.mean(x, axis=axis, keepdims=keepdims, dtype=x.dtype))


def mean_backward(d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Any:
    """Compute the gradient of `mean`: ``d_x = d_y / n``, broadcast."""
    share = np.divide(d_y, _count(x, y), dtype=x.dtype)
    return sum_backward(share, y, x, axis, keepdims)


def max(x: Array, axis: Axis = None, keepdims: bool = False, initial: Any = None) -> Array:
    """Compute the maximum over axes; `initial`, if given, is the minimum value of the result."""
    bound = {} if initial is None else {"initial": initial}
    return np.asanyarray(np.max(x, axis=axis, keepdims=keepdims, **bound))


def max_backward(
    d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False, initial: Any = None
) -> Array:
    """Compute the gradient of `max` or `min`: d_y at the extremum, 0 elsewhere.

    Elements that are tied for the extremum receive equal shares of d_y.

    >>> max_backward(np.array(6.0), np.array(3.0), np.array([3.0, 1.0, 3.0]))
    array([3., 0., 3.])
    """
    chosen = x == _restore_axes(y, x, axis, keepdims)
    shares = np.maximum(np.sum(chosen, axis=axis, keepdims=True, dtype=x.dtype), 1)
    return chosen * (_restore_axes(d_y, x, axis, keepdims) / shares)


def min(x: Array, axis: Axis = None, keepdims: bool = False, initial: Any = None) -> Array:
    """Compute the minimum over axes; `initial`, if given, is the maximum value of the result."""
    bound = {} if initial is None else {"initial": initial}
    return np.asanyarray(np.min(x, axis=axis, keepdims=keepdims, **bound))


min_backward = max_backward


def prod(x: Array, axis: Axis = None, keepdims: bool = False, dtype: Any = None) -> Array:
    """Compute the product over axes."""
    return np.asanyarray(np.prod(x, axis=axis, keepdims=keepdims, dtype=dtype or x.dtype))


def prod_backward(
    d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False, dtype: Any = None
) -> Array:
    """Compute the gradient of `prod`: d_y times the product of all other elements.

    The product is computed from cumulative products from both ends, because y / x would fail where
    x is 0.

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
    after = np.concatenate([rows[..., 1:], one], axis=-1)[..., ::-1]
    others = (before * np.cumprod(after, axis=-1)[..., ::-1]).reshape(moved.shape)
    others = others.transpose(np.argsort(order))
    return np.asanyarray(others * _restore_axes(d_y, x, axis, keepdims))


def var(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Compute the population variance over axes: ``y = sum((x - mean)**2) / n``.

    >>> var(np.array([0.0, 2.0]))
    array(1.)
    """
    return np.asanyarray(np.var(x, axis=axis, keepdims=keepdims, dtype=x.dtype))


def var_backward(d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Any:
    """Compute the gradient of `var`: ``d_x = d_y * 2 * (x - mean) / n``.

    The mean also depends on x, but contributes nothing, because sum(x - mean) = 0.
    """
    centered = x - np.mean(x, axis=axis, keepdims=True, dtype=x.dtype)
    slope = centered * (2 / _count(x, y))
    return np.asanyarray(slope * _restore_axes(d_y, x, axis, keepdims))


def std(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Compute the standard deviation over axes: ``y = sqrt(var(x))``."""
    return np.asanyarray(np.sqrt(var(x, axis, keepdims)))


def std_backward(d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False) -> Any:
    """Compute the gradient of `std`.

    It is the gradient of `var` with the upstream gradient ``d_y / (2 * y)``.
    """
    return var_backward(d_y / (y + y), y, x, axis, keepdims)


def logsumexp(x: Array, axis: Axis = None, keepdims: bool = False) -> Array:
    """Compute ``y = log(sum(exp(x)))`` over axes; subtracting the maximum first avoids overflow.

    >>> logsumexp(np.array([1000.0, 1000.0]))  # 1000 + log(2)
    array(1000.69314718)
    """
    largest = np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    finite = np.where(np.isfinite(largest), largest, x.dtype.type(0))
    with np.errstate(divide="ignore"):  # log(0) is -inf: the sum over an empty axis
        y = np.log(np.sum(np.exp(x - finite), axis=axis, keepdims=True)) + finite
    return y if keepdims else np.asanyarray(np.squeeze(y, axis))


def logsumexp_backward(
    d_y: Array, y: Array, x: Array, axis: Axis = None, keepdims: bool = False
) -> Array:
    """Compute the gradient of `logsumexp`: ``d_x = d_y * exp(x - y)``, d_y times the softmax."""
    softmax = np.exp(x - _restore_axes(y, x, axis, keepdims))
    return np.asanyarray(softmax * _restore_axes(d_y, x, axis, keepdims))


def cumsum(x: Array, axis: int | None = None, dtype: Any = None) -> Array:
    """Compute the cumulative sum along an axis, or of the flattened array if `axis` is None.

    >>> cumsum(np.array([1.0, 2.0, 3.0]))
    array([1., 3., 6.])
    """
    return np.cumsum(x, axis=axis, dtype=dtype or x.dtype)


def cumsum_backward(
    d_y: Array, y: Array, x: Array, axis: int | None = None, dtype: Any = None
) -> Array:
    """Compute the gradient of `cumsum`: the reverse cumulative sum of d_y.

    x[i] contributes to y[i] and all later elements, so d_x[i] = d_y[i] + d_y[i + 1] + ...
    """
    from_end = np.flip(np.cumsum(np.flip(d_y, axis), axis=axis, dtype=d_y.dtype), axis)
    return from_end.reshape(x.shape)


def cumprod(x: Array, axis: int | None = None, dtype: Any = None) -> Array:
    """Compute the cumulative product along an axis, or of the flattened array if `axis` is None."""
    return np.cumprod(x, axis=axis, dtype=dtype or x.dtype)


def cumprod_backward(
    d_y: Array, y: Array, x: Array, axis: int | None = None, dtype: Any = None
) -> Array:
    """Compute the gradient of `cumprod` in reverse order, since ``y[i] = y[i - 1] * x[i]``.

    y[i] contributes to y[i + 1], so its total gradient is d[i] = d_y[i] + x[i + 1] * d[i + 1]; and
    d_x[i] = y[i - 1] * d[i].

    >>> cumprod_backward(np.ones(3), None, np.array([2.0, 0.0, 3.0]))  # y = [a, a b, a b c]
    array([1., 8., 0.])
    """
    flat = [a.reshape(-1) if axis is None else a for a in (x, d_y)]
    rows, d = (np.moveaxis(a, axis or 0, 0).copy() for a in flat)
    for i in reversed(range(len(rows) - 1)):
        d[i] += rows[i + 1] * d[i + 1]
    before = np.cumprod(np.concatenate([np.ones_like(rows[:1]), rows[:-1]]), axis=0)
    return np.moveaxis(before * d, 0, axis or 0).reshape(x.shape)
