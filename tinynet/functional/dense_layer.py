"""The dense layer: a matrix product plus a bias."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinynet.functional.arrays import Array

__all__ = ["dense", "dense_backward", "dense_gradients", "dense_layer_backward"]


def dense(x: Array, kernel: Array, bias: Array | None = None, out: Array | None = None) -> Array:
    """Compute a dense layer: ``y = x @ kernel + bias``.

    x: (N, D); kernel: (D, U); bias: (U,), broadcast over the rows; y: (N, U).

    >>> x, kernel, bias = np.array([[1.0, 2.0]]), np.array([[1.0], [3.0]]), np.array([0.5])
    >>> dense(x, kernel, bias)  # 1 * 1 + 2 * 3 + 0.5
    array([[7.5]])
    """
    y: Array = np.matmul(x, kernel, out=out)
    if bias is not None:
        y += bias
    return y


def dense_gradients(x: Array, d_y: Array, d_kernel: Array, d_bias: Array | None) -> None:
    """Compute the gradients of the weights: ``d_kernel = x.T @ d_y`` and ``d_bias = sum(d_y)``.

    y[n, u] = sum_d x[n, d] * kernel[d, u] + bias[u]; hence d_kernel[d, u] is the sum of
    x[n, d] * d_y[n, u] over n, and d_bias[u] the sum of d_y[n, u] over n.

    >>> x, d_y = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0], [10.0]])
    >>> d_kernel, d_bias = np.empty((2, 1)), np.empty(1)
    >>> dense_gradients(x, d_y, d_kernel, d_bias)
    >>> d_kernel, d_bias  # 1 * 1 + 3 * 10, 2 * 1 + 4 * 10
    (array([[31.],
           [42.]]), array([11.]))
    """
    np.matmul(x.T, d_y, out=d_kernel)
    if d_bias is not None:
        d_y.sum(axis=0, out=d_bias)


def dense_backward(d_y: Array, kernel: Array, out: Array | None = None) -> Array:
    """Compute the gradient with respect to the input of `dense`: ``d_x = d_y @ kernel.T``.

    x[n, d] contributes x[n, d] * kernel[d, u] to y[n, u]; hence d_x[n, d] is the sum of
    d_y[n, u] * kernel[d, u] over u.

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
    """Compute the gradients of `dense` with respect to its input, kernel and bias.

    The formulas are those of `dense_backward` and `dense_gradients`. `needs` selects the gradients
    to compute; the others are None. `d_kernel` and `d_bias` are optional output arrays.

    >>> x, kernel = np.array([[1.0, 2.0]]), np.array([[1.0], [3.0]])
    >>> dense_layer_backward(np.array([[2.0]]), x, kernel)
    (array([[2., 6.]]), array([[2.],
           [4.]]), array([2.]))
    """
    d_x = dense_backward(d_y, kernel) if needs[0] else None
    d_kernel = np.matmul(x.T, d_y, out=d_kernel) if needs[1] else None
    d_bias = d_y.sum(axis=0, out=d_bias) if needs[2] else None
    return d_x, d_kernel, d_bias
