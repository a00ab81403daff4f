"""Losses: one number for how wrong each prediction is."""

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
