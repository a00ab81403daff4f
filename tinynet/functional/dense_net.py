"""The maths: every formula of the library, forward next to backward, in plain NumPy.

Nothing here has state. A forward function takes arrays and returns an array. Its backward
function takes ``d_y``, the upstream gradient (that of the loss with respect to the forward
function's result), and returns ``d_x``, the gradient with respect to the input, which has ``x``'s
shape: the chain rule, one link at a time.

Every function can write into an array that the caller passes as the last argument (``out`` or
the name of the gradient), so that training allocates no memory; by default it creates one.

Dimensions: N examples in a batch, D inputs, U units, C classes, P parameters.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ELEMENTWISE", "ERRORS", "Array"]
__all__ += ["adadelta", "adagrad", "adam", "adam_step_size", "adamax", "batch_normalization"]
__all__ += ["batch_normalization_backward", "batch_statistics", "bias_relu", "bias_relu_backward"]
__all__ += ["binary_crossentropy", "binary_crossentropy_backward", "blocks", "clip"]
__all__ += ["compress_rows", "crossentropy", "crossentropy_backward", "dense", "dense_backward"]
__all__ += ["dense_gradients", "dense_layer_backward", "dropout", "elementwise"]
__all__ += ["elementwise_backward", "expand_rows", "ftrl", "kl_divergence"]
__all__ += ["kl_divergence_backward", "linear", "linear_backward", "lion", "log_softmax"]
__all__ += ["log_softmax_backward", "mean_error", "mean_error_backward"]
__all__ += ["mean_softmax_crossentropy", "mean_softmax_crossentropy_backward", "nadam", "rectifier"]
__all__ += ["rectifier_backward", "relu", "relu_backward", "rmsprop", "row_starts", "sgd"]
__all__ += ["sgd_momentum", "sigmoid", "sigmoid_backward", "sigmoid_crossentropy"]
__all__ += ["sigmoid_crossentropy_backward", "softmax", "softmax_backward", "softmax_crossentropy"]
__all__ += ["softmax_crossentropy_backward", "softmax_crossentropy_step"]
__all__ += ["softmax_with_crossentropy", "sparse_crossentropy", "sparse_crossentropy_backward"]
__all__ += ["sparse_matches", "sparse_softmax_crossentropy"]
__all__ += ["sparse_softmax_crossentropy_backward", "tanh", "tanh_backward"]

Array = NDArray[Any]

# ---------------------------------------------------------------- dense layer


def dense(x: Array, kernel: Array, bias: Array | None = None, out: Array | None = None) -> Array:
    """Compute a dense layer: ``y = x @ kernel + bias``.

    Parameters
    ----------
    x : ndarray, shape (N, D)
        Inputs.
    kernel : ndarray, shape (D, U)
        Weights.
    bias : ndarray, shape (U,), optional
        Bias, added to every row.
    out : ndarray, shape (N, U), optional
        Output array.

    Returns
    -------
    ndarray, shape (N, U)
        Outputs.

    Examples
    --------
    >>> x, kernel, bias = np.array([[1.0, 2.0]]), np.array([[1.0], [3.0]]), np.array([0.5])
    >>> dense(x, kernel, bias)
    array([[7.5]])
    """
    y: Array = np.matmul(x, kernel, out=out)
    if bias is not None:
        y += bias
    return y


def dense_gradients(x: Array, d_y: Array, d_kernel: Array, d_bias: Array | None) -> None:
    """Compute the gradients of a dense layer's weights.

    From ``y = x @ kernel + bias``: ``d_kernel = x.T @ d_y``, and every row of ``y`` holds
    ``bias`` once, so that ``d_bias`` is the sum of ``d_y``'s rows.

    Parameters
    ----------
    x : ndarray, shape (N, D)
        Inputs.
    d_y : ndarray, shape (N, U)
        Upstream gradient.
    d_kernel : ndarray, shape (D, U)
        Output array for the gradient with respect to the kernel.
    d_bias : ndarray, shape (U,), or None
        Output array for the gradient with respect to the bias, if it is needed.

    Examples
    --------
    >>> x, d_y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0], [10.0]])
    >>> d_kernel, d_bias = np.empty((2, 1)), np.empty(1)
    >>> dense_gradients(x, d_y, d_kernel, d_bias)
    >>> d_kernel, d_bias
    (array([[31.],
           [42.]]), array([11.]))
    """
    np.matmul(x.T, d_y, out=d_kernel)
    if d_bias is not None:
        d_y.sum(axis=0, out=d_bias)


def dense_backward(d_y: Array, kernel: Array, out: Array | None = None) -> Array:
    """Compute the gradient with respect to a dense layer's input.

    From ``y = x @ kernel + bias``: ``d_x = d_y @ kernel.T``.

    Parameters
    ----------
    d_y : ndarray, shape (N, U)
        Upstream gradient.
    kernel : ndarray, shape (D, U)
        Weights.
    out : ndarray, shape (N, D), optional
        Output array.

    Returns
    -------
    ndarray, shape (N, D)
        Gradient with respect to the inputs.

    Examples
    --------
    >>> dense_backward(np.array([[2.0]]), np.array([[1.0], [3.0]]))
    array([[2., 6.]])
    """
    return np.matmul(d_y, kernel.T, out=out)


def dense_layer_backward(
    d_y: Array,
    x: Array,
    kernel: Array,
    d_kernel: Array | None = None,
    d_bias: Array | None = None,
    needs: Sequence[bool] = (True,) * 3,
) -> tuple[Array | None, ...]:
    """Compute the gradients of `dense` with respect to its inputs, its kernel and its bias.

    Parameters
    ----------
    d_y : ndarray, shape (N, U)
        Upstream gradient.
    x, kernel : ndarray
        As for `dense`.
    d_kernel, d_bias : ndarray, optional
        Output arrays for these gradients.
    needs : sequence of bool
        Flags of the three gradients to compute.

    Returns
    -------
    tuple of (ndarray or None)
        The gradients, None for those not needed.

    Examples
    --------
    >>> x, kernel = np.array([[1.0, 2.0]]), np.array([[1.0], [3.0]])
    >>> dense_layer_backward(np.array([[2.0]]), x, kernel)
    (array([[2., 6.]]), array([[2.],
           [4.]]), array([2.]))
    """
    d_x = dense_backward(d_y, kernel) if needs[0] else None
    d_kernel = np.matmul(x.T, d_y, out=d_kernel) if needs[1] else None
    d_bias = d_y.sum(axis=0, out=d_bias) if needs[2] else None
    return d_x, d_kernel, d_bias


# ---------------------------------------------------------------- dense layer, sparse inputs


def row_starts(x: Array, out: Array) -> Array:
    """Compute the start of each row's non-zeros in an array that holds them contiguously.

    Parameters
    ----------
    x : ndarray, shape (N, D)
        Inputs.
    out : ndarray of int64, shape (N + 1,)
        Output array for the starts; the last element is the number of all non-zeros.

    Returns
    -------
    ndarray of int64, shape (N + 1,)
        `out`.

    Examples
    --------
    >>> row_starts(np.array([[0, 5, 0], [7, 0, 8]]), np.empty(3, np.int64))
    array([0, 1, 3])
    """
    out[0] = 0
    np.cumsum(np.count_nonzero(x, axis=1), out=out[1:])
    return out


def compress_rows(x: Array, indptr: Array, indices: Array, values: Array) -> None:
    """Write the non-zeros of an array, row after row: the CSR format.

    Parameters
    ----------
    x : ndarray, shape (N, D)
        Inputs.
    indptr : ndarray of int64, shape (N + 1,)
        Result of `row_starts`.
    indices : ndarray of int
        Output array for the column of each non-zero; one element longer than needed.
    values : ndarray of float
        Output array for the values; one element longer than needed.

    Examples
    --------
    >>> indices, values = np.zeros(4, np.uint16), np.zeros(4)
    >>> compress_rows(np.array([[0, 5, 0], [7, 0, 8]]), np.array([0, 1, 3]), indices, values)
    >>> indices[:3], values[:3]
    (array([1, 0, 2], dtype=uint16), array([5., 7., 8.]))
    """
    rows, columns = np.nonzero(x)
    indices[: len(columns)] = columns
    values[: len(columns)] = x[rows, columns]


def expand_rows(indptr: Array, indices: Array, values: Array, rows: Array, width: int) -> Array:
    """Convert compressed rows (CSR) to a dense array.

    Parameters
    ----------
    indptr, indices, values : ndarray
        All compressed rows.
    rows : ndarray of int64, shape (N,)
        Indices of the rows to convert.
    width : int
        Length of a row, D.

    Returns
    -------
    ndarray, shape (N, D)
        Rows.

    Examples
    --------
    >>> indptr, indices, values = np.array([0, 1, 3]), np.array([1, 0, 2]), np.array([5., 7., 8.])
    >>> expand_rows(indptr, indices, values, np.array([1]), 3)
    array([[7., 0., 8.]])
    """
    x = np.zeros((len(rows), width), values.dtype)
    for i, row in enumerate(rows):
        here = slice(indptr[row], indptr[row + 1])
        x[i, indices[here]] = values[here]
    return x


# ---------------------------------------------------------------- activations


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


# ---------------------------------------------------------------- dropout, normalization


def dropout(x: Array, drawn: Array, rate: float, out: Array | None = None) -> Array:
    """Set random inputs to 0: ``y = x / (1 - rate)`` where ``drawn >= rate``, else 0.

    This is also its backward function, with the upstream gradient as `x` and the same `drawn`.

    Parameters
    ----------
    x : ndarray
        Inputs, of any shape; or the upstream gradient.
    drawn : ndarray
        Random numbers from 0 to 1, of a shape that broadcasts to the inputs'.
    rate : float
        Fraction of the inputs to drop.
    out : ndarray, optional
        Output array.

    Returns
    -------
    ndarray
        Outputs; or the gradient with respect to the inputs.

    Examples
    --------
    >>> dropout(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.5, 0.9]), 0.5)
    array([0., 4., 6.])
    """
    scale = x.dtype.type(0 if rate == 1 else 1 / (1 - rate))
    return np.multiply(x, (drawn >= rate) * scale, out=out)


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """Compute the mean and the variance of every feature over a batch.

    Parameters
    ----------
    x : ndarray, shape (N, U)
        Inputs.

    Returns
    -------
    mean, variance : ndarray, shape (U,)
        ``mean = sum(x) / N`` and ``variance = sum((x - mean)**2) / N``.

    Examples
    --------
    >>> batch_statistics(np.array([[0.0], [2.0]]))
    (array([1.]), array([1.]))
    """
    mean = np.mean(x, axis=0)
    return mean, np.mean(np.square(x - mean), axis=0)


def batch_normalization(
    x: Array,
    mean: Array,
    variance: Array,
    gamma: Array | None,
    beta: Array | None,
    epsilon: float,
    out: Array | None = None,
) -> Array:
    """Normalize every feature: ``y = (x - mean) / sqrt(variance + epsilon) * gamma + beta``.

    Parameters
    ----------
    x : ndarray, shape (N, U)
        Inputs.
    mean, variance : ndarray, shape (U,)
        Mean and variance of every feature.
    gamma, beta : ndarray, shape (U,), or None
        Scale and offset; None is 1 and 0.
    epsilon : float
        Constant added to the variance.
    out : ndarray, shape (N, U), optional
        Output array.

    Returns
    -------
    ndarray, shape (N, U)
        Outputs.

    Examples
    --------
    >>> one = np.array([1.0])
    >>> batch_normalization(np.array([[0.0], [2.0]]), one, one, 3 * one, one, 0.0)
    array([[-2.],
           [ 4.]])
    """
    scale = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    if gamma is not None:
        scale = scale * gamma
    y: Array = np.multiply(x, scale, out=out)
    y += (0 if beta is None else beta) - mean * scale
    return y


def batch_normalization_backward(
    d_y: Array,
    x: Array,
    mean: Array,
    variance: Array,
    gamma: Array | None,
    epsilon: float,
    d_gamma: Array | None,
    d_beta: Array | None,
) -> Array:
    """Compute the gradients of `batch_normalization` with the mean and variance of the batch.

    With ``x_hat = (x - mean) / sqrt(variance + epsilon)``: ``d_beta = sum(d_y)``,
    ``d_gamma = sum(d_y * x_hat)``; and since mean and variance depend on ``x`` too,
    ``d_x = gamma / sqrt(variance + epsilon) * (d_y - d_beta / N - x_hat * d_gamma / N)``.

    Parameters
    ----------
    d_y : ndarray, shape (N, U)
        Upstream gradient.
    x : ndarray, shape (N, U)
        Inputs.
    mean, variance : ndarray, shape (U,)
        Results of `batch_statistics`.
    gamma : ndarray, shape (U,), or None
        Scale.
    epsilon : float
        As in the forward function.
    d_gamma, d_beta : ndarray, shape (U,), or None
        Output arrays for the gradients with respect to gamma and beta, if they are needed.

    Returns
    -------
    ndarray, shape (N, U)
        Gradient with respect to the inputs.

    Examples
    --------
    >>> x, one, d_gamma = np.array([[0.0], [2.0]]), np.array([1.0]), np.empty(1)
    >>> batch_normalization_backward(np.array([[1.0], [0.0]]), x, one, one, one, 0.0, d_gamma, None)
    array([[0.],
           [0.]])
    >>> d_gamma
    array([-1.])
    """
    inverse = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    x_hat = (x - mean) * inverse
    if d_gamma is not None:
        d_gamma[:] = np.sum(d_y * x_hat, axis=0)
    if d_beta is not None:
        d_beta[:] = np.sum(d_y, axis=0)
    centered = d_y - np.mean(d_y, axis=0) - x_hat * np.mean(d_y * x_hat, axis=0)
    d_x: Array = centered * inverse
    return d_x if gamma is None else d_x * gamma


# ---------------------------------------------------------------- losses of each example


def is_label(labels: Array, rows: Array) -> Array:
    """Return the one-hot rows of class labels, as a mask.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        Class labels, 0 to C - 1.
    rows : ndarray, shape (N, C)
        Array with a column for each class, whose values do not matter.

    Returns
    -------
    ndarray of bool, shape (N, C)
        True at each label.

    Examples
    --------
    >>> is_label(np.array([1, 0]), np.zeros((2, 2)))
    array([[False,  True],
           [ True, False]])
    """
    return np.arange(rows.shape[-1]) == labels[:, None]


def sparse_softmax_crossentropy(labels: Array, logits: Array) -> Array:
    """Compute the cross-entropy of class labels from logits.

    ``value = -log(softmax(logits)[label]) = log(sum(exp(logits))) - logits[label]``; the
    largest logit is subtracted first, as in `softmax`.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        Class labels, 0 to C - 1.
    logits : ndarray, shape (N, C)
        Logits.

    Returns
    -------
    ndarray, shape (N,)
        Loss of each example.

    Examples
    --------
    >>> sparse_softmax_crossentropy(np.array([1, 1]), np.array([[0.0, 0.0], [100.0, 0.0]]))
    array([  0.69314718, 100.        ])
    """
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    chosen = np.sum(np.where(is_label(labels, logits), shifted, 0), axis=-1)
    return np.log(np.sum(np.exp(shifted), axis=-1)) - chosen


def sparse_softmax_crossentropy_backward(
    d_values: Array, labels: Array, probabilities: Array, out: Array | None = None
) -> Array:
    """Compute the gradient of `sparse_softmax_crossentropy` with respect to the logits.

    ``d_logits = (probabilities - onehot(labels)) * d_values``: the difference between the
    predicted and the true probabilities.

    Parameters
    ----------
    d_values : ndarray, shape (N,)
        Upstream gradient.
    labels : ndarray of int, shape (N,)
        Class labels.
    probabilities : ndarray, shape (N, C)
        `softmax` of the logits.
    out : ndarray, shape (N, C), optional
        Output array.

    Returns
    -------
    ndarray, shape (N, C)
        Gradient with respect to the logits.

    Examples
    --------
    >>> sparse_softmax_crossentropy_backward(
    ...     np.array([2.0]), np.array([1]), np.array([[0.25, 0.75]]))
    array([[ 0.5, -0.5]])
    """
    d_logits: Array = np.subtract(probabilities, is_label(labels, probabilities), out=out)
    d_logits *= d_values[:, None]
    return d_logits


def softmax_with_crossentropy(
    labels: Array, logits: Array, probabilities: Array | None = None
) -> tuple[Array, Array]:
    """Compute `sparse_softmax_crossentropy` and `softmax`, which share the sum of exponentials.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        Class labels, 0 to C - 1.
    logits : ndarray, shape (N, C)
        Logits.
    probabilities : ndarray, shape (N, C), optional
        Output array for the probabilities.

    Returns
    -------
    ndarray, shape (N,)
        Loss of each example.
    ndarray, shape (N, C)
        Probabilities.

    Examples
    --------
    >>> softmax_with_crossentropy(np.array([0]), np.zeros((1, 2)))
    (array([0.69314718]), array([[0.5, 0.5]]))
    """
    y = np.subtract(logits, logits.max(axis=-1, keepdims=True), out=probabilities)
    chosen = y[np.arange(len(labels)), labels]
    np.exp(y, out=y)
    total = y.sum(axis=-1, keepdims=True)
    y /= total
    return np.log(total[:, 0]) - chosen, y


def softmax_crossentropy_step(
    labels: Array,
    logits: Array,
    d_values: Array,
    probabilities: Array,
    d_logits: Array,
    values: Array,
) -> None:
    """Compute the probabilities, the loss and the gradient of a softmax classifier.

    The composition of `softmax`, `sparse_softmax_crossentropy` and its backward function.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        Class labels.
    logits : ndarray, shape (N, C)
        Logits.
    d_values : ndarray, shape (N,)
        Upstream gradient: 1/N for a mean.
    probabilities : ndarray, shape (N, C)
        Output array for the probabilities.
    d_logits : ndarray, shape (N, C)
        Output array for the gradient with respect to the logits.
    values : ndarray, shape (N,)
        Output array for the loss of each example.

    Examples
    --------
    >>> logits = np.log([[0.25, 0.75]])
    >>> p, d, values = np.empty((1, 2)), np.empty((1, 2)), np.empty(1)
    >>> softmax_crossentropy_step(np.array([1]), logits, np.array([1.0]), p, d, values)
    >>> p, d, values
    (array([[0.25, 0.75]]), array([[ 0.25, -0.25]]), array([0.28768207]))
    """
    values[:], _ = softmax_with_crossentropy(labels, logits, probabilities)
    sparse_softmax_crossentropy_backward(d_values, labels, probabilities, d_logits)


def mean_softmax_crossentropy(
    logits: Array, labels: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Compute the loss of a classifier, and its probabilities, from logits.

    ``loss = sum(weights * values) / N``, where the values are `sparse_softmax_crossentropy`.

    Parameters
    ----------
    logits : ndarray, shape (N, C)
        Logits.
    labels : ndarray of int, shape (N,)
        Class labels, 0 to C - 1.
    weights : ndarray, shape (N,), optional
        Factor of each example's value; by default 1.

    Returns
    -------
    ndarray, shape ()
        Loss.
    ndarray, shape (N, C)
        `softmax` of the logits.

    Examples
    --------
    >>> loss, p = mean_softmax_crossentropy(np.log([[0.25, 0.75]]), np.array([1]))
    >>> loss.round(4), p
    (np.float64(0.2877), array([[0.25, 0.75]]))
    """
    values, probabilities = softmax_with_crossentropy(labels, logits)
    weighted = values if weights is None else values * weights
    return weighted.sum() / values.dtype.type(len(values) or 1), probabilities


def mean_softmax_crossentropy_backward(
    d_loss: Array, probabilities: Array, labels: Array, weights: Array | None = None
) -> Array:
    """Compute the gradient of `mean_softmax_crossentropy` with respect to the logits.

    ``d_logits = d_loss * weights / N * (probabilities - onehot(labels))``.

    Parameters
    ----------
    d_loss : ndarray, shape ()
        Upstream gradient.
    probabilities : ndarray, shape (N, C)
        `softmax` of the logits.
    labels : ndarray of int, shape (N,)
        Class labels.
    weights : ndarray, shape (N,), optional
        As in the forward function.

    Returns
    -------
    ndarray, shape (N, C)
        Gradient of the loss with respect to the logits.

    Examples
    --------
    >>> p = np.array([[0.25, 0.75], [0.5, 0.5]])
    >>> mean_softmax_crossentropy_backward(1.0, p, np.array([1, 0]))
    array([[ 0.125, -0.125],
           [-0.25 ,  0.25 ]])
    """
    one = probabilities.dtype.type
    each = np.ones(len(labels), one) if weights is None else weights
    d_values = each / one(len(labels) or 1)
    d_logits = sparse_softmax_crossentropy_backward(d_values, labels, probabilities)
    d_logits *= one(d_loss)
    return d_logits


def sparse_matches(labels: Array, scores: Array) -> int:
    """Count the rows whose largest score is that of the label; of ties, the first one counts.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        Class labels.
    scores : ndarray, shape (N, C)
        Logits or probabilities.

    Returns
    -------
    int
        Number of rows.

    Examples
    --------
    >>> sparse_matches(np.array([0, 1]), np.array([[0.5, 0.5], [0.9, 0.1]]))
    1
    """
    return int(np.count_nonzero(scores.argmax(axis=-1) == labels))


def sparse_crossentropy(labels: Array, probabilities: Array, epsilon: float) -> Array:
    """Compute the cross-entropy of class labels from probabilities.

    Probabilities are clipped to ``[epsilon, 1 - epsilon]`` and normalized:
    ``value = log(sum(q)) - log(q[label])``, where ``q = clip(probabilities)``. The largest
    loss is therefore finite: about 16.1 for ``epsilon = 1e-7``.

    Parameters
    ----------
    labels : ndarray of int, shape (N,)
        Class labels, 0 to C - 1.
    probabilities : ndarray, shape (N, C)
        Predictions.
    epsilon : float
        Distance of the clipping bounds from 0 and 1.

    Returns
    -------
    ndarray, shape (N,)
        Loss of each example.

    Examples
    --------
    >>> sparse_crossentropy(np.array([1]), np.array([[0.5, 0.5]]), 1e-7)
    array([0.69314718])
    """
    return sparse_softmax_crossentropy(labels, np.log(clip(probabilities, epsilon)))


def sparse_crossentropy_backward(
    d_values: Array, labels: Array, probabilities: Array, epsilon: float
) -> Array:
    """Compute the gradient of `sparse_crossentropy` with respect to the probabilities.

    ``d_p = (1 / sum(q) - onehot(labels) / q) * d_values``, and 0 where ``q`` was clipped.

    Parameters
    ----------
    d_values : ndarray, shape (N,)
        Upstream gradient.
    labels : ndarray of int, shape (N,)
        Class labels.
    probabilities : ndarray, shape (N, C)
        Predictions.
    epsilon : float
        As in the forward function.

    Returns
    -------
    ndarray, shape (N, C)
        Gradient with respect to the probabilities.

    Examples
    --------
    >>> sparse_crossentropy_backward(
    ...     np.array([1.0]), np.array([1]), np.array([[0.5, 0.5]]), 1e-7)
    array([[ 1., -1.]])
    """
    q = clip(probabilities, epsilon)
    d_p: Array = 1 / np.sum(q, axis=-1, keepdims=True) - is_label(labels, q) / q
    d_p *= d_values[:, None]
    d_p *= q == probabilities
    return d_p


def softmax_crossentropy(y_true: Array, logits: Array) -> Array:
    """Compute the cross-entropy of target probabilities from logits.

    ``value = -sum(y_true * log(softmax(logits)))``; equal to
    `sparse_softmax_crossentropy` for one-hot rows.

    Parameters
    ----------
    y_true : ndarray, shape (..., C)
        Target probabilities: one-hot rows, or soft labels.
    logits : ndarray, shape (..., C)
        Logits.

    Returns
    -------
    ndarray, shape (...)
        Loss of each example.

    Examples
    --------
    >>> softmax_crossentropy(np.array([[0.0, 1.0]]), np.array([[100.0, 0.0]]))
    array([100.])
    """
    return -np.sum(y_true * log_softmax(logits), axis=-1)


def softmax_crossentropy_backward(d_values: Array, y_true: Array, logits: Array) -> Array:
    """Compute the gradient of `softmax_crossentropy` with respect to the logits.

    ``d_logits = (softmax(logits) * sum(y_true) - y_true) * d_values``, where the sum is 1 if
    `y_true` are probabilities.

    Parameters
    ----------
    d_values : ndarray, shape (...)
        Upstream gradient.
    y_true, logits : ndarray, shape (..., C)
        As in the forward function.

    Returns
    -------
    ndarray, shape (..., C)
        Gradient with respect to the logits.

    Examples
    --------
    >>> softmax_crossentropy_backward(
    ...     np.array([2.0]), np.array([[0.0, 1.0]]), np.log([[0.25, 0.75]]))
    array([[ 0.5, -0.5]])
    """
    d_logits = softmax(logits)
    d_logits *= np.sum(y_true, axis=-1, keepdims=True)
    d_logits -= y_true
    d_logits *= d_values[..., None]
    return d_logits


def crossentropy(y_true: Array, probabilities: Array, epsilon: float) -> Array:
    """Compute the cross-entropy of target probabilities and predicted probabilities.

    Rows are normalized, then clipped: ``value = -sum(y_true * log(clip(p / sum(p))))``.

    Parameters
    ----------
    y_true : ndarray, shape (..., C)
        Target probabilities: one-hot rows, or soft labels.
    probabilities : ndarray, shape (..., C)
        Predictions.
    epsilon : float
        Distance of the clipping bounds from 0 and 1.

    Returns
    -------
    ndarray, shape (...)
        Loss of each example.

    Examples
    --------
    >>> crossentropy(np.array([[0.0, 1.0]]), np.array([[2.0, 2.0]]), 1e-7)
    array([0.69314718])
    """
    q = probabilities / np.sum(probabilities, axis=-1, keepdims=True)
    return -np.sum(y_true * np.log(clip(q, epsilon)), axis=-1)


def crossentropy_backward(
    d_values: Array, y_true: Array, probabilities: Array, epsilon: float
) -> Array:
    """Compute the gradient of `crossentropy` with respect to the probabilities.

    With ``q = p / sum(p)``: ``d_q = -y_true / q * d_values``, and 0 where ``q`` was clipped;
    then ``d_p = (d_q - sum(d_q * q)) / sum(p)``.

    Parameters
    ----------
    d_values : ndarray, shape (...)
        Upstream gradient.
    y_true, probabilities : ndarray, shape (..., C)
        As in the forward function.
    epsilon : float
        As in the forward function.

    Returns
    -------
    ndarray, shape (..., C)
        Gradient with respect to the probabilities.

    Examples
    --------
    >>> crossentropy_backward(np.array([1.0]), np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]), 1e-7)
    array([[ 0.5, -0.5]])
    """
    total = np.sum(probabilities, axis=-1, keepdims=True)
    q = probabilities / total
    clipped = clip(q, epsilon)
    d_q = -y_true / clipped * (q == clipped) * d_values[..., None]
    return (d_q - np.sum(d_q * q, axis=-1, keepdims=True)) / total


def sigmoid_crossentropy(y_true: Array, logits: Array) -> Array:
    """Compute the binary cross-entropy from logits.

    ``value = -y_true * log(s) - (1 - y_true) * log(1 - s)`` with ``s = sigmoid(logits)``, which
    is ``max(logits, 0) - logits * y_true + log(1 + exp(-|logits|))`` and never overflows.

    Parameters
    ----------
    y_true : ndarray
        Target probabilities, of any shape.
    logits : ndarray
        Logits, of the same shape.

    Returns
    -------
    ndarray
        Loss of each element.

    Examples
    --------
    >>> sigmoid_crossentropy(np.array([1.0, 0.0]), np.array([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    log_part = np.log1p(np.exp(-np.abs(logits)))
    return np.maximum(logits, 0) - logits * y_true + log_part


def sigmoid_crossentropy_backward(d_values: Array, y_true: Array, logits: Array) -> Array:
    """Compute the gradient of `sigmoid_crossentropy`: ``(sigmoid(logits) - y_true) * d_values``.

    Parameters
    ----------
    d_values : ndarray
        Upstream gradient.
    y_true, logits : ndarray
        As in the forward function.

    Returns
    -------
    ndarray
        Gradient with respect to the logits.

    Examples
    --------
    >>> sigmoid_crossentropy_backward(np.array([4.0]), np.array([1.0]), np.array([0.0]))
    array([-2.])
    """
    return (sigmoid(logits) - y_true) * d_values


def binary_crossentropy(y_true: Array, probabilities: Array, epsilon: float) -> Array:
    """Compute the binary cross-entropy from probabilities.

    ``value = -y_true * log(q) - (1 - y_true) * log(1 - q)``, where ``q = clip(probabilities)``.

    Parameters
    ----------
    y_true : ndarray
        Target probabilities, of any shape.
    probabilities : ndarray
        Predictions, of the same shape.
    epsilon : float
        Distance of the clipping bounds from 0 and 1.

    Returns
    -------
    ndarray
        Loss of each element.

    Examples
    --------
    >>> binary_crossentropy(np.array([1.0, 0.0]), np.array([0.5, 0.0]), 0.25)
    array([0.69314718, 0.28768207])
    """
    q = clip(probabilities, epsilon)
    return -(y_true * np.log(q) + (1 - y_true) * np.log(1 - q))


def binary_crossentropy_backward(
    d_values: Array, y_true: Array, probabilities: Array, epsilon: float
) -> Array:
    """Compute the gradient of `binary_crossentropy` with respect to the probabilities.

    ``d_p = ((1 - y_true) / (1 - q) - y_true / q) * d_values``, and 0 where ``q`` was clipped.

    Parameters
    ----------
    d_values : ndarray
        Upstream gradient.
    y_true, probabilities : ndarray
        As in the forward function.
    epsilon : float
        As in the forward function.

    Returns
    -------
    ndarray
        Gradient with respect to the probabilities.

    Examples
    --------
    >>> binary_crossentropy_backward(np.array([1.0]), np.array([1.0]), np.array([0.5]), 1e-7)
    array([-2.])
    """
    q = clip(probabilities, epsilon)
    return ((1 - y_true) / (1 - q) - y_true / q) * (q == probabilities) * d_values


def kl_divergence(y_true: Array, probabilities: Array, epsilon: float) -> Array:
    """Compute the Kullback-Leibler divergence between target and predicted probabilities.

    ``value = sum(y * log(y / q))``, where ``y`` and ``q`` are clipped to ``[epsilon, 1]``.

    Parameters
    ----------
    y_true, probabilities : ndarray, shape (..., C)
        Target and predicted probabilities.
    epsilon : float
        Lower clipping bound.

    Returns
    -------
    ndarray, shape (...)
        Loss of each example.

    Examples
    --------
    >>> kl_divergence(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]]), 1e-16)
    array([0.69314718])
    """
    y = np.clip(y_true, y_true.dtype.type(epsilon), 1)
    q = np.clip(probabilities, probabilities.dtype.type(epsilon), 1)
    return np.sum(y * np.log(y / q), axis=-1)


def kl_divergence_backward(
    d_values: Array, y_true: Array, probabilities: Array, epsilon: float
) -> Array:
    """Compute the gradient of `kl_divergence`: ``d_p = -y / q * d_values``, 0 where clipped.

    Parameters
    ----------
    d_values : ndarray, shape (...)
        Upstream gradient.
    y_true, probabilities : ndarray, shape (..., C)
        As in the forward function.
    epsilon : float
        As in the forward function.

    Returns
    -------
    ndarray, shape (..., C)
        Gradient with respect to the predicted probabilities.

    Examples
    --------
    >>> kl_divergence_backward(np.array([3.0]), np.array([[1.0]]), np.array([[0.5]]), 1e-7)
    array([[-6.]])
    """
    y = np.clip(y_true, y_true.dtype.type(epsilon), 1)
    q = np.clip(probabilities, probabilities.dtype.type(epsilon), 1)
    return -y / q * (q == probabilities) * d_values[..., None]


#: Error functions of ``e = y_pred - y_true``, each with its derivative.
ERRORS: dict[str, tuple[Callable[..., Array], Callable[..., Array]]] = {
    "squared": (lambda e: e * e, lambda e: 2 * e),
    "absolute": (lambda e: np.abs(e), lambda e: np.sign(e)),
    "huber": (  # Huber (1964): squared where small, absolute where large
        lambda e, delta: np.where(
            np.abs(e) <= delta, e * e / 2, delta * np.abs(e) - delta * delta / 2
        ),
        lambda e, delta: np.clip(e, -delta, delta),
    ),
    "log_cosh": (  # log(cosh(e)) without overflow
        lambda e: np.abs(e) + np.log1p(np.exp(-2 * np.abs(e))) - math.log(2),
        lambda e: np.tanh(e),
    ),
}


def mean_error(name: str, y_true: Array, y_pred: Array, options: tuple[float, ...] = ()) -> Array:
    """Compute the mean over the last axis of one of the error functions in `ERRORS`.

    Parameters
    ----------
    name : str
        Key of the table.
    y_true, y_pred : ndarray, shape (..., U)
        Targets and predictions.
    options : tuple of float
        Options of the formula.

    Returns
    -------
    ndarray, shape (...)
        Loss of each example.

    Examples
    --------
    >>> mean_error("squared", np.array([[0.0, 0.0]]), np.array([[1.0, 3.0]]))
    array([5.])
    """
    return np.mean(ERRORS[name][0](y_pred - y_true, *options), axis=-1)


def mean_error_backward(
    name: str, d_values: Array, y_true: Array, y_pred: Array, options: tuple[float, ...] = ()
) -> Array:
    """Compute the gradient of `mean_error`: ``d_y_pred = slope(y_pred - y_true) * d_values / U``.

    Parameters
    ----------
    name : str
        Key of the table.
    d_values : ndarray, shape (...)
        Upstream gradient.
    y_true, y_pred : ndarray, shape (..., U)
        As in the forward function.
    options : tuple of float
        As in the forward function.

    Returns
    -------
    ndarray, shape (..., U)
        Gradient with respect to the predictions.

    Examples
    --------
    >>> y_true, y_pred = np.array([[0.0, 0.0]]), np.array([[1.0, 3.0]])
    >>> mean_error_backward("squared", np.array([1.0]), y_true, y_pred)
    array([[1., 3.]])
    """
    d_y_pred: Array = ERRORS[name][1](y_pred - y_true, *options)
    d_y_pred *= d_values[..., None] / y_pred.dtype.type(y_pred.shape[-1])
    return d_y_pred


def clip(probabilities: Array, epsilon: float) -> Array:
    """Clip probabilities to ``[epsilon, 1 - epsilon]``, both rounded to their type.

    Parameters
    ----------
    probabilities : ndarray
        Probabilities, of any shape.
    epsilon : float
        Distance of the bounds from 0 and 1.

    Returns
    -------
    ndarray
        The clipped probabilities.

    Examples
    --------
    >>> clip(np.array([0.0, 0.5, 1.0]), 0.25)
    array([0.25, 0.5 , 0.75])
    """
    as_type = probabilities.dtype.type
    return np.clip(probabilities, as_type(epsilon), as_type(1 - epsilon))


# ---------------------------------------------------------------- optimizers, in place

_BLOCK = 8192


def blocks(size: int) -> Iterator[slice]:
    """Split a vector into slices that stay in the processor's cache while they are processed.

    Parameters
    ----------
    size : int
        Length of the vector.

    Yields
    ------
    slice
        Slices in ascending order that together cover the vector.

    Examples
    --------
    >>> list(blocks(10_000))
    [slice(0, 8192, None), slice(8192, 10000, None)]
    """
    for start in range(0, size, _BLOCK):
        yield slice(start, min(start + _BLOCK, size))


def _in_blocks(update: Callable[..., None]) -> Callable[..., None]:
    """Call an update for one block of its vectors after the other.

    Scalars become numbers of Python, which NumPy rounds to the data type of the weights.
    """

    @functools.wraps(update)
    def whole(w: Array, *rest: Any, **named: Any) -> None:
        if named:
            rest = inspect.signature(update).bind(w, *rest, **named).args[1:]
        given = [float(a) if isinstance(a, np.generic) else a for a in rest]
        if w.size <= _BLOCK or type(w) is not np.ndarray:  # or it is traced
            update(w, *given)
            return
        for part in blocks(w.size):
            update(w[part], *[a[part] if isinstance(a, np.ndarray) else a for a in given])

    return whole


@_in_blocks
def adam(
    w: Array,
    d_w: Array,
    m: Array,
    v: Array,
    alpha: float,
    one_minus_beta_1: float,
    one_minus_beta_2: float,
    epsilon: float,
    largest: Array | None = None,
) -> None:
    """Perform one Adam update: move by the first moment over the root of the second.

    ``m += (d_w - m) * (1 - beta_1)``, ``v += (d_w**2 - v) * (1 - beta_2)``,
    ``w -= m * alpha / (sqrt(v) + epsilon)``; the bias correction of m and v is part of `alpha`
    (see `adam_step_size`). Kingma and Ba, "Adam: a method
    for stochastic optimization" (2015), the end of section 2: "epsilon hat".

    Parameters
    ----------
    w : ndarray, shape (P,)
        Weights; modified in place.
    d_w : ndarray, shape (P,)
        Gradient with respect to `w`.
    m, v : ndarray, shape (P,)
        First and second moment estimates; modified in place.
    alpha : float
        Step size.
    one_minus_beta_1, one_minus_beta_2 : float
        Update rates of the two moment estimates.
    epsilon : float
        Constant added to the root, for numerical stability.
    largest : ndarray, shape (P,), optional
        Largest ``v`` so far, used instead of ``v`` ("AMSGrad"); modified in place.

    Examples
    --------
    >>> w, d_w = np.array([1.0]), np.array([2.0])
    >>> m, v = np.zeros(1), np.zeros(1)
    >>> adam(w, d_w, m, v, 0.1, 0.5, 0.25, 0.0)
    >>> w, m, v
    (array([0.9]), array([1.]), array([1.]))
    """
    m += (d_w - m) * one_minus_beta_1
    v += (d_w * d_w - v) * one_minus_beta_2
    # Flush tiny values to zero: denormal numbers are slow to compute with.
    m[np.abs(m) < 1e-30] = 0
    v[v < 1e-30] = 0
    if largest is not None:
        v = np.maximum(largest, v, out=largest)
    w -= (m * alpha) / (np.sqrt(v) + epsilon)


def adam_step_size(
    learning_rate: Any, beta_1: float, beta_2: float, step: Any, dtype: Any = np.float32
) -> Any:
    """Compute Adam's step size, which includes the bias correction of the moment estimates.

    Both start at 0 and are too small by the factor ``1 - beta**step``, hence
    ``alpha = learning_rate * sqrt(1 - beta_2**step) / (1 - beta_1**step)``. All of it is
    computed in the data type of the weights, as in Keras, since rounding depends on it.

    Parameters
    ----------
    learning_rate : float
        Learning rate, without bias correction.
    beta_1, beta_2 : float
        Decay rates of the moment estimates.
    step : int, or ndarray of int
        Number of this step, or of several; the first is 1.
    dtype : dtype
        Data type of the weights.

    Returns
    -------
    float, or ndarray
        Step size, of that data type.

    Examples
    --------
    >>> float(adam_step_size(1.0, 0.5, 0.75, 1, np.float64))
    1.0
    """
    one = np.dtype(dtype).type(1)
    root = np.sqrt(one - rounded_power(beta_2, step, dtype))
    return learning_rate * root / (one - rounded_power(beta_1, step, dtype))


def rounded_power(base: float, exponent: Any, dtype: Any) -> Any:
    """Compute the power of a number that was rounded to a data type, rounded once more.

    Parameters
    ----------
    base : float
        Base.
    exponent : int, or ndarray of int
        Exponent.
    dtype : dtype
        Data type.

    Returns
    -------
    ndarray or scalar
        Power, of that data type.

    Examples
    --------
    >>> rounded_power(0.5, np.array([1, 2]), np.float32)
    array([0.5 , 0.25], dtype=float32)
    """
    rounded = np.float64(np.dtype(dtype).type(base))
    if 0 < rounded < 1 and dtype == np.float32:
        # Later powers are 0 in float32; NumPy is slow where float64 underflows, too.
        exponent = np.minimum(exponent, -700 / math.log(rounded))
    return np.power(rounded, exponent).astype(dtype)


@_in_blocks
def sgd(w: Array, d_w: Array, learning_rate: float) -> None:
    """Perform one update of gradient descent: ``w -= learning_rate * d_w``.

    Parameters
    ----------
    w : ndarray, shape (P,)
        Weights; modified in place.
    d_w : ndarray, shape (P,)
        Gradient with respect to `w`.
    learning_rate : float
        Step size.

    Examples
    --------
    >>> w = np.array([1.0])
    >>> sgd(w, np.array([2.0]), 0.25)
    >>> w
    array([0.5])
    """
    w -= d_w * learning_rate


@_in_blocks
def sgd_momentum(
    w: Array, d_w: Array, m: Array, learning_rate: float, momentum: float, nesterov: bool
) -> None:
    """Perform one update of gradient descent with momentum.

    ``m = m * momentum - d_w * learning_rate``, then ``w += m``; with Nesterov momentum
    ``w += m * momentum - d_w * learning_rate``. Sutskever et al., "On the importance of
    initialization and momentum in deep learning" (2013), section 2.

    Parameters
    ----------
    w : ndarray, shape (P,)
        Weights; modified in place.
    d_w : ndarray, shape (P,)
        Gradient with respect to `w`.
    m : ndarray, shape (P,)
        Velocity; modified in place.
    learning_rate : float
        Step size.
    momentum : float
        Decay rate of the velocity.
    nesterov : bool
        If True, apply Nesterov momentum.

    Examples
    --------
    >>> w, m = np.array([1.0]), np.array([1.0])
    >>> sgd_momentum(w, np.array([2.0]), m, 0.25, 0.5, False)
    >>> w, m
    (array([1.]), array([0.]))
    """
    step = d_w * learning_rate
    m[:] = m * momentum - step
    w += m * momentum - step if nesterov else m


@_in_blocks
def rmsprop(
    w: Array,
    d_w: Array,
    v: Array,
    u: Array | None,
    a: Array | None,
    learning_rate: float,
    rho: float,
    momentum: float,
    epsilon: float,
) -> None:
    """Perform one RMSprop update: the gradient, scaled by the root of its moving mean square.

    ``v = rho * v + (1 - rho) * d_w**2``, ``step = learning_rate * d_w / sqrt(v + epsilon)``;
    if centered, the square of the moving mean `a` is subtracted from ``v``. Tieleman and Hinton,
    "Lecture 6.5 - rmsprop" (2012).

    Parameters
    ----------
    w : ndarray, shape (P,)
        Weights; modified in place.
    d_w : ndarray, shape (P,)
        Gradient with respect to `w`.
    v : ndarray, shape (P,)
        Moving mean of the squared gradient; modified in place.
    u : ndarray, shape (P,), optional
        Velocity, if there is momentum; modified in place.
    a : ndarray, shape (P,), optional
        Moving mean of the gradient, if it is centered; modified in place.
    learning_rate, rho, momentum, epsilon : float
        As in the formula.

    Examples
    --------
    >>> w, v = np.array([1.0]), np.array([0.0])
    >>> rmsprop(w, np.array([2.0]), v, None, None, 0.5, 0.75, 0.0, 0.0)
    >>> w, v
    (array([0.]), array([1.]))
    """
    v[:] = rho * v + (1 - rho) * (d_w * d_w)
    size = v + epsilon
    if a is not None:
        a[:] = rho * a + (1 - rho) * d_w
        size -= a * a
    step = learning_rate * d_w / np.sqrt(size)
    if u is not None:
        u[:] = momentum * u + step
        step = u
    w -= step


@_in_blocks
def adagrad(w: Array, d_w: Array, s: Array, learning_rate: float, epsilon: float) -> None:
    """Perform one Adagrad update: smaller steps for weights whose gradients were large.

    ``s += d_w**2``, ``w -= learning_rate * d_w / sqrt(s + epsilon)``. Duchi et al., "Adaptive
    subgradient methods for online learning and stochastic optimization" (2011), figure 1.

    Parameters
    ----------
    w : ndarray, shape (P,)
        Weights; modified in place.
    d_w : ndarray, shape (P,)
        Gradient with respect to `w`.
    s : ndarray, shape (P,)
        Sum of the squared gradients; modified in place.
    learning_rate, epsilon : float
        As in the formula.

    Examples
    --------
    >>> w, s = np.array([1.0]), np.array([0.0])
    >>> adagrad(w, np.array([2.0]), s, 0.5, 0.0)
    >>> w, s
    (array([0.5]), array([4.]))
    """
    s += d_w * d_w
    w -= learning_rate * d_w / np.sqrt(s + epsilon)


@_in_blocks
def nadam(
    w: Array,
    d_w: Array,
    m: Array,
    v: Array,
    alpha_m: float,
    alpha_g: float,
    one_minus_beta_1: float,
    one_minus_beta_2: float,
    beta_2_correction: float,
    epsilon: float,
) -> None:
    """Perform one Nadam update: Adam with Nesterov momentum.

    ``m`` and ``v`` as in `adam`; then
    ``w -= (m * alpha_m + d_w * alpha_g) / (sqrt(v / beta_2_correction) + epsilon)``. Dozat,
    "Incorporating Nesterov momentum into Adam" (2016), algorithm 2.

    Parameters
    ----------
    w : ndarray, shape (P,)
        Weights; modified in place.
    d_w : ndarray, shape (P,)
        Gradient with respect to `w`.
    m, v : ndarray, shape (P,)
        First and second moment estimates; modified in place.
    alpha_m, alpha_g : float
        Step sizes along the first moment estimate and along the gradient.
    one_minus_beta_1, one_minus_beta_2 : float
        Update rates of the two moment estimates.
    beta_2_correction : float
        Bias correction of ``v``.
    epsilon : float
        Constant added to the root, for numerical stability.

    Examples
    --------
    >>> w, m, v = np.array([1.0]), np.zeros(1), np.zeros(1)
    >>> nadam(w, np.array([2.0]), m, v, 0.5, 0.25, 0.5, 0.25, 0.25, 0.0)
    >>> w, m, v
    (array([0.5]), array([1.]), array([1.]))
    """
    m += (d_w - m) * one_minus_beta_1
    v += (d_w * d_w - v) * one_minus_beta_2
    w -= (m * alpha_m + d_w * alpha_g) / (np.sqrt(v / beta_2_correction) + epsilon)


@_in_blocks
def adamax(
    w: Array,
    d_w: Array,
    m: Array,
    u: Array,
    step_size: float,
    one_minus_beta_1: float,
    beta_2: float,
    epsilon: float,
) -> None:
    """Perform one Adamax update: Adam with the largest gradient instead of the second moment.

    ``m`` as in `adam`, ``u = max(beta_2 * u, |d_w|)``, then ``w -= step_size * m / (u + epsilon)``
    where the step size is ``learning_rate / (1 - beta_1**step)``. Kingma and Ba, "Adam: a method
    for stochastic optimization" (2015), section 7.1.

    Parameters
    ----------
    w : ndarray, shape (P,)
        Weights; modified in place.
    d_w : ndarray, shape (P,)
        Gradient with respect to `w`.
    m, u : ndarray, shape (P,)
        First moment estimate and decaying maximum of the gradient's size; modified in place.
    step_size, one_minus_beta_1, beta_2, epsilon : float
        As in the formula.

    Examples
    --------
    >>> w, m, u = np.array([1.0]), np.array([0.0]), np.array([8.0])
    >>> adamax(w, np.array([2.0]), m, u, 2.0, 0.5, 0.5, 0.0)  # u = max(0.5 * 8, 2)
    >>> w, m, u
    (array([0.5]), array([1.]), array([4.]))
    """
    m += (d_w - m) * one_minus_beta_1
    u[:] = np.maximum(beta_2 * u, np.abs(d_w))
    w -= step_size * m / (u + epsilon)


@_in_blocks
def adadelta(
    w: Array, d_w: Array, s: Array, u: Array, learning_rate: float, rho: float, epsilon: float
) -> None:
    """Perform one Adadelta update: the gradient, scaled to the size of recent updates.

    ``s = rho * s + (1 - rho) * d_w**2``, ``step = sqrt(u + epsilon) / sqrt(s + epsilon) * d_w``,
    ``u = rho * u + (1 - rho) * step**2``, ``w -= learning_rate * step``. Zeiler, "ADADELTA: an
    adaptive learning rate method" (2012), algorithm 1.

    Parameters
    ----------
    w : ndarray, shape (P,)
        Weights; modified in place.
    d_w : ndarray, shape (P,)
        Gradient with respect to `w`.
    s, u : ndarray, shape (P,)
        Moving averages of the squared gradient and of the squared step; modified in place.
    learning_rate, rho, epsilon : float
        As in the formula.

    Examples
    --------
    >>> w, s, u = np.array([1.0]), np.array([0.0]), np.array([4.0])
    >>> adadelta(w, np.array([2.0]), s, u, 0.25, 0.75, 0.0)  # s = 1, step = 2 / 1 * 2
    >>> w, s, u
    (array([0.]), array([1.]), array([7.]))
    """
    s[:] = rho * s + (1 - rho) * (d_w * d_w)
    step = np.sqrt(u + epsilon) * d_w / np.sqrt(s + epsilon)
    u[:] = rho * u + (1 - rho) * (step * step)
    w -= learning_rate * step


@_in_blocks
def ftrl(
    w: Array,
    d_w: Array,
    n: Array,
    z: Array,
    learning_rate: float,
    power: float,
    l1: float,
    l2: float,
    shrinkage: float,
    beta: float,
) -> None:
    """Perform one FTRL update: weights are computed again from all gradients so far.

    ``sigma = ((n + d_w**2)**-power - n**-power) / learning_rate``, ``n += d_w**2``,
    ``z += d_w + 2 * shrinkage * w - sigma * w``, then
    ``w = (clip(z, -l1, l1) - z) / ((n**-power + beta) / learning_rate + 2 * l2)``: exactly 0 where
    ``|z| <= l1``. McMahan et al., "Ad click prediction: a view from the trenches" (2013),
    algorithm 1.

    Parameters
    ----------
    w : ndarray, shape (P,)
        Weights; modified in place.
    d_w : ndarray, shape (P,)
        Gradient with respect to `w`.
    n, z : ndarray, shape (P,)
        Sum of squared gradients and linear term; modified in place.
    learning_rate, power, l1, l2, shrinkage, beta : float
        As in the formula; `power` is at most 0, usually -0.5.

    Examples
    --------
    >>> w, n, z = np.array([1.0, 1.0]), np.array([16.0, 16.0]), np.array([0.0, -6.0])
    >>> ftrl(w, np.array([3.0, 3.0]), n, z, 1.0, -0.5, 2.0, 0.0, 0.0, 0.0)  # sigma = 5 - 4
    >>> w, n, z
    (array([0. , 0.4]), array([25., 25.]), array([ 2., -4.]))
    """
    old = n**-power
    n += d_w * d_w
    new = n**-power
    z += d_w + 2 * shrinkage * w - (new - old) / learning_rate * w
    w[:] = (np.clip(z, -l1, l1) - z) / ((new + beta) / learning_rate + 2 * l2)


@_in_blocks
def lion(
    w: Array, d_w: Array, m: Array, learning_rate: float, beta_1: float, beta_2: float
) -> None:
    """Perform one Lion update: all weights move by the learning rate, only the sign is learned.

    ``w -= learning_rate * sign(beta_1 * m + (1 - beta_1) * d_w)``, then
    ``m = beta_2 * m + (1 - beta_2) * d_w``. Chen et al., "Symbolic discovery of optimization
    algorithms" (2023), algorithm 2.

    Parameters
    ----------
    w : ndarray, shape (P,)
        Weights; modified in place.
    d_w : ndarray, shape (P,)
        Gradient with respect to `w`.
    m : ndarray, shape (P,)
        First moment estimate; modified in place.
    learning_rate, beta_1, beta_2 : float
        As in the formula.

    Examples
    --------
    >>> w, m = np.array([1.0]), np.array([-1.0])
    >>> lion(w, np.array([2.0]), m, 0.25, 0.5, 0.75)  # the sign of 0.5 * -1 + 0.5 * 2
    >>> w, m
    (array([0.75]), array([-0.25]))
    """
    keep_1, keep_2, one = (w.dtype.type(c) for c in (beta_1, beta_2, 1))
    w -= learning_rate * np.sign(m * keep_1 + d_w * (one - keep_1))
    m[:] = m * keep_2 + d_w * (one - keep_2)
