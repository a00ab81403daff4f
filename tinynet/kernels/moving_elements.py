"""Kernels that move elements: copies from and to any places, and rows of a table.

`copy_elements` reads and writes as NumPy's strides say, in float32 numbers::

    source  x_first -> | . . a b . . c d |        rows of x_0, elements of x_1, x_2, x_3
                             |       |
    out     y_first -> | a b c d |                the same with y

`look_up` copies rows of a table, and `look_up_backward` adds to them. The rows of the result are
cut into parts; those of the table are for the latter, so that each is summed by one part, in order.
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
    """Copy float32 of a shape (word(count), `size_1`, `size_2`, `size_3`) to other places.

    Element (n, i, j, k) is the number ``x_first + n * x_0 + i * x_1 + j * x_2 + k * x_3`` of the
    source, and that of `out` with y instead of x. So arrays are concatenated, sliced, transposed,
    repeated (x_1 = 0), ...
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
    """Return an index, of 4 or 8 bytes, or a float (`size_of` is 0) without its fraction."""
    if size_of == 0:
        x = vector(indices + 4 * i, 1, np.float32)[0]
        return np.int64(x) if -1 < x < 2.0**31 else np.int64(-1)
    if size_of == 4:
        return np.int64(vector(indices + 4 * i, 1, np.int32)[0])
    return vector(indices + 8 * i, 1, np.int64)[0]


@kernel
def look_up(part, parts, count, per, indices, size_of, table, size, width, out, step, stops):
    """Copy the rows of a float32 table at ``word(count) * per`` indices.

    `size_of` is the number of bytes of an index, 4 or 8; the table's shape is (`size`, `width`).
    An index that is not from 0 to size - 1 sets the stop flag to `stops`; its row becomes 0.
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

    Each part sets its own rows of `out`; indices out of range are skipped.
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
