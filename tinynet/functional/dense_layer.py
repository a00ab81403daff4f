"""The dense layer: a matrix product and a bias."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tinynet.functional.arrays import Array

__all__ = ["dense", "dense_backward", "dense_gradients", "dense_layer_backward"]


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
