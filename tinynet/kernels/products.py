"""Products of dense matrices, faster than NumPy's BLAS where registers hold 16 numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite.binding import get_host_cpu_features
from numba import config

from tinynet.jit import jit
from tinynet.kernels.activations import add_bias, sum_rows
from tinynet.kernels.compiled import COMPILES, inner, sums

# The second matrix is copied a panel at a time, so many columns and rows of it, which stay in the
# cache. Four rows of the first are multiplied with it at once: their sums fill the registers.

WIDE, _NARROW, _DEEP = 64, 16, 256
_features = getattr(config, "CPU_FEATURES", None) or get_host_cpu_features().flatten()
#: Whether products are faster here than in BLAS: with 32 registers of 16 numbers, almost by half.
FAST_PRODUCTS = COMPILES and "+avx512f" in _features.split(",")


def products_pay(weights: int) -> bool:
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


def _tile_of(width: int) -> Any:
    @sums
    def tile(
        a: Any, i: Any, last: Any, begin: Any, panel: Any, depth: Any,
        y0: Any, y1: Any, y2: Any, y3: Any,
    ) -> None:  # fmt: skip
        """y0 .. y3 = four rows of a, from row i on, @ panel; behind the last row it comes again."""
        if i < 0 or begin < 0:  # as in _add_rows
            return
        i1, i2, i3 = min(i + 1, last), min(i + 2, last), min(i + 3, last)
        if i1 < 0 or i2 < 0 or i3 < 0:
            return
        for j in range(WIDE):
            y0[j] = y1[j] = y2[j] = y3[j] = 0
        for k in range(depth):
            a0, a1, a2, a3 = a[i, begin + k], a[i1, begin + k], a[i2, begin + k], a[i3, begin + k]
            for j in range(width):
                b = panel[k, j]
                y0[j] += a0 * b
                y1[j] += a1 * b
                y2[j] += a2 * b
                y3[j] += a3 * b

    return tile


_wide_tile, _narrow_tile = _tile_of(WIDE), _tile_of(_NARROW)


@sums
def _copy_rows(x: Any, i: Any, j: Any, width: Any, rows: Any, out: Any) -> None:
    """out[:rows] = x[i : i + rows, j : j + width], and 0 beside it."""
    if j < 0:
        return
    for k in range(rows):
        row, to = np.uint64(i + k), np.uint64(k)
        for u in range(width):
            out[to, u] = x[row, j + u]
        for u in range(np.uint64(width), np.uint64(WIDE)):
            out[to, u] = 0


@sums
def _copy_columns(x: Any, i: Any, j: Any, width: Any, rows: Any, out: Any) -> None:
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


@sums
def _put_rows(x: Any, out: Any, i: Any, j: Any, width: Any, rows: Any, adds: Any) -> None:
    """out[i : i + rows, j : j + width] = x[:rows], or that is added to it."""
    if j < 0:
        return
    for r in range(rows):
        row, to = np.uint64(r), np.uint64(i + r)
        if adds:
            for u in range(width):
                out[to, j + u] += x[row, u]
        else:
            for u in range(width):
                out[to, j + u] = x[row, u]


@inner
def _aligned(rows: Any, like: Any) -> Any:
    """Make a matrix of `WIDE` columns that begins where a cache line does."""
    raw = np.empty(rows * WIDE + 16, like.dtype)
    start = (-raw.ctypes.data % 64) // like.itemsize
    return raw[start : start + rows * WIDE].reshape(rows, WIDE)


@inner
def product(a: Any, top: Any, b: Any, flip: Any, first: Any, last: Any, out: Any) -> None:
    """Compute columns from first to last of out = a @ b, or a @ b.T, for a's rows from top on.

    Whatever lies in `a`, it comes with open strides, so that all is compiled but once.
    """
    rows, length = a.shape
    bottom, columns = min(top + out.shape[0], rows), b.shape[0] if flip else b.shape[1]
    panel, block = _aligned(min(length, _DEEP), out), _aligned(np.int64(4), out)
    y0, y1, y2, y3 = block[0], block[1], block[2], block[3]
    for u in range(first, last, WIDE):
        width = min(WIDE, columns - u)
        for begin in range(0, max(length, 1), _DEEP):
            depth = min(_DEEP, length - begin)
            if flip:
                _copy_columns(b, begin, u, width, depth, panel)
            else:
                _copy_rows(b, begin, u, width, depth, panel)
            for i in range(top, bottom, 4):
                if width > _NARROW:
                    _wide_tile(a, i, rows - 1, begin, panel, depth, y0, y1, y2, y3)
                else:
                    _narrow_tile(a, i, rows - 1, begin, panel, depth, y0, y1, y2, y3)
                _put_rows(block, out, i - top, u, width, min(4, bottom - i), begin > 0)


@jit()
def dense(x: Any, kernel: Any, bias: Any, out: Any) -> None:
    product(x[::1, ::1], 0, kernel, False, 0, out.shape[1], out)
    if bias is not None:
        add_bias(out, bias)


@jit()
def dense_gradients(x: Any, d_y: Any, d_kernel: Any, d_bias: Any) -> None:
    product(x.T[::1, ::1], 0, d_y, False, 0, d_kernel.shape[1], d_kernel)
    if d_bias is not None:
        sum_rows(d_y, d_bias)


@jit()
def dense_backward(d_y: Any, kernel: Any, out: Any) -> None:
    product(d_y[::1, ::1], 0, kernel, True, 0, out.shape[1], out)
