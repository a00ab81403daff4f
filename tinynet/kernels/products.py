"""Products of dense matrices, faster than NumPy's BLAS where registers hold 16 numbers."""

import numpy as np
from llvmlite.binding import get_host_cpu_features
from numba import config

from tinynet.jit import jit
from tinynet.kernels.activations import add_bias, sum_rows
from tinynet.kernels.eager import COMPILES, inner, prefetch, scratch, sums
from tinynet.kernels.vectors import LANES, NARROW_TALL, TALL, WIDE, copy_rows, narrow_tile, tile

# The second matrix is copied a panel at a time, `WIDE` columns and so many rows of it, which stay
# in the cache. A few rows of the first come upon it at once: their sums fill the registers.
_DEEP = 256

_features = getattr(config, "CPU_FEATURES", None) or get_host_cpu_features().flatten()
#: Whether products are faster here than in BLAS: with 32 registers of 16 numbers, almost by half.
FAST_PRODUCTS = COMPILES and "+avx512f" in _features.split(",")


def products_pay(weights):
    """Say whether to multiply with so many weights here, and not in BLAS; with few it always is.

    Parameters
    ----------
    weights : int
        The size of the kernel.

    Returns
    -------
    bool
        Whether the product is faster here.

    Examples
    --------
    >>> products_pay(1280) == COMPILES
    True
    """
    return FAST_PRODUCTS or (COMPILES and weights <= 1 << 12)


@inner
def take_rows(x, rows, out):
    """Out = x[rows]."""
    for i in range(rows.shape[0]):
        # They lie scattered over memory, so the next but one is asked for ahead.
        begin = rows[min(i + 2, rows.shape[0] - 1)] * x.shape[1]
        for j in range(0, x.shape[1], LANES):
            prefetch(x, begin + j)
        row = rows[i]
        for j in range(x.shape[1]):
            out[i, j] = x[row, j]


@sums
def _copy_columns(x, i, j, width, rows, out):
    """out[:rows] = x[j : j + width, i : i + rows], transposed, and 0 beside it."""
    if i < 0 or j < 0:
        return
    # So few columns at a time that the cache still holds each one's line.
    for u in range(0, width // 8 * 8, 8):
        for k in range(rows):
            for c in range(8):
                out[k, u + c] = x[j + u + c, i + k]
    for k in range(rows):
        for u in range(width // 8 * 8, WIDE):
            out[k, u] = x[j + u, i + k] if u < width else 0


@inner
def _aligned(rows, like):
    """Make a matrix of `WIDE` columns that begins where a cache line does."""
    raw = scratch(rows * WIDE + 16, like.dtype)
    start = (-raw.ctypes.data % 64) // like.itemsize
    return raw[start : start + rows * WIDE].reshape(rows, WIDE)


@inner
def product(a, top, b, flip, first, last, out):
    """Compute columns from first to last of out = a @ b, or a @ b.T, for a's rows from top on.

    `a` comes with open strides, whatever they are, so that all is compiled but once; `out` has its
    rows one after the other.
    """
    rows, length = a.shape
    bottom, columns = min(top + out.shape[0], rows), b.shape[0] if flip else b.shape[1]
    panel, right = _aligned(min(length, _DEEP), out), np.ascontiguousarray(b)
    for begin in range(0, max(length, 1), _DEEP):
        depth, keep = min(_DEEP, length - begin), begin > 0
        for u in range(first, last, WIDE):
            width = min(WIDE, columns - u)
            if flip:
                _copy_columns(right, begin, u, width, depth, panel)
            else:
                copy_rows(right, begin, u, width, depth, panel)
            if width > LANES:
                for i in range(top, bottom, TALL):
                    n = min(TALL, bottom - i)
                    tile(a, i, begin, n, panel, depth, width, keep, out, i - top, u)
            else:
                for i in range(top, bottom, NARROW_TALL):
                    n = min(NARROW_TALL, bottom - i)
                    narrow_tile(a, i, begin, n, panel, depth, width, keep, out, i - top, u)


@jit()
def dense(x, kernel, bias, out):
    product(x[::1, ::1], 0, kernel, False, 0, out.shape[1], out)
    if bias is not None:
        add_bias(out, bias)


@jit()
def dense_gradients(x, d_y, d_kernel, d_bias):
    product(x.T[::1, ::1], 0, d_y, False, 0, d_kernel.shape[1], d_kernel)
    if d_bias is not None:
        sum_rows(d_y, d_bias)


@jit()
def dense_backward(d_y, kernel, out):
    product(d_y[::1, ::1], 0, kernel, True, 0, out.shape[1], out)
