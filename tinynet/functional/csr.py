"""Compressed sparse row (CSR) format: only the non-zero elements of an array are stored.

Row i has the non-zeros ``values[indptr[i]:indptr[i + 1]]``, in the columns
``indices[indptr[i]:indptr[i + 1]]``.
"""

from __future__ import annotations

import numpy as np

from tinynet.functional.arrays import Array

__all__ = ["compress_rows", "expand_rows", "row_starts"]


def row_starts(x: Array, out: Array) -> Array:
    """Compute ``indptr`` of the CSR format: the number of non-zeros before each row.

    x: (N, D); out: (N + 1,), int64, whose last element is the total number of non-zeros.

    >>> row_starts(np.array([[0, 5, 0], [7, 0, 8]]), np.empty(3, np.int64))
    array([0, 1, 3])
    """
    out[0] = 0
    np.cumsum(np.count_nonzero(x, axis=1), out=out[1:])
    return out


def compress_rows(x: Array, indptr: Array, indices: Array, values: Array) -> None:
    """Convert a dense array to CSR format: write the column and value of each non-zero, row by row.

    x: (N, D); indptr: (N + 1,), from `row_starts`. `indices` and `values` are output arrays with
    at least one element for each non-zero.

    >>> indices, values = np.zeros(3, np.uint16), np.zeros(3)
    >>> compress_rows(np.array([[0, 5, 0], [7, 0, 8]]), np.array([0, 1, 3]), indices, values)
    >>> indices, values
    (array([1, 0, 2], dtype=uint16), array([5., 7., 8.]))
    """
    rows, columns = np.nonzero(x)
    indices[: len(columns)] = columns
    values[: len(columns)] = x[rows, columns]


def expand_rows(indptr: Array, indices: Array, values: Array, rows: Array, width: int) -> Array:
    """Convert selected rows of a CSR array to a dense array of shape ``(len(rows), width)``.

    >>> indptr, indices, values = np.array([0, 1, 3]), np.array([1, 0, 2]), np.array([5., 7., 8.])
    >>> expand_rows(indptr, indices, values, np.array([1]), 3)
    array([[7., 0., 8.]])
    """
    x = np.zeros((len(rows), width), values.dtype)
    for i, row in enumerate(rows):
        here = slice(indptr[row], indptr[row + 1])
        x[i, indices[here]] = values[here]
    return x
