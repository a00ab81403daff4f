"""Dropout, and normalization by the mean and variance of a batch."""

from __future__ import annotations

import numpy as np

from tinynet.functional.arrays import Array

__all__ = ["batch_normalization", "batch_normalization_backward", "batch_statistics", "dropout"]


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
