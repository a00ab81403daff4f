"""Activation functions: the nonlinearities between layers.

Most backward functions have the signature ``(d_y, x, y)``: upstream gradient, input and output
``y = f(x)``. They use whichever of x and y gives the simpler formula. x, y, d_x and d_y have the
same shape, which is arbitrary unless stated otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinynet.functional.arrays import Array

__all__ = ["bias_relu", "bias_relu_backward", "ELEMENTWISE", "elementwise", "elementwise_backward"]
__all__ += ["linear", "linear_backward", "log_softmax", "log_softmax_backward", "rectifier"]
__all__ += ["rectifier_backward", "relu", "relu_backward", "sigmoid", "sigmoid_backward", "softmax"]
__all__ += ["softmax_backward", "tanh", "tanh_backward"]


def linear(x: Array, out: Array | None = None) -> Array:
    """Return the input unchanged: ``y = x``.

    >>> linear(np.array([-1.0, 2.0]))
    array([-1.,  2.])
    """
    return np.positive(x, out=out)


def linear_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `linear`: ``d_x = d_y``, since dy/dx = 1; `out` may be `d_y`."""
    return np.positive(d_y, out=out)


def relu(x: Array, out: Array | None = None) -> Array:
    """Compute the rectified linear unit: ``y = max(x, 0)``; `out` may be `x`.

    >>> relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return np.maximum(x, 0, out=out)


def relu_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `relu`: ``d_x = d_y`` where ``y > 0``, else 0; `out` may be `d_y`.

    dy/dx is 1 for x > 0 and 0 for x < 0; at x = 0, where it is undefined, 0 is used.

    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> relu_backward(np.array([5.0, 5.0, 5.0]), x, relu(x))
    array([0., 0., 5.])
    """
    return np.multiply(d_y, y > 0, out=out)


def bias_relu(z: Array, bias: Array) -> None:
    """Compute ``max(z + bias, 0)`` in place: the bias addition and the `relu` of a dense layer.

    z: (N, U), the product ``x @ kernel``; bias: (U,).

    >>> z = np.array([[-3.0, 2.0]])
    >>> bias_relu(z, np.array([1.0, 1.0]))
    >>> z
    array([[0., 3.]])
    """
    z += bias
    relu(z, z)


def bias_relu_backward(d_y: Array, y: Array, d_bias: Array, out: Array | None = None) -> None:
    """Compute the gradients of `bias_relu`: ``d_z = d_y * (y > 0)`` and ``d_bias = sum(d_z)``.

    The bias is broadcast over the N rows, so its gradient is the sum over the rows. d_y, y: (N, U);
    d_bias: (U,), output array; `out` receives d_z, which overwrites `d_y` by default.

    >>> d_y, d_bias = np.array([[1.0, 2.0], [3.0, 4.0]]), np.empty(2)
    >>> bias_relu_backward(d_y, np.eye(2), d_bias)
    >>> d_y, d_bias
    (array([[1., 0.],
           [0., 4.]]), array([1., 4.]))
    """
    d_z = relu_backward(d_y, y, y, d_y if out is None else out)
    d_z.sum(axis=0, out=d_bias)


def rectifier(
    x: Array,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    out: Array | None = None,
) -> Array:
    """Compute the rectified linear unit with a negative slope, a maximum value and a threshold.

    ``y = clip(x, 0, max_value)`` where ``x > threshold``, else
    ``y = negative_slope * (x - threshold)``, as `keras.activations.relu`. If `max_value` is None, x
    is not clipped.

    >>> rectifier(np.array([-2.0, 0.5, 2.0, 9.0]), 0.5, 6.0, 1.0)
    array([-1.5 , -0.25,  2.  ,  6.  ])
    """
    slope, cutoff = x.dtype.type(negative_slope), x.dtype.type(threshold)
    above = x if max_value is None else np.clip(x, x.dtype.type(0), x.dtype.type(max_value))
    return linear(np.where(x > cutoff, above, slope * (x - cutoff)), out)


def rectifier_backward(
    d_y: Array,
    x: Array,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    out: Array | None = None,
) -> Array:
    """Compute the gradient of `rectifier`: ``d_x = d_y * slope``; `out` may be `d_y`.

    The slope is 1 above the threshold, 0 where x was clipped, and `negative_slope` below the
    threshold.

    >>> rectifier_backward(np.ones(4), np.array([-2.0, 0.5, 2.0, 9.0]), 0.5, 6.0, 1.0)
    array([0.5, 0.5, 1. , 0. ])
    """
    cutoff, above = x.dtype.type(threshold), np.ones_like(x)
    # Where the function is not differentiable, use the same subgradient as TensorFlow.
    if max_value is not None:
        limit = x.dtype.type(max_value)
        above *= x < limit if threshold == 0 and max_value == 6 else (x >= 0) & (x <= limit)
    slope = np.where(x > cutoff, above, x.dtype.type(negative_slope))
    if threshold != 0 or max_value is not None:
        slope *= x != cutoff
    return np.multiply(d_y, slope, out=out)


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """Compute the logistic function: ``y = 1 / (1 + exp(-x))``; `out` may be `x`.

    If ``exp(-x)`` overflows, the result is ``1 / inf = 0``.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    y: Array = np.negative(x, out=out)
    with np.errstate(over="ignore"):
        np.exp(y, out=y)
    y += 1
    return np.divide(1, y, out=y)


def sigmoid_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `sigmoid`: ``d_x = d_y * y * (1 - y)``; `out` may be `d_y`.

    dy/dx = exp(-x) / (1 + exp(-x))**2, and the factors are y and 1 - y.

    >>> sigmoid_backward(np.array([8.0]), np.array([0.0]), np.array([0.5]))
    array([2.])
    """
    return np.multiply(d_y, y * (1 - y), out=out)


def tanh(x: Array, out: Array | None = None) -> Array:
    """Compute the hyperbolic tangent: ``y = (exp(x) - exp(-x)) / (exp(x) + exp(-x))``.

    `out` may be `x`.

    >>> tanh(np.array([0.0]))
    array([0.])
    """
    return np.tanh(x, out=out)


def tanh_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `tanh`: ``d_x = d_y * (1 - y**2)``; `out` may be `d_y`.

    tanh = sinh / cosh, so dy/dx = (cosh**2 - sinh**2) / cosh**2 = 1 - y**2.

    >>> tanh_backward(np.array([4.0]), np.array([0.0]), np.array([0.5]))
    array([3.])
    """
    return np.multiply(d_y, 1 - y * y, out=out)


def softmax(x: Array, out: Array | None = None) -> Array:
    """Convert logits to probabilities: ``y = exp(x) / sum(exp(x))`` over the last axis.

    x, y: (..., C); each row of y sums to 1. The maximum is subtracted first, which does not change
    the result, so that `exp` cannot overflow. `out` may be `x`.

    >>> softmax(np.array([[0.0, np.log(3.0)], [1000.0, 0.0]]))
    array([[0.25, 0.75],
           [1.  , 0.  ]])
    """
    y: Array = np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)
    return y


def softmax_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `softmax`: ``d_x = y * (d_y - sum(d_y * y))``; `out` may be `d_y`.

    dy_i / dx_j = y_i * ((i == j) - y_j); multiply by d_y_i and sum over i.

    >>> y = np.array([[0.25, 0.75]])  # sum(d_y * y) = 1
    >>> softmax_backward(np.array([[4.0, 0.0]]), np.log(y), y)
    array([[ 0.75, -0.75]])
    """
    d_x: Array = np.subtract(d_y, (d_y * y).sum(axis=-1, keepdims=True), out=out)
    d_x *= y
    return d_x


def log_softmax(x: Array, out: Array | None = None) -> Array:
    """Compute the logarithm of `softmax`: ``y = x - log(sum(exp(x)))`` over the last axis.

    x, y: (..., C). The result is accurate even where a probability underflows to 0.

    >>> log_softmax(np.array([[1000.0, 0.0]]))
    array([[    0., -1000.]])
    """
    shifted = x - np.max(x, axis=-1, keepdims=True)
    total = np.sum(np.exp(shifted), axis=-1, keepdims=True)
    return np.subtract(shifted, np.log(total), out=out)


def log_softmax_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `log_softmax`: ``d_x = d_y - exp(y) * sum(d_y)``; `out` may be `d_y`.

    dy_i / dx_j = (i == j) - exp(y_j); multiply by d_y_i and sum over i.

    >>> y = np.log([[0.25, 0.75]])
    >>> log_softmax_backward(np.array([[4.0, 0.0]]), y, y)
    array([[ 3., -3.]])
    """
    return np.subtract(d_y, np.exp(y) * np.sum(d_y, axis=-1, keepdims=True), out=out)


def _normal_cdf(x: Array) -> Array:
    """Compute the cumulative distribution function of the standard normal distribution."""
    return _erfc(x * -math.sqrt(0.5)).astype(x.dtype) / 2


_erfc: Any = np.frompyfunc(math.erfc, 1, 1)
_SELU, _SELU_BELOW = 1.0507009873554805, 1.0507009873554805 * 1.6732632423543772
_GELU = math.sqrt(2 / math.pi)

#: Elementwise activations ``y = f(x)``, each with its derivative ``f'(x)``, a function of x and y.
ELEMENTWISE: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "elu": (  # Clevert, Unterthiner and Hochreiter (2016)
        lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda x, y, alpha: np.where(x > 0, 1, y + alpha),
    ),
    "selu": (  # Klambauer et al. (2017): elu, scaled to keep mean 0 and variance 1 in deep networks
        lambda x: np.where(x > 0, _SELU * x, _SELU_BELOW * np.expm1(np.minimum(x, 0))),
        lambda x, y: np.where(x < 0, y + _SELU_BELOW, _SELU),
    ),
    "softplus": (  # log(1 + exp(x))
        lambda x: np.logaddexp(x, 0),
        lambda x, y: sigmoid(x),
    ),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x, y: 1 / (1 + np.abs(x)) ** 2),
    "silu": (  # x * sigmoid(x); the derivative is s + x * s * (1 - s)
        lambda x: x * sigmoid(x),
        lambda x, y: sigmoid(x) + y * (1 - sigmoid(x)),
    ),
    "gelu": (  # Hendrycks and Gimpel (2016)
        lambda x: x * _normal_cdf(x),
        lambda x, y: _normal_cdf(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi),
    ),
    "gelu_approximate": (
        lambda x: x / 2 * (1 + np.tanh(_GELU * (x + 0.044715 * x**3))),
        lambda x, y: _gelu_approximate_slope(x, np.tanh(_GELU * (x + 0.044715 * x**3))),
    ),
    "exponential": (lambda x: np.exp(x), lambda x, y: y),
    "hard_sigmoid": (lambda x: np.clip(x + 3, 0, 6) / 6, lambda x, y: (np.abs(x) < 3) / 6),
    "hard_silu": (  # x * hard_sigmoid(x)
        lambda x: x * (np.clip(x + 3, 0, 6) / 6),
        lambda x, y: np.clip(x + 3, 0, 6) / 6 + x * (np.abs(x) < 3) / 6,
    ),
    "mish": (  # Misra (2019): x * tanh(softplus(x)); derivative t + x * (1 - t**2) * sigmoid(x)
        lambda x: x * np.tanh(np.logaddexp(x, 0)),
        lambda x, y: _mish_slope(x, np.tanh(np.logaddexp(x, 0))),
    ),
}


def _gelu_approximate_slope(x: Array, t: Array) -> Array:
    """Compute the derivative of "gelu_approximate", with ``t`` the tanh in its formula."""
    return (1 + t) / 2 + x / 2 * (1 - t * t) * _GELU * (1 + 3 * 0.044715 * x * x)


def _mish_slope(x: Array, t: Array) -> Array:
    """Compute the derivative of "mish", with ``t = tanh(softplus(x))``."""
    return t + x * (1 - t * t) * sigmoid(x)


def elementwise(
    name: str, x: Array, options: tuple[float, ...] = (), out: Array | None = None
) -> Array:
    """Compute the activation with this name in `ELEMENTWISE`; `options` are its parameters.

    >>> elementwise("softsign", np.array([-1.0, 3.0]))  # x / (1 + |x|)
    array([-0.5 ,  0.75])
    """
    return linear(ELEMENTWISE[name][0](x, *options).astype(x.dtype, copy=False), out)


def elementwise_backward(
    name: str,
    d_y: Array,
    x: Array,
    y: Array,
    options: tuple[float, ...] = (),
    out: Array | None = None,
) -> Array:
    """Compute the gradient of `elementwise`: ``d_x = d_y * f'(x)``; `out` may be `d_y`.

    >>> elementwise_backward("softsign", np.array([8.0]), np.array([3.0]), np.array([0.75]))
    array([0.5])
    """
    slope = ELEMENTWISE[name][1](x, y, *options).astype(x.dtype, copy=False)
    return np.multiply(d_y, slope, out=out)
