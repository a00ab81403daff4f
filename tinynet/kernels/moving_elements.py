"""Kernels that move elements: strided copies, and lookups of table rows.

`copy_elements` reads and writes with strides like NumPy's, but in elements (float32), not bytes::

    source  x_first -> | . . a b . . c d |        strides x_0 (batch axis), x_1, x_2, x_3
                             |       |
    out     y_first -> | a b c d |                strides y_0, y_1, y_2, y_3

`look_up` copies rows of a table, and `look_up_backward` adds to them. Parts are ranges of rows: of
the result in `look_up`, of the table in `look_up_backward`, so that each row of the table is summed
by one part, in order.
"""

from __future__ import annotations

import numpy as np

from tinynet.kernels.numba_functions import inlined
from tinynet.kernels.row import kernel, matrix, vector


@kernel
def copy_elements(
    part, parts, count, source, out, size_1, size_2, size_3, x_0, x_1, x_2, x_3, y_0, y_1, y_2, y_3,
    x_first, y_first,
):  # fmt: skip
    """Copy a float32 array with 4 dimensions from one memory layout (strides) to another.

    Its shape is (word(count), `size_1`, `size_2`, `size_3`). Element (n, i, j, k) is at index
    ``x_first + n * x_0 + i * x_1 + j * x_2 + k * x_3`` of the source, and at the same index with y
    instead of x of `out`. This implements concatenation, slicing, transposition and repetition
    (x_1 = 0), among others.
    """
    n = vector(count, 1, np.int64)[0]
    for i in range(n * part // parts * size_1, n * (part + 1) // parts * size_1):
        for j in range(size_2):
            x_at = source + 4 * (x_first + i // size_1 * x_0 + i % size_1 * x_1 + j * x_2)
            y_at = out + 4 * (y_first + i // size_1 * y_0 + i % size_1 * y_1 + j * y_2)
            if x_3 == 1 and y_3 == 1:
                x, y = vector(x_at, size_3, np.float32), vector(y_at, size_3, np.float32)
                for k in range(size_3):
                    y[k] = x[k]
            else:
                for k in range(size_3):
                    x = vector(x_at + 4 * k * x_3, 1, np.float32)
                    vector(y_at + 4 * k * y_3, 1, np.float32)[0] = x[0]


@inlined
def _index(indices, size_of, i):
    """Return an index of 4 or 8 bytes, or a truncated float32 if `size_of` is 0."""
    if size_of == 0:
        x = vector(indices + 4 * i, 1, np.float32)[0]
        return np.int64(x) if -1 < x < 2.0**31 else np.int64(-1)
    if size_of == 4:
        return np.int64(vector(indices + 4 * i, 1, np.int32)[0])
    return vector(indices + 8 * i, 1, np.int64)[0]


@kernel
def look_up(part, parts, count, per, indices, size_of, table, size, width, out, step, stops):
    """Copy the rows of a float32 table at ``word(count) * per`` indices.

    `size_of` is the number of bytes of an index: 4 or 8, or 0 for float32. The table has the shape
    (`size`, `width`). An index that is not in [0, size) sets the stop flag to `stops`, and its row
    of the result is 0.
    """
    n = vector(count, 1, np.int64)[0] * per
    x, y = matrix(table, size, width, np.float32), matrix(out, n, width, np.float32)
    for i in range(n * part // parts, n * (part + 1) // parts):
        row = _index(indices, size_of, i)
        if 0 <= row < size:
            for j in range(width):
                y[i, j] = x[row, j]
        else:
            vector(step, 4, np.int64)[3] = stops
            for j in range(width):
                y[i, j] = 0


@kernel
def look_up_backward(part, parts, count, per, indices, size_of, size, width, d_y, out):
    """Compute the gradient with respect to the table: add each row of `d_y` at its index.

    Each part sets its own range of rows of `out`; indices that are out of range are skipped.
    """
    n = vector(count, 1, np.int64)[0] * per
    g, y = matrix(d_y, n, width, np.float32), matrix(out, size, width, np.float32)
    begin, end = size * part // parts, size * (part + 1) // parts
    for row in range(begin, end):
        for j in range(width):
            y[row, j] = 0
    for i in range(n):
        row = _index(indices, size_of, i)
        if begin <= row < end:
            for j in range(width):
                y[row, j] += g[i, j]
