"""Compressed sparse rows (CSR): inputs without their zeros."""

from __future__ import annotations

import numpy as np

from tinynet.functional.arrays import Array

__all__ = ["compress_rows", "expand_rows", "row_starts"]


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
