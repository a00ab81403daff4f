"""Elementwise functions with their derivatives, and the gradient of broadcasting.

An entry of `ELEMENTWISE` holds ``y = f(x)`` and the derivative ``f'(x)``, a function of x and y:
``d_x = d_y * f'(x)``. For functions of two inputs, it holds ``y = f(a, b)`` and the partial
derivatives with respect to a and b. If an input was broadcast, `sum_to_shape` sums its gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_NORMAL = NormalDist()


def _erf(x: Array) -> Array:
    """Compute the error function of each element with the standard library."""
    return np.asanyarray(np.frompyfunc(math.erf, 1, 1)(x), x.dtype)


def _erfinv(x: Array) -> Array:
    """Compute the inverse error function from the quantile function of the normal distribution."""

    def inverse(value: float) -> float:
        if not abs(value) < 1:
            return math.copysign(math.inf, value) if abs(value) == 1 else math.nan
        quantile = _NORMAL.inv_cdf((1 - abs(value)) / 2)
        return math.copysign(quantile / math.sqrt(2), value)

    return np.asanyarray(np.frompyfunc(inverse, 1, 1)(x), x.dtype)


def _power_slope(a: Array, b: Array, y: Array) -> Array:
    """Compute d(a^b)/db = y log(a), defined as 0 where a is not positive."""
    positive = a > 0
    return np.where(positive, y * np.log(np.where(positive, a, 1)), 0)


def _rsqrt(x: Array) -> Array:
    """Compute the reciprocal of the square root, ``1 / sqrt(x)``."""
    y: Array = 1 / np.sqrt(x)
    return y


ELEMENTWISE: dict[str, tuple[Callable[..., Any], ...]] = {
    "absolute": (np.abs, lambda x, y: np.sign(x)),
    "arccos": (np.arccos, lambda x, y: -1 / np.sqrt(1 - x * x)),
    "arccosh": (np.arccosh, lambda x, y: 1 / np.sqrt(x * x - 1)),
    "arcsin": (np.arcsin, lambda x, y: 1 / np.sqrt(1 - x * x)),
    "arcsinh": (np.arcsinh, lambda x, y: 1 / np.sqrt(x * x + 1)),
    "arctan": (np.arctan, lambda x, y: 1 / (x * x + 1)),
    "arctanh": (np.arctanh, lambda x, y: 1 / (1 - x * x)),
    "cos": (np.cos, lambda x, y: -np.sin(x)),
    "cosh": (np.cosh, lambda x, y: np.sinh(x)),
    "erf": (_erf, lambda x, y: x.dtype.type(2 / math.sqrt(math.pi)) * np.exp(-x * x)),
    "erfinv": (_erfinv, lambda x, y: x.dtype.type(math.sqrt(math.pi) / 2) * np.exp(y * y)),
    "exp": (np.exp, lambda x, y: y),
    "expm1": (np.expm1, lambda x, y: y + 1),
    "log": (np.log, lambda x, y: 1 / x),
    "log10": (np.log10, lambda x, y: 1 / (x * x.dtype.type(math.log(10)))),
    "log1p": (np.log1p, lambda x, y: 1 / (x + 1)),
    "log2": (np.log2, lambda x, y: 1 / (x * x.dtype.type(math.log(2)))),
    "negative": (np.negative, lambda x, y: -1),
    "reciprocal": (np.reciprocal, lambda x, y: -y * y),
    "rsqrt": (_rsqrt, lambda x, y: y * y * y / -2),
    "sign": (np.sign, lambda x, y: 0),
    "sin": (np.sin, lambda x, y: np.cos(x)),
    "sinh": (np.sinh, lambda x, y: np.cosh(x)),
    "sqrt": (np.sqrt, lambda x, y: 1 / (y + y)),
    "square": (np.square, lambda x, y: x + x),
    "tan": (np.tan, lambda x, y: y * y + 1),
    "tanh": (np.tanh, lambda x, y: 1 - y * y),
    "add": (np.add, lambda a, b, y: 1, lambda a, b, y: 1),
    "subtract": (np.subtract, lambda a, b, y: 1, lambda a, b, y: -1),
    "multiply": (np.multiply, lambda a, b, y: b, lambda a, b, y: a),
    "divide": (np.true_divide, lambda a, b, y: 1 / b, lambda a, b, y: -y / b),
    "power": (np.power, lambda a, b, y: b * np.power(a, b - 1), _power_slope),
    "maximum": (np.maximum, lambda a, b, y: a >= b, lambda a, b, y: a < b),
    "minimum": (np.minimum, lambda a, b, y: a <= b, lambda a, b, y: a > b),
    "mod": (np.mod, lambda a, b, y: 1, lambda a, b, y: -np.floor(a / b)),
    "arctan2": (
        np.arctan2,
        lambda a, b, y: b / (a * a + b * b),
        lambda a, b, y: -a / (a * a + b * b),
    ),
    "hypot": (np.hypot, lambda a, b, y: a / y, lambda a, b, y: b / y),
    "logaddexp": (np.logaddexp, lambda a, b, y: np.exp(a - y), lambda a, b, y: np.exp(b - y)),
}


def sum_to_shape(d: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which its input was broadcast, to the input's shape.

    Broadcasting copies an element of the input to several elements of the output; by the chain
    rule, its gradient is the sum of the gradients of its copies.

    >>> sum_to_shape(np.ones((2, 3)), (3,))
    array([2., 2., 2.])
    >>> sum_to_shape(np.ones((2, 3)), (2, 1))
    array([[3.],
           [3.]])
    """
    if d.shape == shape:
        return d
    d = d.sum(axis=tuple(range(d.ndim - len(shape))))
    broadcast = tuple(i for i, size in enumerate(shape) if size == 1 != d.shape[i])
    return np.asanyarray(d.sum(axis=broadcast, keepdims=True))


def where(condition: Array, x1: Array, x2: Array) -> Array:
    """Select elements: ``y = x1`` where the condition is true, else ``y = x2``.

    >>> where(np.array([True, False]), np.array([1, 2]), np.array([3, 4]))
    array([1, 4])
    """
    return np.where(condition, x1, x2)


def where_backward(d_y: Array, y: Array, condition: Array, x1: Array, x2: Array) -> Any:
    """Compute the gradients of `where`: d_y for the input that was selected, 0 for the other."""
    zero = d_y.dtype.type(0)
    return None, np.where(condition, d_y, zero), np.where(condition, zero, d_y)


def clip(x: Array, x_min: float, x_max: float) -> Array:
    """Clip each element: ``y = min(max(x, x_min), x_max)``.

    >>> clip(np.array([-2.0, 0.5, 3.0]), 0.0, 1.0)
    array([0. , 0.5, 1. ])
    """
    return np.clip(x, x_min, x_max)


def clip_backward(d_y: Array, y: Array, x: Array, x_min: float, x_max: float) -> Any:
    """Compute the gradient of `clip`: ``d_x = d_y`` where ``x_min <= x <= x_max``, else 0."""
    return d_y * ((x >= x_min) & (x <= x_max))


def nan_to_num(x: Array, nan: float = 0.0, posinf: Any = None, neginf: Any = None) -> Array:
    """Replace NaN and infinities with finite numbers.

    By default, NaN is replaced with 0, and infinities with the largest finite values.
    """
    return np.asanyarray(np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf))


def nan_to_num_backward(
    d_y: Array, y: Array, x: Array, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """Compute the gradient of `nan_to_num`: ``d_x = d_y`` where x is finite, else 0."""
    return d_y * np.isfinite(x)
