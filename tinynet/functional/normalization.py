"""Dropout and batch normalization."""

from __future__ import annotations

import numpy as np

from tinynet.functional.arrays import Array

__all__ = ["batch_normalization", "batch_normalization_backward", "batch_statistics", "dropout"]


def dropout(x: Array, drawn: Array, rate: float, out: Array | None = None) -> Array:
    """Drop random inputs: ``y = x / (1 - rate)`` where ``drawn >= rate``, else 0.

    `drawn` contains uniform random numbers in [0, 1) and is broadcast to the shape of x. The
    division keeps the expected value of y equal to x. The backward function is the same: y is
    linear in x, so pass the upstream gradient as `x`, with the same `drawn`.

    >>> dropout(np.array([1.0, 2.0, 3.0]), np.array([0.1, 0.5, 0.9]), 0.5)
    array([0., 4., 6.])
    """
    scale = x.dtype.type(0 if rate == 1 else 1 / (1 - rate))
    return np.multiply(x, (drawn >= rate) * scale, out=out)


def batch_statistics(x: Array) -> tuple[Array, Array]:
    """Compute the mean and the variance of each feature over a batch.

    ``mean = sum(x) / N`` and ``variance = sum((x - mean)**2) / N``; x: (N, U); results: (U,).

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
    """Normalize each feature: ``y = (x - mean) / sqrt(variance + epsilon) * gamma + beta``.

    x, y: (N, U); mean, variance: (U,); gamma, beta: (U,), or None for 1 and 0.

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
    """Compute the gradients of `batch_normalization` with the statistics of the batch.

    With ``x_hat = (x - mean) / sqrt(variance + epsilon)``: ``d_beta = sum(d_y)`` and
    ``d_gamma = sum(d_y * x_hat)``. The last two terms of
    ``d_x = gamma / sqrt(variance + epsilon) * (d_y - d_beta / N - x_hat * d_gamma / N)``
    are the contributions of the mean and the variance, which depend on x too. `d_gamma` and
    `d_beta` are output arrays, or None.

    >>> x, one, d_gamma = np.array([[0.0], [2.0]]), np.array([1.0]), np.empty(1)
    >>> batch_normalization_backward(np.array([[1.0], [0.0]]), x, one, one, one, 0.0, d_gamma, None)
    array([[0.],
           [0.]])
    >>> d_gamma  # x_hat = (-1, 1)
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
