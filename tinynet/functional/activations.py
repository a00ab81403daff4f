"""Activations: what makes more of layers than one matrix product."""

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
    """Return the input: ``y = x``.

    Parameters
    ----------
    x : ndarray
        Inputs, of any shape.
    out : ndarray, optional
        Output array.

    Returns
    -------
    ndarray
        Outputs.

    Examples
    --------
    >>> linear(np.array([-1.0, 2.0]))
    array([-1.,  2.])
    """
    return np.positive(x, out=out)


def linear_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `linear`: ``d_x = d_y``.

    Parameters
    ----------
    d_y : ndarray
        Upstream gradient.
    x, y : ndarray
        Inputs and outputs.
    out : ndarray, optional
        Output array; may be `d_y`.

    Returns
    -------
    ndarray
        Gradient with respect to the inputs.

    Examples
    --------
    >>> linear_backward(np.array([3.0]), np.array([1.0]), np.array([1.0]))
    array([3.])
    """
    return np.positive(d_y, out=out)


def relu(x: Array, out: Array | None = None) -> Array:
    """Compute the rectifier: ``y = max(x, 0)``.

    Parameters
    ----------
    x : ndarray
        Inputs, of any shape.
    out : ndarray, optional
        Output array; may be `x`.

    Returns
    -------
    ndarray
        Outputs.

    Examples
    --------
    >>> relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return np.maximum(x, 0, out=out)


def relu_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `relu`: ``d_x = d_y`` where ``y > 0``, else 0.

    Parameters
    ----------
    d_y : ndarray
        Upstream gradient.
    x, y : ndarray
        Inputs and outputs; only `y` is read.
    out : ndarray, optional
        Output array; may be `d_y`.

    Returns
    -------
    ndarray
        Gradient with respect to the inputs; 0 at ``x = 0``.

    Examples
    --------
    >>> x = np.array([-1.0, 0.0, 2.0])
    >>> relu_backward(np.array([5.0, 5.0, 5.0]), x, relu(x))
    array([0., 0., 5.])
    """
    return np.multiply(d_y, y > 0, out=out)


def bias_relu(z: Array, bias: Array) -> None:
    """Add the bias and apply `relu`, in place, to the product of a dense layer.

    The composition of an addition and `relu`.

    Parameters
    ----------
    z : ndarray, shape (N, U)
        The product ``x @ kernel``; modified in place.
    bias : ndarray, shape (U,)
        Bias.

    Examples
    --------
    >>> z = np.array([[-3.0, 2.0]])
    >>> bias_relu(z, np.array([1.0, 1.0]))
    >>> z
    array([[0., 3.]])
    """
    z += bias
    relu(z, z)


def bias_relu_backward(d_y: Array, y: Array, d_bias: Array, out: Array | None = None) -> None:
    """Compute the gradients of `bias_relu`.

    The composition of `relu_backward` and the sum over the batch.

    Parameters
    ----------
    d_y : ndarray, shape (N, U)
        Upstream gradient.
    y : ndarray, shape (N, U)
        Outputs.
    d_bias : ndarray, shape (U,)
        Output array for the gradient with respect to the bias.
    out : ndarray, shape (N, U), optional
        Output array for the gradient with respect to the product; by default `d_y`.

    Examples
    --------
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
    """Compute Keras' rectifier with all its options.

    ``y = clip(x, 0, max_value)`` where ``x > threshold``, else
    ``y = negative_slope * (x - threshold)``. Without `max_value`, ``x`` is not clipped.

    Parameters
    ----------
    x : ndarray
        Inputs, of any shape.
    negative_slope : float
        Slope below `threshold`.
    max_value : float, optional
        Largest output.
    threshold : float
        Inputs up to this value are in the part with the slope `negative_slope`.
    out : ndarray, optional
        Output array.

    Returns
    -------
    ndarray
        Outputs.

    Examples
    --------
    >>> rectifier(np.array([-2.0, 0.5, 2.0, 9.0]), 0.5, 6.0, 1.0)
    array([-1.5 , -0.25,  2.  ,  6.  ])
    """
    slope, opening = x.dtype.type(negative_slope), x.dtype.type(threshold)
    above = x if max_value is None else np.clip(x, x.dtype.type(0), x.dtype.type(max_value))
    return linear(np.where(x > opening, above, slope * (x - opening)), out)


def rectifier_backward(
    d_y: Array,
    x: Array,
    negative_slope: float = 0.0,
    max_value: float | None = None,
    threshold: float = 0.0,
    out: Array | None = None,
) -> Array:
    """Compute the gradient of `rectifier`: slope 1, 0 where clipped, or `negative_slope`.

    Parameters
    ----------
    d_y : ndarray
        Upstream gradient.
    x : ndarray
        Inputs.
    negative_slope, max_value, threshold : float
        As in the forward function.
    out : ndarray, optional
        Output array; may be `d_y`.

    Returns
    -------
    ndarray
        Gradient with respect to the inputs.

    Examples
    --------
    >>> rectifier_backward(np.ones(4), np.array([-2.0, 0.5, 2.0, 9.0]), 0.5, 6.0, 1.0)
    array([0.5, 0.5, 1. , 0. ])
    """
    opening, above = x.dtype.type(threshold), np.ones_like(x)
    # At its corners the slope is the one that TensorFlow takes.
    if max_value is not None:
        limit = x.dtype.type(max_value)
        above *= x < limit if threshold == 0 and max_value == 6 else (x >= 0) & (x <= limit)
    slope = np.where(x > opening, above, x.dtype.type(negative_slope))
    if threshold != 0 or max_value is not None:
        slope *= x != opening
    return np.multiply(d_y, slope, out=out)


def sigmoid(x: Array, out: Array | None = None) -> Array:
    """Compute the logistic function: ``y = 1 / (1 + exp(-x))``.

    Computed with tanh, which never overflows: ``y = (1 + tanh(x / 2)) / 2``.

    Parameters
    ----------
    x : ndarray
        Inputs, of any shape.
    out : ndarray, optional
        Output array; may be `x`.

    Returns
    -------
    ndarray
        Outputs, between 0 and 1.

    Examples
    --------
    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    half = x.dtype.type(0.5)
    y: Array = np.multiply(x, half, out=out)
    np.tanh(y, out=y)
    y *= half
    y += half
    return y


def sigmoid_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `sigmoid`: ``d_x = d_y * y * (1 - y)``.

    Parameters
    ----------
    d_y : ndarray
        Upstream gradient.
    x, y : ndarray
        Inputs and outputs; only `y` is read.
    out : ndarray, optional
        Output array; may be `d_y`.

    Returns
    -------
    ndarray
        Gradient with respect to the inputs.

    Examples
    --------
    >>> sigmoid_backward(np.array([8.0]), np.array([0.0]), np.array([0.5]))
    array([2.])
    """
    return np.multiply(d_y, y * (1 - y), out=out)


def tanh(x: Array, out: Array | None = None) -> Array:
    """Compute the hyperbolic tangent.

    Parameters
    ----------
    x : ndarray
        Inputs, of any shape.
    out : ndarray, optional
        Output array; may be `x`.

    Returns
    -------
    ndarray
        Outputs, between -1 and 1.

    Examples
    --------
    >>> tanh(np.array([0.0]))
    array([0.])
    """
    return np.tanh(x, out=out)


def tanh_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `tanh`: ``d_x = d_y * (1 - y**2)``.

    Parameters
    ----------
    d_y : ndarray
        Upstream gradient.
    x, y : ndarray
        Inputs and outputs; only `y` is read.
    out : ndarray, optional
        Output array; may be `d_y`.

    Returns
    -------
    ndarray
        Gradient with respect to the inputs.

    Examples
    --------
    >>> tanh_backward(np.array([4.0]), np.array([0.0]), np.array([0.5]))
    array([3.])
    """
    return np.multiply(d_y, 1 - y * y, out=out)


def softmax(x: Array, out: Array | None = None) -> Array:
    """Convert logits to probabilities along the last axis: ``y = exp(x) / sum(exp(x))``.

    The largest logit is subtracted first, which does not change the result, so that `exp` cannot
    overflow.

    Parameters
    ----------
    x : ndarray, shape (..., C)
        Logits.
    out : ndarray, shape (..., C), optional
        Output array; may be `x`.

    Returns
    -------
    ndarray, shape (..., C)
        Probabilities; every row sums to 1.

    Examples
    --------
    >>> softmax(np.array([[0.0, np.log(3.0)], [1000.0, 0.0]]))
    array([[0.25, 0.75],
           [1.  , 0.  ]])
    """
    y: Array = np.subtract(x, x.max(axis=-1, keepdims=True), out=out)
    np.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)
    return y


def softmax_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `softmax`: ``d_x = y * (d_y - sum(d_y * y))``.

    Parameters
    ----------
    d_y : ndarray, shape (..., C)
        Upstream gradient.
    x, y : ndarray, shape (..., C)
        Logits and probabilities; only `y` is read.
    out : ndarray, shape (..., C), optional
        Output array; may be `d_y`.

    Returns
    -------
    ndarray, shape (..., C)
        Gradient with respect to the logits.

    Examples
    --------
    >>> y = np.array([[0.25, 0.75]])
    >>> softmax_backward(np.array([[4.0, 0.0]]), np.log(y), y)
    array([[ 0.75, -0.75]])
    """
    d_x: Array = np.subtract(d_y, (d_y * y).sum(axis=-1, keepdims=True), out=out)
    d_x *= y
    return d_x


def log_softmax(x: Array, out: Array | None = None) -> Array:
    """Compute the logarithm of `softmax`: ``y = x - log(sum(exp(x)))`` over the last axis.

    Parameters
    ----------
    x : ndarray, shape (..., C)
        Logits.
    out : ndarray, shape (..., C), optional
        Output array.

    Returns
    -------
    ndarray, shape (..., C)
        Log-probabilities, exact even where the probabilities round to 0.

    Examples
    --------
    >>> log_softmax(np.array([[1000.0, 0.0]]))
    array([[    0., -1000.]])
    """
    shifted = x - np.max(x, axis=-1, keepdims=True)
    total = np.sum(np.exp(shifted), axis=-1, keepdims=True)
    return np.subtract(shifted, np.log(total), out=out)


def log_softmax_backward(d_y: Array, x: Array, y: Array, out: Array | None = None) -> Array:
    """Compute the gradient of `log_softmax`: ``d_x = d_y - exp(y) * sum(d_y)``.

    Parameters
    ----------
    d_y : ndarray, shape (..., C)
        Upstream gradient.
    x, y : ndarray, shape (..., C)
        Logits and log-probabilities; only `y` is read.
    out : ndarray, shape (..., C), optional
        Output array; may be `d_y`.

    Returns
    -------
    ndarray, shape (..., C)
        Gradient with respect to the logits.

    Examples
    --------
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

#: More activations: ``f(x)``, and its derivative as a function of ``x`` and ``y = f(x)``.
ELEMENTWISE: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "elu": (  # Clevert, Unterthiner and Hochreiter (2016)
        lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
        lambda x, y, alpha: np.where(x > 0, 1, y + alpha),
    ),
    "selu": (  # Klambauer et al. (2017): elu, scaled so that deep nets keep mean 0, variance 1
        lambda x: np.where(x > 0, _SELU * x, _SELU_BELOW * np.expm1(np.minimum(x, 0))),
        lambda x, y: np.where(x < 0, y + _SELU_BELOW, _SELU),
    ),
    "softplus": (  # log(1 + exp(x))
        lambda x: np.logaddexp(x, 0),
        lambda x, y: sigmoid(x),
    ),
    "softsign": (lambda x: x / (1 + np.abs(x)), lambda x, y: 1 / (1 + np.abs(x)) ** 2),
    "silu": (  # x * sigmoid(x); the slope is s + x * s * (1 - s)
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
    "hard_sigmoid": (lambda x: np.clip(x / 6 + 0.5, 0, 1), lambda x, y: (np.abs(x) < 3) / 6),
    "hard_silu": (  # x * hard_sigmoid(x)
        lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
        lambda x, y: np.clip(x / 6 + 0.5, 0, 1) + x * (np.abs(x) < 3) / 6,
    ),
    "mish": (  # Misra (2019): x * tanh(softplus(x)); the slope is t + x * (1 - t**2) * sigmoid(x)
        lambda x: x * np.tanh(np.logaddexp(x, 0)),
        lambda x, y: _mish_slope(x, np.tanh(np.logaddexp(x, 0))),
    ),
}


def _gelu_approximate_slope(x: Array, t: Array) -> Array:
    return (1 + t) / 2 + x / 2 * (1 - t * t) * _GELU * (1 + 3 * 0.044715 * x * x)


def _mish_slope(x: Array, t: Array) -> Array:
    return t + x * (1 - t * t) * sigmoid(x)


def elementwise(
    name: str, x: Array, options: tuple[float, ...] = (), out: Array | None = None
) -> Array:
    """Compute one of the activations in `ELEMENTWISE`.

    Parameters
    ----------
    name : str
        Key of the table.
    x : ndarray
        Inputs, of any shape.
    options : tuple of float
        Options of the formula.
    out : ndarray, optional
        Output array.

    Returns
    -------
    ndarray
        Outputs.

    Examples
    --------
    >>> elementwise("softsign", np.array([-1.0, 3.0]))
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
    """Compute the gradient of `elementwise`: ``d_x = d_y * slope``.

    Parameters
    ----------
    name : str
        Key of the table.
    d_y : ndarray
        Upstream gradient.
    x, y : ndarray
        Inputs and outputs.
    options : tuple of float
        As in the forward function.
    out : ndarray, optional
        Output array; may be `d_y`.

    Returns
    -------
    ndarray
        Gradient with respect to the inputs.

    Examples
    --------
    >>> elementwise_backward("softsign", np.array([8.0]), np.array([3.0]), np.array([0.75]))
    array([0.5])
    """
    slope = ELEMENTWISE[name][1](x, y, *options).astype(x.dtype, copy=False)
    return np.multiply(d_y, slope, out=out)
