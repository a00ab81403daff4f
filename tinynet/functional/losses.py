"""Loss functions, which return one value for each example.

The binary cross-entropies return one value for each element.
`d_values` is the upstream gradient, of the same shape as the values; for the mean of N values, each
element is 1 / N.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinynet.functional.activations import log_softmax, sigmoid, softmax
from tinynet.functional.arrays import Array

__all__ = ["binary_crossentropy", "binary_crossentropy_backward", "clip", "crossentropy"]
__all__ += ["crossentropy_backward", "ERRORS", "kl_divergence", "kl_divergence_backward"]
__all__ += ["mean_error", "mean_error_backward", "mean_softmax_crossentropy"]
__all__ += ["mean_softmax_crossentropy_backward", "sigmoid_crossentropy"]
__all__ += ["sigmoid_crossentropy_backward", "softmax_crossentropy"]
__all__ += ["softmax_crossentropy_backward", "softmax_crossentropy_step"]
__all__ += ["softmax_with_crossentropy", "sparse_crossentropy", "sparse_crossentropy_backward"]
__all__ += ["sparse_softmax_crossentropy", "sparse_softmax_crossentropy_backward"]


def is_label(labels: Array, rows: Array) -> Array:
    """Return the one-hot encoding of class labels, as a mask with the shape of `rows`.

    labels: (N,); rows: (N, C), whose values are ignored.

    >>> is_label(np.array([1, 0]), np.zeros((2, 2)))
    array([[False,  True],
           [ True, False]])
    """
    return np.arange(rows.shape[-1]) == labels[:, None]


def sparse_softmax_crossentropy(labels: Array, logits: Array) -> Array:
    """Compute the cross-entropy between class labels and logits: ``-log(softmax(logits)[label])``.

    labels: (N,), from 0 to C - 1; logits: (N, C); values: (N,). Evaluated as
    ``log(sum(exp(logits))) - logits[label]``, with the maximum subtracted first, as in `softmax`.

    >>> sparse_softmax_crossentropy(np.array([1, 1]), np.array([[0.0, 0.0], [100.0, 0.0]]))
    array([  0.69314718, 100.        ])
    """
    shifted = logits - np.max(logits, axis=-1, keepdims=True)
    chosen = np.sum(np.where(is_label(labels, logits), shifted, 0), axis=-1)
    return np.log(np.sum(np.exp(shifted), axis=-1)) - chosen


def sparse_softmax_crossentropy_backward(
    d_values: Array, labels: Array, probabilities: Array, out: Array | None = None
) -> Array:
    """Compute the gradient of `sparse_softmax_crossentropy`.

    ``d_logits = (probabilities - one_hot(labels)) * d_values``.
    d log(sum(exp(logits))) / d logits is softmax(logits), and d logits[label] / d logits is the
    one-hot row. d_values, labels: (N,); probabilities: (N, C), the `softmax` of the logits.

    >>> sparse_softmax_crossentropy_backward(
    ...     np.array([2.0]), np.array([1]), np.array([[0.25, 0.75]]))  # (0.25 - 0, 0.75 - 1) * 2
    array([[ 0.5, -0.5]])
    """
    d_logits: Array = np.subtract(probabilities, is_label(labels, probabilities), out=out)
    d_logits *= d_values[:, None]
    return d_logits


def softmax_with_crossentropy(
    labels: Array, logits: Array, probabilities: Array | None = None
) -> tuple[Array, Array]:
    """Compute `sparse_softmax_crossentropy` and `softmax`, which share the sum of exponentials.

    labels: (N,); logits: (N, C). Returns the values (N,) and the probabilities (N, C), which are
    written to `probabilities` if it is given.

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
    """Compute the probabilities, loss values and gradient of a softmax classifier.

    The results are written to output arrays. This is the composition of `softmax`,
    `sparse_softmax_crossentropy` and its backward function.
    labels, d_values, values: (N,); logits, probabilities, d_logits: (N, C).

    >>> logits = np.log([[0.25, 0.75]])
    >>> p, d, values = np.empty((1, 2)), np.empty((1, 2)), np.empty(1)
    >>> softmax_crossentropy_step(np.array([1]), logits, np.array([1.0]), p, d, values)
    >>> p, d, values  # values = -log(0.75)
    (array([[0.25, 0.75]]), array([[ 0.25, -0.25]]), array([0.28768207]))
    """
    values[:], _ = softmax_with_crossentropy(labels, logits, probabilities)
    sparse_softmax_crossentropy_backward(d_values, labels, probabilities, d_logits)


def mean_softmax_crossentropy(
    logits: Array, labels: Array, weights: Array | None = None
) -> tuple[Array, Array]:
    """Compute the mean cross-entropy and the predicted probabilities from logits.

    ``loss = sum(weights * values) / N``, where the values are `sparse_softmax_crossentropy`.
    logits: (N, C); labels: (N,); weights: (N,), sample weights, by default 1.

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
    """Compute the gradient of `mean_softmax_crossentropy`.

    ``d_logits = d_loss * weights / N * (probabilities - one_hot(labels))``.
    The upstream gradient of each value is d_loss * weights / N; d_loss is a scalar.

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


def sparse_crossentropy(labels: Array, probabilities: Array, epsilon: float) -> Array:
    """Compute the cross-entropy between labels and probabilities: ``-log(q[label] / sum(q))``.

    labels: (N,), from 0 to C - 1; probabilities: (N, C); q = clip(probabilities, epsilon). Clipping
    keeps the loss finite: at most about 16.1 for ``epsilon = 1e-7``.

    >>> sparse_crossentropy(np.array([1]), np.array([[0.5, 0.5]]), 1e-7)  # -log(0.5)
    array([0.69314718])
    """
    return sparse_softmax_crossentropy(labels, np.log(clip(probabilities, epsilon)))


def sparse_crossentropy_backward(
    d_values: Array, labels: Array, probabilities: Array, epsilon: float
) -> Array:
    """Compute the gradient of `sparse_crossentropy`.

    ``d_p = (1 / sum(q) - one_hot(labels) / q) * d_values``.
    This is the derivative of log(sum(q)) - log(q[label]); it is 0 where q was clipped.

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
    """Compute the cross-entropy of target probabilities: ``-sum(y_true * log(softmax(logits)))``.

    y_true, logits: (..., C), one-hot rows or soft labels; values: (...). For one-hot rows, it is
    equal to `sparse_softmax_crossentropy`.

    >>> softmax_crossentropy(np.array([[0.0, 1.0]]), np.array([[100.0, 0.0]]))
    array([100.])
    """
    return -np.sum(y_true * log_softmax(logits), axis=-1)


def softmax_crossentropy_backward(d_values: Array, y_true: Array, logits: Array) -> Array:
    """Compute the gradient of `softmax_crossentropy`.

    ``d_logits = (softmax(logits) * sum(y_true) - y_true) * d_values``.
    The value is sum(y_true) * log(sum(exp(logits))) - sum(y_true * logits); sum(y_true) is 1 for
    probabilities.

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
    """Compute the cross-entropy of target and predicted probabilities: ``-sum(y_true * log(q))``.

    q = clip(p / sum(p), epsilon): the rows are normalized, then clipped. y_true, probabilities p:
    (..., C); values: (...).

    >>> crossentropy(np.array([[0.0, 1.0]]), np.array([[2.0, 2.0]]), 1e-7)  # -log(2 / 4)
    array([0.69314718])
    """
    q = probabilities / np.sum(probabilities, axis=-1, keepdims=True)
    return -np.sum(y_true * np.log(clip(q, epsilon)), axis=-1)


def crossentropy_backward(
    d_values: Array, y_true: Array, probabilities: Array, epsilon: float
) -> Array:
    """Compute the gradient of `crossentropy`.

    ``d_p = (d_q - sum(d_q * q)) / sum(p)``, where q = p / sum(p).
    ``d_q = -y_true / q * d_values``, and 0 where q was clipped; the sum in d_p is the contribution
    of the normalization.

    >>> crossentropy_backward(np.array([1.0]), np.array([[0.0, 1.0]]), np.array([[1.0, 1.0]]), 1e-7)
    array([[ 0.5, -0.5]])
    """
    total = np.sum(probabilities, axis=-1, keepdims=True)
    q = probabilities / total
    clipped = clip(q, epsilon)
    d_q = -y_true / clipped * (q == clipped) * d_values[..., None]
    return (d_q - np.sum(d_q * q, axis=-1, keepdims=True)) / total


def sigmoid_crossentropy(y_true: Array, logits: Array) -> Array:
    """Compute the binary cross-entropy from logits, elementwise.

    ``value = -y_true * log(s) - (1 - y_true) * log(1 - s)``, where s = sigmoid(logits). Evaluated
    as ``max(logits, 0) - logits * y_true + log(1 + exp(-|logits|))``, which never overflows.

    >>> sigmoid_crossentropy(np.array([1.0, 0.0]), np.array([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    log_part = np.log1p(np.exp(-np.abs(logits)))
    return np.maximum(logits, 0) - logits * y_true + log_part


def sigmoid_crossentropy_backward(d_values: Array, y_true: Array, logits: Array) -> Array:
    """Compute the gradient of `sigmoid_crossentropy`.

    ``d_logits = (sigmoid(logits) - y_true) * d_values``.
    The value is log(1 + exp(logits)) - logits * y_true; the derivative of the first term is
    sigmoid(logits). For positive logits, sigmoid(logits) - y_true is evaluated as
    ``1 - y_true - sigmoid(-logits)``, whose small values are exact.

    >>> sigmoid_crossentropy_backward(np.array([4.0]), np.array([1.0]), np.array([0.0]))
    array([-2.])
    """
    small = sigmoid(-np.abs(logits))
    return np.where(logits > 0, 1 - y_true - small, small - y_true) * d_values


def binary_crossentropy(y_true: Array, probabilities: Array, epsilon: float) -> Array:
    """Compute the binary cross-entropy from probabilities, elementwise.

    ``value = -y_true * log(q) - (1 - y_true) * log(1 - q)``; q = clip(probabilities, epsilon).

    >>> binary_crossentropy(np.array([1.0, 0.0]), np.array([0.5, 0.0]), 0.25)  # -log([0.5, 0.75])
    array([0.69314718, 0.28768207])
    """
    q = clip(probabilities, epsilon)
    return -(y_true * np.log(q) + (1 - y_true) * np.log(1 - q))


def binary_crossentropy_backward(
    d_values: Array, y_true: Array, probabilities: Array, epsilon: float
) -> Array:
    """Compute the gradient of `binary_crossentropy`.

    ``d_p = ((1 - y_true) / (1 - q) - y_true / q) * d_values``.
    This is the derivative with respect to q, and 0 where q was clipped.

    >>> binary_crossentropy_backward(np.array([1.0]), np.array([1.0]), np.array([0.5]), 1e-7)
    array([-2.])
    """
    q = clip(probabilities, epsilon)
    return ((1 - y_true) / (1 - q) - y_true / q) * (q == probabilities) * d_values


def kl_divergence(y_true: Array, probabilities: Array, epsilon: float) -> Array:
    """Compute the Kullback-Leibler divergence of probabilities: ``sum(y * log(y / q))``.

    y and q are the target and predicted probabilities, (..., C), clipped to ``[epsilon, 1]``.

    >>> kl_divergence(np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]]), 1e-16)  # log(1 / 0.5)
    array([0.69314718])
    """
    y = np.clip(y_true, y_true.dtype.type(epsilon), 1)
    q = np.clip(probabilities, probabilities.dtype.type(epsilon), 1)
    return np.sum(y * np.log(y / q), axis=-1)


def kl_divergence_backward(
    d_values: Array, y_true: Array, probabilities: Array, epsilon: float
) -> Array:
    """Compute the gradient of `kl_divergence`.

    ``d_p = -y / q * d_values``, and 0 where q was clipped.

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
    "huber": (  # Huber (1964): quadratic for small errors, linear for large ones
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
    """Compute an error function in `ERRORS`, averaged over the last axis.

    ``value = sum(f(y_pred - y_true)) / U``; y_true, y_pred: (..., U); values: (...). `options` are
    the parameters of the error function.

    >>> mean_error("squared", np.array([[0.0, 0.0]]), np.array([[1.0, 3.0]]))  # (1 + 9) / 2
    array([5.])
    """
    return np.mean(ERRORS[name][0](y_pred - y_true, *options), axis=-1)


def mean_error_backward(
    name: str, d_values: Array, y_true: Array, y_pred: Array, options: tuple[float, ...] = ()
) -> Array:
    """Compute the gradient of `mean_error`: ``d_y_pred = f'(y_pred - y_true) * d_values / U``.

    >>> y_true, y_pred = np.array([[0.0, 0.0]]), np.array([[1.0, 3.0]])
    >>> mean_error_backward("squared", np.array([1.0]), y_true, y_pred)  # 2 * 1 / 2, 2 * 3 / 2
    array([[1., 3.]])
    """
    d_y_pred: Array = ERRORS[name][1](y_pred - y_true, *options)
    d_y_pred *= d_values[..., None] / y_pred.dtype.type(y_pred.shape[-1])
    return d_y_pred


def clip(probabilities: Array, epsilon: float) -> Array:
    """Clip probabilities to ``[epsilon, 1 - epsilon]``.

    Both bounds are rounded to the dtype of the probabilities.

    >>> clip(np.array([0.0, 0.5, 1.0]), 0.25)
    array([0.25, 0.5 , 0.75])
    """
    as_type = probabilities.dtype.type
    return np.clip(probabilities, as_type(epsilon), as_type(1 - epsilon))
