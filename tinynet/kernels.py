"""The speed: Numba twins of functions in `functional`. Read those first; these say the same faster.

A kernel has the name, the parameters, the results and the in-place effects of its twin. What
makes the difference, measured by `benchmarks`:

- with Numba's own error model every division is checked and no loop is vectorised;
- literals are float64, so constants are cast once, outside the loops;
- only non-zero inputs are computed with, and the gradient of each kernel row is written once;
- several rows are added in one pass, so that the sum stays in registers in between;
- the rows of a shuffled batch lie scattered over memory, so they are asked for ahead;
- a dense product keeps 4 x 64 sums in the registers, which NumPy's BLAS leaves half empty;
- between the kernels of a small net Python took a fourth of a step, so one has the loop as well;
- each innermost loop stands in a function of its own, where LLVM vectorises it.

"contract" lets ``a * b + c`` be rounded once. Infinity and NaN pass through as in NumPy, and
the order of sums, and with it their bits, stays as written.
"""

from __future__ import annotations

import math
import platform
from typing import Any

import numpy as np
from llvmlite import ir
from llvmlite.binding import get_host_cpu_features
from numba import config, literal_unroll, types
from numba.core import cgutils
from numba.core.compiler import Compiler
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from tinynet.jit import jit

__all__ = [
    "adam",
    "bias_relu",
    "bias_relu_backward",
    "compress_rows",
    "dense",
    "dense_backward",
    "dense_gradients",
    "row_starts",
    "softmax_crossentropy_step",
    "sort_by_column",
    "sparse_dense",
    "sparse_kernel_gradient",
    "sparse_matches",
    "train_steps",
]

#: Whether these functions are compiled at all.
COMPILES = not getattr(config, "DISABLE_JIT", False)
# The number of units whose sums fit the vector registers, and how many kernel rows of so many
# units fit the first-level cache.
_UNITS = 128
_ROWS = 112
_BLOCK = 16
_ONE = np.uint64(1)


class _Distinct(Compiler):
    """Promises LLVM that a function's arrays do not overlap, as C's ``restrict`` does."""

    def define_pipelines(self) -> Any:
        """Set the promise; the passes are Numba's own."""
        self.state.flags.noalias = True
        return super().define_pipelines()  # type: ignore[no-untyped-call]


_inner = jit(no_cpython_wrapper=True)
_inlined = jit(inline="always")  # compiled with its callers, which is sooner done
_sums = jit(no_cpython_wrapper=True, fastmath={"contract"}, pipeline_class=_Distinct)


def _instruction(function: Any) -> Any:
    """Make an intrinsic whose calls mypy does not take for calls of the function itself."""
    return intrinsic(function)


_external: Any = cgutils.get_or_insert_function


if not COMPILES:

    def _prefetch(array: Any, i: Any) -> None:
        """Do nothing: Python has no such instruction."""

    def _matrix_at(flat: Any, at: Any, rows: Any, columns: Any) -> Any:
        return flat[at : at + rows * columns].reshape(rows, columns)

else:

    @_instruction
    def _prefetch(typing_context: Any, array: Any, i: Any) -> Any:
        """Ask for the memory at array[i] without waiting for it."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            data = context.make_array(array)(context, builder, arguments[0]).data
            pointer = builder.bitcast(builder.gep(data, [arguments[1]]), cgutils.voidptr_t)
            word = ir.IntType(32)
            kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
            function = _external(builder.module, kind, "llvm.prefetch.p0")
            builder.call(function, [pointer, word(0), word(3), word(1)])  # to read, keep, data
            return context.get_dummy_value()

        return types.void(array, i), generate

    @_instruction
    def _pointer(typing_context: Any, address: Any) -> Any:
        """Make an address a pointer."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], cgutils.voidptr_t)

        return types.voidptr(types.int64), generate

    @_inner
    def _matrix_at(flat: Any, at: Any, rows: Any, columns: Any) -> Any:
        """Return the matrix that begins at flat[at]; sooner compiled than by slices."""
        pointer = _pointer(flat.ctypes.data + at * flat.itemsize)
        return carray(pointer, (rows, columns), flat.dtype)


@_inner
def _mean(old: Any, new: Any, rate: Any, tiny: Any, zero: Any) -> Any:
    """Return Adam's running mean, rounded as in NumPy; 0 before it slows processors down."""
    mean = old + (new - old) * rate
    return zero if abs(mean) < tiny else mean


if not COMPILES or platform.machine() not in ("x86_64", "AMD64"):

    @_inner
    def _flush(on: Any) -> Any:
        """Do nothing."""
        return on

else:

    @_instruction
    def _flush(typing_context: Any, on: Any) -> Any:
        """Take this thread's results that are denormal for 0, or no longer; return what it did."""

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            word, flag = ir.IntType(32), ir.Constant(ir.IntType(32), 1 << 15)
            kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t])
            room = builder.alloca(word)
            pointer = builder.bitcast(room, cgutils.voidptr_t)
            builder.call(_external(builder.module, kind, "llvm.x86.sse.stmxcsr"), [pointer])
            old = builder.load(room)
            others = builder.and_(old, builder.not_(flag))
            builder.store(builder.select(arguments[0], builder.or_(old, flag), others), room)
            builder.call(_external(builder.module, kind, "llvm.x86.sse.ldmxcsr"), [pointer])
            return builder.icmp_unsigned("!=", builder.and_(old, flag), ir.Constant(word, 0))

        return types.boolean(types.boolean), generate


# ---------------------------------------------------------------- sparse inputs


@jit()
def row_starts(x: Any, out: Any) -> Any:
    out[0] = 0
    for i in range(x.shape[0]):
        count = 0
        for j in range(x.shape[1]):
            count += x[i, j] != 0
        out[i + 1] = out[i] + count
    return out


@jit()
def compress_rows(x: Any, indptr: Any, indices: Any, values: Any) -> None:
    for i in range(x.shape[0]):
        k = indptr[i]
        for j in range(x.shape[1]):
            # Written always, kept if it is not zero: there is no branch to guess wrong.
            indices[k] = j
            values[k] = x[i, j]
            k += x[i, j] != 0


@_sums
def _add_rows(
    indptr: Any, indices: Any, values: Any, rows: Any, kernel: Any, bias: Any, u: Any, first: Any,
    last: Any, at: Any, out: Any, v: Any,
) -> None:  # fmt: skip
    """out[:, v : v + _UNITS] = bias + x @ kernel, for `_UNITS` units from u on.

    Only inputs from first to last count, so many at a time as the cache holds kernel rows; each
    example's begin at its place `at`, which is moved on.
    """
    if u < 0 or v < 0:  # they never are; but knowing that, LLVM drops the tests for them
        return
    for i in range(rows.shape[0]):
        for j in range(_UNITS):
            out[i, v + j] = bias[u + j]
    for begin in range(first, last, _ROWS):
        end = np.uint64(min(begin + _ROWS, last))
        for i in range(rows.shape[0]):
            row, k, stop = np.uint64(i), np.uint64(at[i]), np.uint64(indptr[rows[i] + 1])
            while k < stop:
                p = np.uint64(indices[k])
                if p >= end:
                    break
                a = values[k]
                for j in range(_UNITS):
                    out[row, v + j] += a * kernel[p, u + j]
                k += _ONE
            at[i] = k


@_sums
def _add_rows_any(
    indptr: Any, indices: Any, values: Any, rows: Any, kernel: Any, bias: Any, out: Any
) -> None:
    """Out = x @ kernel + bias for any number of units, eight non-zeros in a pass."""
    for i in range(rows.shape[0]):
        y = out[i]
        for u in range(y.shape[0]):
            y[u] = bias[u]
        k, end = indptr[rows[i]], indptr[rows[i] + 1]
        while k + 8 <= end:
            a, b, c, d = values[k], values[k + 1], values[k + 2], values[k + 3]
            e, f, g, h = values[k + 4], values[k + 5], values[k + 6], values[k + 7]
            w0, w1 = kernel[indices[k]], kernel[indices[k + 1]]
            w2, w3 = kernel[indices[k + 2]], kernel[indices[k + 3]]
            w4, w5 = kernel[indices[k + 4]], kernel[indices[k + 5]]
            w6, w7 = kernel[indices[k + 6]], kernel[indices[k + 7]]
            for u in range(y.shape[0]):
                four = y[u] + a * w0[u] + b * w1[u] + c * w2[u] + d * w3[u]
                y[u] = four + e * w4[u] + f * w5[u] + g * w6[u] + h * w7[u]
            k += 8
        while k < end:
            a, w0 = values[k], kernel[indices[k]]
            for u in range(y.shape[0]):
                y[u] += a * w0[u]
            k += 1


@_inlined
def _in_units(units: Any) -> Any:
    """Say whether a layer is best computed `_UNITS` units at a time.

    Not one whose rows have 4 KB: all of them fall on the same lines of the cache.
    """
    return units % _UNITS == 0 and units <= 4 * _UNITS


@_inlined
def _ask_for(indptr: Any, indices: Any, values: Any, rows: Any) -> None:
    for i in range(rows.shape[0]):
        for k in range(indptr[rows[i]], indptr[rows[i] + 1], 16):
            _prefetch(values, k)
            _prefetch(indices, k)


@_inlined
def _places(indptr: Any, indices: Any, rows: Any, first: Any, at: Any) -> None:
    """Set at[i] to where the inputs from `first` on begin in row i."""
    for i in range(rows.shape[0]):
        low, high = indptr[rows[i]], indptr[rows[i] + 1]
        while low < high and first > 0:
            middle = (low + high) // 2
            if indices[middle] < first:
                low = middle + 1
            else:
                high = middle
        at[i] = low


@_inner
def _half_of_inputs(
    indptr: Any, indices: Any, values: Any, rows: Any, kernel: Any, bias: Any, out: Any, half: Any
) -> None:
    """Out = x @ kernel + bias with the first half of the inputs, or x @ kernel with the second."""
    at, middle = np.empty(rows.shape[0], np.int64), kernel.shape[0] // 2
    first, last = (middle, kernel.shape[0]) if half else (0, middle)
    start = np.zeros(kernel.shape[1], out.dtype) if half else bias
    _ask_for(indptr, indices, values, rows)
    for u in range(0, kernel.shape[1], _UNITS):
        _places(indptr, indices, rows, first, at)
        _add_rows(indptr, indices, values, rows, kernel, start, u, first, last, at, out, u)


@_inner
def _sparse_dense(
    indptr: Any, indices: Any, values: Any, rows: Any, kernel: Any, bias: Any, out: Any
) -> None:
    _ask_for(indptr, indices, values, rows)
    if not _in_units(kernel.shape[1]):
        _add_rows_any(indptr, indices, values, rows, kernel, bias, out)
        return
    # Not as plain numbers: for these Numba compiles once more.
    first, middle, last = np.int64(0), kernel.shape[0] // 2, kernel.shape[0]
    at, none = np.empty(rows.shape[0], np.int64), np.zeros(kernel.shape[1], out.dtype)
    # Each half of the inputs has a sum of its own, as with two threads.
    rest = np.empty((rows.shape[0], _UNITS), out.dtype)
    for u in range(0, kernel.shape[1], _UNITS):
        _places(indptr, indices, rows, first, at)
        _add_rows(indptr, indices, values, rows, kernel, bias, u, first, middle, at, out, u)
        _add_rows(indptr, indices, values, rows, kernel, none, u, middle, last, at, rest, first)
        _add_sums(rest, first, out, u)


@jit()
def sparse_dense(
    indptr: Any, indices: Any, values: Any, rows: Any, kernel: Any, bias: Any, out: Any
) -> None:
    _sparse_dense(indptr, indices, values, rows, kernel, bias, out)


@_sums
def _add_sums(x: Any, u: Any, out: Any, v: Any) -> None:
    """out[:, v : v + _UNITS] += x[:, u : u + _UNITS]."""
    if u < 0 or v < 0:
        return
    for i in range(x.shape[0]):
        for j in range(_UNITS):
            out[i, v + j] += x[i, u + j]


@_sums
def _sort_rows(
    indptr: Any, indices: Any, values: Any, rows: Any, first: Any, count: Any, sample: Any,
    entry: Any, size: Any,
) -> None:  # fmt: skip
    """Append each non-zero of some rows to its column, which has room for `size`."""
    if size < 0:  # as in _add_rows
        return
    for column in range(count.shape[0]):
        count[column] = 0
    for i in range(rows.shape[0]):
        row = np.uint64(rows[i])
        for k in range(np.uint64(indptr[row]), np.uint64(indptr[row + _ONE])):
            p = np.uint64(indices[k])
            n = count[p]
            at = p * np.uint64(size) + np.uint64(n)
            sample[at] = first + i
            entry[at] = values[k]
            count[p] = n + 1


@jit()
def sort_by_column(
    indptr: Any, indices: Any, values: Any, rows: Any, counts: Any, samples: Any, entries: Any
) -> None:
    size = samples.shape[1] // max(counts.shape[1], 1)
    for chunk in range(counts.shape[0]):
        first = chunk * size
        count, sample, entry = counts[chunk], samples[chunk], entries[chunk]
        part = rows[first : first + size]
        _sort_rows(indptr, indices, values, part, first, count, sample, entry, size)


@_sums
def _gather(
    count: Any, sample: Any, entry: Any, size: Any, begin: Any, end: Any, d_y: Any, u: Any,
    out: Any, keep: Any,
) -> None:  # fmt: skip
    """out[:, u : u + _UNITS] = x.T[begin:end] @ d_y, or added to what is kept."""
    if u < 0 or size < 0 or begin < 0:
        return
    for p in range(begin, end):
        row, first = np.uint64(p - begin), np.uint64(p * size)
        if not keep:
            for j in range(_UNITS):
                out[row, u + j] = 0
        for k in range(first, first + np.uint64(count[p])):
            a, i = entry[k], np.uint64(sample[k])
            for j in range(_UNITS):
                out[row, u + j] += a * d_y[i, u + j]


@_sums
def _gather_any(sample: Any, entry: Any, begin: Any, end: Any, d_y: Any, g: Any, keep: Any) -> None:
    """The same for any number of units, in a row g, four entries in a pass."""
    if not keep:
        for u in range(g.shape[0]):
            g[u] = 0
    k = begin
    while k + 4 <= end:
        a, b, c, d = entry[k], entry[k + 1], entry[k + 2], entry[k + 3]
        z0, z1 = d_y[sample[k]], d_y[sample[k + 1]]
        z2, z3 = d_y[sample[k + 2]], d_y[sample[k + 3]]
        for u in range(g.shape[0]):
            g[u] = g[u] + a * z0[u] + b * z1[u] + c * z2[u] + d * z3[u]
        k += 4
    while k < end:
        a, z0 = entry[k], d_y[sample[k]]
        for u in range(g.shape[0]):
            g[u] += a * z0[u]
        k += 1


@_inlined
def _kernel_gradient(
    counts: Any, samples: Any, entries: Any, d_y: Any, out: Any, begin: Any, end: Any
) -> None:
    """Compute the kernel's rows from begin to end, and put them into out's first ones."""
    units, size = out.shape[1], samples.shape[1] // max(counts.shape[1], 1)
    for chunk in range(counts.shape[0]):
        count, sample, entry, keep = counts[chunk], samples[chunk], entries[chunk], chunk > 0
        if not _in_units(units):
            for p in range(begin, end):
                first, last = p * size, p * size + count[p]
                _gather_any(sample, entry, first, last, d_y, out[p - begin], keep)
            continue
        for u in range(0, units, _UNITS):
            _gather(count, sample, entry, size, begin, end, d_y, u, out, keep)


@jit()
def sparse_kernel_gradient(counts: Any, samples: Any, entries: Any, d_y: Any, out: Any) -> None:
    _kernel_gradient(counts, samples, entries, d_y, out, 0, out.shape[0])


# ---------------------------------------------------------------- products of dense matrices
# The second matrix is copied a panel at a time, so many columns and rows of it, which stay in the
# cache. Four rows of the first are multiplied with it at once: their sums fill the registers.

_WIDE, _NARROW, _DEEP = 64, 16, 256
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
    @_sums
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
        for j in range(_WIDE):
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


_wide_tile, _narrow_tile = _tile_of(_WIDE), _tile_of(_NARROW)


@_sums
def _copy_rows(x: Any, i: Any, j: Any, width: Any, rows: Any, out: Any) -> None:
    """out[:rows] = x[i : i + rows, j : j + width], and 0 beside it."""
    if j < 0:
        return
    for k in range(rows):
        row, to = np.uint64(i + k), np.uint64(k)
        for u in range(width):
            out[to, u] = x[row, j + u]
        for u in range(np.uint64(width), np.uint64(_WIDE)):
            out[to, u] = 0


@_sums
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
        for u in range(width // 8 * 8, _WIDE):
            out[k, u] = x[j + u, i + k] if u < width else 0


@_sums
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


@_inner
def _aligned(rows: Any, like: Any) -> Any:
    """Make a matrix of `_WIDE` columns that begins where a cache line does."""
    raw = np.empty(rows * _WIDE + 16, like.dtype)
    start = (-raw.ctypes.data % 64) // like.itemsize
    return raw[start : start + rows * _WIDE].reshape(rows, _WIDE)


@_inner
def _product(a: Any, top: Any, b: Any, flip: Any, first: Any, last: Any, out: Any) -> None:
    """Compute columns from first to last of out = a @ b, or a @ b.T, for a's rows from top on.

    Whatever lies in `a`, it comes with open strides, so that all is compiled but once.
    """
    rows, inner = a.shape
    bottom, columns = min(top + out.shape[0], rows), b.shape[0] if flip else b.shape[1]
    panel, block = _aligned(min(inner, _DEEP), out), _aligned(np.int64(4), out)
    y0, y1, y2, y3 = block[0], block[1], block[2], block[3]
    for u in range(first, last, _WIDE):
        width = min(_WIDE, columns - u)
        for begin in range(0, max(inner, 1), _DEEP):
            depth = min(_DEEP, inner - begin)
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
    _product(x[::1, ::1], 0, kernel, False, 0, out.shape[1], out)
    if bias is not None:
        _add_bias(out, bias)


@jit()
def dense_gradients(x: Any, d_y: Any, d_kernel: Any, d_bias: Any) -> None:
    _product(x.T[::1, ::1], 0, d_y, False, 0, d_kernel.shape[1], d_kernel)
    if d_bias is not None:
        _sum_rows(d_y, d_bias)


@jit()
def dense_backward(d_y: Any, kernel: Any, out: Any) -> None:
    _product(d_y[::1, ::1], 0, kernel, True, 0, out.shape[1], out)


@_inner
def _add_bias(z: Any, bias: Any) -> None:
    for i in range(z.shape[0]):
        for u in range(z.shape[1]):
            z[i, u] += bias[u]


@_inner
def _sum_rows(x: Any, out: Any) -> None:
    """Out = the sum of x's rows."""
    out[:] = 0
    for i in range(x.shape[0]):
        for u in range(x.shape[1]):
            out[u] += x[i, u]


# ---------------------------------------------------------------- dense layers and the loss


@jit()
def bias_relu(z: Any, bias: Any) -> None:
    zero = z.dtype.type(0)
    for i in range(z.shape[0]):
        for u in range(z.shape[1]):
            sum_ = z[i, u] + bias[u]
            z[i, u] = zero if sum_ < zero else sum_  # NaN stays NaN


@jit()
def bias_relu_backward(d_y: Any, y: Any, d_bias: Any) -> None:
    zero = d_y.dtype.type(0)
    d_bias[:] = zero
    for i in range(d_y.shape[0]):
        for u in range(d_y.shape[1]):
            d = d_y[i, u] if y[i, u] > zero else d_y[i, u] * zero
            d_y[i, u] = d
            d_bias[u] += d


@jit()
def softmax_crossentropy_step(
    labels: Any, logits: Any, d_values: Any, probabilities: Any, d_logits: Any, values: Any
) -> None:
    one = logits.dtype.type(1)
    for i in range(logits.shape[0]):
        top = logits[i, 0]
        for c in range(1, logits.shape[1]):
            top = max(top, logits[i, c])
        total = logits.dtype.type(0)
        for c in range(logits.shape[1]):
            probabilities[i, c] = np.exp(logits[i, c] - top)
            total += probabilities[i, c]
        values[i] = np.log(total) - (logits[i, labels[i]] - top)
        for c in range(logits.shape[1]):
            probabilities[i, c] /= total
            d_logits[i, c] = probabilities[i, c] * d_values[i]
        d_logits[i, labels[i]] = (probabilities[i, labels[i]] - one) * d_values[i]


@jit()
def sparse_matches(labels: Any, scores: Any) -> int:
    count = 0
    for i in range(scores.shape[0]):
        best = 0
        for c in range(1, scores.shape[1]):
            if scores[i, c] > scores[i, best] or (
                scores[i, c] != scores[i, c] and scores[i, best] == scores[i, best]
            ):
                best = c
        count += best == labels[i]
    return count


# ---------------------------------------------------------------- the optimizer


@jit()
def adam(
    w: Any,
    d_w: Any,
    m: Any,
    v: Any,
    alpha: float,
    one_minus_beta_1: float,
    one_minus_beta_2: float,
    epsilon: float,
    largest: Any = None,
) -> None:
    number = w.dtype.type
    step, small = number(alpha), number(epsilon)
    rate_1, rate_2 = number(one_minus_beta_1), number(one_minus_beta_2)
    tiny, zero = number(1e-30), number(0)
    flushing = _flush(True)  # the square of a gradient may be denormal, which is slow
    for i in range(w.size):
        m_i = _mean(m[i], d_w[i], rate_1, tiny, zero)
        v_i = _mean(v[i], d_w[i] * d_w[i], rate_2, tiny, zero)
        m[i] = m_i
        v[i] = v_i
        if largest is not None:
            v_i = np.maximum(largest[i], v_i)
            largest[i] = v_i
        w[i] -= m_i * step / (math.sqrt(v_i) + small)
    _flush(flushing)


@_inner
def _adam_step_size(learning_rate: Any, beta_1: Any, beta_2: Any, step: Any, number: Any) -> Any:
    """As in `functional`; the constants may come as any type of float."""
    one, t = number(1), number(step)
    root = np.sqrt(one - number(beta_2) ** t)
    return number(learning_rate) * root / (one - number(beta_1) ** t)


# A layer's gradient and its step of Adam, in one go: the gradient never leaves the cache.


@_sums
def _learn_units(
    count: Any, sample: Any, entry: Any, size: Any, begin: Any, end: Any, d_y: Any, u: Any,
    d_w: Any, w: Any, m: Any, v: Any, step: Any, rate_1: Any, rate_2: Any, small: Any,
) -> None:  # fmt: skip
    """`_gather` and `adam`, a row at a time, which leaves no gradient."""
    number = w.dtype.type
    tiny, zero = number(1e-30), number(0)
    if u < 0 or size < 0 or begin < 0:
        return
    for p in range(begin, end):
        row, first = np.uint64(p), np.uint64(p * size)
        for j in range(_UNITS):
            d_w[j] = zero
        for k in range(first, first + np.uint64(count[p])):
            a, i = entry[k], np.uint64(sample[k])
            for j in range(_UNITS):
                d_w[j] += a * d_y[i, u + j]
        for j in range(_UNITS):
            m_j = _mean(m[row, u + j], d_w[j], rate_1, tiny, zero)
            v_j = _mean(v[row, u + j], d_w[j] * d_w[j], rate_2, tiny, zero)
            m[row, u + j] = m_j
            v[row, u + j] = v_j
            w[row, u + j] -= m_j * step / (math.sqrt(v_j) + small)


@_inner
def _learn_sparse(
    counts: Any, samples: Any, entries: Any, d_y: Any, d_w: Any, w: Any, m: Any, v: Any,
    numbers: Any, part: Any, parts: Any,
) -> None:  # fmt: skip
    """Change one of so many parts of a kernel, some rows."""
    inputs, units = counts.shape[1], d_y.shape[1]
    first, last = inputs * part // parts, inputs * (part + 1) // parts
    step, rate_1, rate_2, small = numbers[0], numbers[1], numbers[2], numbers[3]
    if counts.shape[0] == 1 and _in_units(units):
        number, row, size = w.dtype.type, np.empty(_UNITS, w.dtype), samples.shape[1] // inputs
        kernel, means = _matrix_at(w, 0, inputs, units), _matrix_at(m, 0, inputs, units)
        squares = _matrix_at(v, 0, inputs, units)
        flushing = _flush(True)
        for u in range(0, units, _UNITS):
            _learn_units(
                counts[0], samples[0], entries[0], size, first, last, d_y, u, row, kernel, means,
                squares, number(step), number(rate_1), number(rate_2), number(small),
            )  # fmt: skip
        _flush(flushing)
        return
    for begin in range(first, last, _BLOCK):
        end = min(begin + _BLOCK, last)
        a, z = begin * units, end * units
        gradient = d_w[first * units : first * units + z - a]
        block = _matrix_at(gradient, 0, end - begin, units)
        _kernel_gradient(counts, samples, entries, d_y, block, begin, end)
        adam(w[a:z], gradient, m[a:z], v[a:z], step, rate_1, rate_2, small, None)


@_inner
def _learn_dense(
    x: Any, d_y: Any, d_w: Any, w: Any, m: Any, v: Any, numbers: Any, part: Any, parts: Any
) -> None:
    """Change one of so many parts of a kernel, some rows."""
    inputs, units = x.shape[1], d_y.shape[1]
    first, last = inputs * part // parts, inputs * (part + 1) // parts
    rows = max((1 << 16) // units // 4 * 4, 4)
    for begin in range(first, last, rows):
        end = min(begin + rows, last)
        a, z = begin * units, end * units
        gradient = d_w[first * units : first * units + z - a]
        block = _matrix_at(gradient, 0, end - begin, units)
        _product(x.T[::1, ::1], begin, d_y, parts < 0, np.int64(0), units, block)
        adam(w[a:z], gradient, m[a:z], v[a:z], numbers[0], numbers[1], numbers[2], numbers[3], None)


# ---------------------------------------------------------------- several threads
# A job is one call of a kernel, cut in parts: part 0 is the caller's, each other one is offered
# to the helper thread that serves the box of its number. A part that its helper has not taken
# when the caller gets there is taken back, so that a helper that sleeps or waits for a processor
# costs speed only; nobody ever waits but for a part that is being computed. The cuts go between
# sums, never through one: the bits are those of the whole kernel, whoever computes what.

_DENSE, _SORT, _GRADIENT, _ADAM, _HALF, _LEARN_SPARSE, _LEARN_DENSE = np.arange(7)
_PRODUCT, _PRODUCT_OF_ROWS = np.arange(7, 9)
_FREE, _OFFERED, _TAKEN = range(3)
# Words of a box, each kind on a cache line of its own; in box 0, where its caller runs, how often
# help came late, for how many jobs it goes without, room for the time, and what the job is.
_STATE, _STOP, _PLACE, _LATE, _REST, _TIME, _JOB, _BOX = 0, 8, 16, 17, 18, 19, 24, 64
_YIELD, _SLEEP, _NAP = 256, 1 << 23, 200  # idle rounds, idle rounds (about 20 ms), microseconds
# On a busy machine it is faster alone: so many parts that no helper took, or one that took so many
# nanoseconds longer than the caller's own twice over, and it goes without help for so many jobs.
_TOO_LATE, _LONG, _PAUSE = 100, 50_000, 2000
# Where a matrix has fewer numbers, handing over costs more than it gains.
_SMALLEST = 1 << 12


_clock_gettime: Any = types.ExternalFunction(
    "clock_gettime", types.int32(types.int32, types.voidptr)
)
_sched_yield: Any = types.ExternalFunction("sched_yield", types.int32())
_sched_getcpu: Any = types.ExternalFunction("sched_getcpu", types.int32())
_usleep: Any = types.ExternalFunction("usleep", types.int32(types.uint32))


def _word(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """Point to the word of a box that an intrinsic's first two arguments name."""
    box = context.make_array(signature.args[0])(context, builder, arguments[0])
    return builder.gep(box.data, [arguments[1]])


@_instruction
def _load(typing_context: Any, box: Any, i: Any) -> Any:
    """Read box[i], and see all that its writer wrote before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = _word(context, builder, signature, arguments)
        return builder.load_atomic(word, "acquire", 8)

    return types.int64(box, types.int64), generate


@_instruction
def _store(typing_context: Any, box: Any, i: Any, value: Any) -> Any:
    """Write box[i] after all that was written before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = _word(context, builder, signature, arguments)
        builder.store_atomic(arguments[2], word, "release", 8)
        return context.get_dummy_value()

    return types.void(box, types.int64, types.int64), generate


@_instruction
def _swap(typing_context: Any, box: Any, i: Any, old: Any, new: Any) -> Any:
    """Write box[i] if it is `old`; say whether it was."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = _word(context, builder, signature, arguments)
        result = builder.cmpxchg(word, arguments[2], arguments[3], "acq_rel", "acquire")
        return builder.extract_value(result, 1)

    return types.boolean(box, types.int64, types.int64, types.int64), generate


@_inner
def _vector(box: Any, i: Any, kind: Any) -> Any:
    """Make the job's i-th array again, which is a vector."""
    return carray(_pointer(box[_JOB + 3 * i + 1]), (box[_JOB + 3 * i + 2],), kind)


@_inner
def _matrix(box: Any, i: Any, kind: Any) -> Any:
    """Make the job's i-th array again, which is a matrix."""
    j = _JOB + 3 * i + 1
    return carray(_pointer(box[j]), (box[j + 1], box[j + 2]), kind)


@_inlined
def _product_of(job: Any, a: Any, b: Any, out: Any, part: Any, parts: Any) -> None:
    """Compute one part of a @ b or of a @ b.T, as the job says: some panels, or else some rows."""
    rows, columns = out.shape
    panels, quads = -(-columns // _WIDE), -(-rows // 4)
    first, last, top, bottom = 0, columns, 0, rows
    if panels % parts == 0 or panels > 4 * parts:
        first, last = panels * part // parts * _WIDE, panels * (part + 1) // parts * _WIDE
        last = min(last, columns)
    else:
        top, bottom = quads * part // parts * 4, min(quads * (part + 1) // parts * 4, rows)
    _product(a[::1, ::1], top, b, job == _PRODUCT_OF_ROWS, first, last, out[top:bottom])


@_inner
def _part(box: Any, part: Any, parts: Any) -> None:
    """Compute one part of the job in box 0."""
    job = box[_JOB]
    if job == _ADAM:
        w, d_w = _vector(box, 0, np.float32), _vector(box, 1, np.float32)
        m, v = _vector(box, 2, np.float32), _vector(box, 3, np.float32)
        n = _vector(box, 4, np.float64)
        # Cut where vector registers end.
        a, z = (w.size * part // parts) & -16, (w.size * (part + 1) // parts) & -16
        z = w.size if part + 1 == parts else z
        adam(w[a:z], d_w[a:z], m[a:z], v[a:z], n[0], n[1], n[2], n[3], None)
    elif job == _GRADIENT:
        counts, samples = _matrix(box, 0, np.int32), _matrix(box, 1, np.int32)
        entries, d_y = _matrix(box, 2, np.float32), _matrix(box, 3, np.float32)
        out = _matrix(box, 4, np.float32)
        a, z = len(out) * part // parts, len(out) * (part + 1) // parts
        _kernel_gradient(counts, samples, entries, d_y, out[a:z], a, z)
    elif job == _LEARN_SPARSE:
        counts, samples = _matrix(box, 0, np.int32), _matrix(box, 1, np.int32)
        entries, d_y = _matrix(box, 2, np.float32), _matrix(box, 3, np.float32)
        d_w, w = _vector(box, 4, np.float32), _vector(box, 5, np.float32)
        m, v = _vector(box, 6, np.float32), _vector(box, 7, np.float32)
        n = _vector(box, 8, np.float64)
        _learn_sparse(counts, samples, entries, d_y, d_w, w, m, v, n, part, parts)
    elif job == _LEARN_DENSE:
        x, d_y = _matrix(box, 0, np.float32), _matrix(box, 1, np.float32)
        d_w, w = _vector(box, 2, np.float32), _vector(box, 3, np.float32)
        m, v = _vector(box, 4, np.float32), _vector(box, 5, np.float32)
        _learn_dense(x, d_y, d_w, w, m, v, _vector(box, 6, np.float64), part, parts)
    elif job >= _PRODUCT:
        x, y = _matrix(box, 0, np.float32), _matrix(box, 1, np.float32)
        out = _matrix(box, 2, np.float32)
        _product_of(job, x, y, out, part, parts)
    else:
        indptr, indices = _vector(box, 0, np.int64), _vector(box, 1, np.uint16)
        values, rows = _vector(box, 2, np.float32), _vector(box, 3, np.int64)
        if job == _SORT:
            counts, samples = _matrix(box, 4, np.int32), _matrix(box, 5, np.int32)
            entries = _matrix(box, 6, np.float32)
            sort_by_column(indptr, indices, values, rows, counts, samples, entries)
        else:
            kernel, bias = _matrix(box, 4, np.float32), _vector(box, 5, np.float32)
            out = _matrix(box, 6, np.float32)
            if job == _HALF:
                for half in range(part, 3 - parts + part):  # both, if nobody else does the other
                    y = _matrix(box, 7, np.float32) if half else out
                    _half_of_inputs(indptr, indices, values, rows, kernel, bias, y, half)
            else:
                a, z = len(rows) * part // parts, len(rows) * (part + 1) // parts
                sparse_dense(indptr, indices, values, rows[a:z], kernel, bias, out[a:z])


@_inner
def _await(box: Any) -> None:
    """Wait for the part that a helper has taken."""
    rounds = 0
    while _load(box, _STATE) == _TAKEN:
        rounds += 1
        if rounds % _YIELD == 0:
            _sched_yield()  # it may be this processor that the helper waits for


@_inner
def _now(box: Any) -> int:
    """Read the clock that always goes forward, in nanoseconds."""
    _clock_gettime(1, _pointer(box.ctypes.data + 8 * _TIME))
    return int(box[_TIME] * 1_000_000_000 + box[_TIME + 1])


@jit()
def _offer(boxes: Any, job: Any, *arrays: Any) -> None:
    """Put a job's arrays in box 0, and offer its parts; a sort has one part, which is 1."""
    for part in range(1, boxes.shape[0]):  # what an error left unfinished
        if not _swap(boxes[part], _STATE, _OFFERED, _FREE):
            _await(boxes[part])
    mine = boxes[0]
    mine[_JOB], mine[_PLACE] = job, _sched_getcpu()
    j = _JOB + 1
    for array in literal_unroll(arrays):
        mine[j], mine[j + 1], mine[j + 2] = array.ctypes.data, array.shape[0], array.shape[-1]
        j += 3
    mine[_REST] = max(mine[_REST] - 1, 0)
    if mine[_REST] == 0:
        for part in range(1, 2 if job == _SORT else boxes.shape[0]):
            _store(boxes[part], _STATE, _OFFERED)


@jit()
def _work(boxes: Any, part: Any) -> None:
    """Finish the job as its caller, part 0; or serve box `part` as its helper until told to stop.

    One function for both, since all kernels are compiled into it.
    """
    mine, parts = boxes[0], boxes.shape[0]
    if part == 0:
        alone, begin = mine[_REST] > 0, _now(mine)
        if alone or mine[_JOB] != _SORT:
            _part(mine, 0, 1 if alone else parts)
        own = _now(mine) - begin
        for other in range(1, 2 if mine[_JOB] == _SORT else parts):
            late, begin = -1, _now(mine)
            if not alone and _swap(boxes[other], _STATE, _OFFERED, _FREE):
                _part(mine, other, parts)
                late = 1
            else:
                _await(boxes[other])
                if mine[_JOB] != _SORT and _now(mine) - begin > own + _LONG:
                    late = _TOO_LATE
            mine[_LATE] = max(mine[_LATE] + late, 0)
        if mine[_LATE] >= _TOO_LATE:
            mine[_LATE], mine[_REST] = 0, _PAUSE
        return
    box, idle = boxes[part], 0
    while _load(box, _STOP) == 0:
        if _load(box, _STATE) == _OFFERED and _swap(box, _STATE, _OFFERED, _TAKEN):
            _part(mine, part, parts)
            _store(box, _STATE, _FREE)
            idle = 0
            continue
        idle += 1
        if idle % _YIELD == 0:
            # A helper that nobody needs, or that keeps its caller from running, must not spin.
            if idle > _SLEEP or mine[_REST] > 0 or _sched_getcpu() == mine[_PLACE]:
                _usleep(_NAP)
            else:
                _sched_yield()


# ---------------------------------------------------------------- several steps of a dense net
# What Python costs between the kernels of a small net's step is a fourth of it: so here is the
# loop around them.


@_inner
def _relu(z: Any) -> None:
    zero = z.dtype.type(0)
    for i in range(z.shape[0]):
        for u in range(z.shape[1]):
            z[i, u] = zero if z[i, u] < zero else z[i, u]  # NaN stays NaN


@_inner
def _do(boxes: Any, job: Any, *arrays: Any) -> None:
    """Do a job with the helpers."""
    _offer(boxes, job, *arrays)
    _work(boxes, 0)


@_inlined
def _multiply(boxes: Any, job: Any, a: Any, b: Any, out: Any) -> None:
    """Do one of the two products, with the helpers if there are any and it is large enough."""
    if boxes is not None and min(a.size, b.size, out.size) >= _SMALLEST:
        _do(boxes, job, a, b, out)
    else:
        _product_of(job, a, b, out, 0, 1)


@_inlined
def _learn(boxes: Any, x: Any, d_y: Any, d_w: Any, w: Any, m: Any, v: Any, numbers: Any) -> None:
    """Change a kernel, with the helpers if there are any and it is large enough."""
    if boxes is not None and min(x.size, d_y.size, w.size) >= _SMALLEST:
        _do(boxes, _LEARN_DENSE, x, d_y, d_w, w, m, v, numbers)
    else:
        _learn_dense(x, d_y, d_w, w, m, v, numbers, 0, 1)


@jit()
def train_steps(
    indptr: Any, indices: Any, values: Any, rows: Any, labels: Any, batch_size: int, sizes: Any,
    rectifies: Any, from_logits: bool, state: Any, learning_rates: Any, iteration: int,
    constants: Any, stops: bool, losses: Any, matches: Any, buffers: Any, boxes: Any = None,
) -> int:  # fmt: skip
    w, d_w, m, v = state
    beta_1, beta_2, epsilon = constants
    y_all, d_all, probabilities, row_losses, d_losses, counts, samples, entries = buffers
    number, layers = w.dtype.type, sizes.shape[0] - 1
    numbers = np.empty(4)  # Adam's, of which the first changes
    numbers[1], numbers[2], numbers[3] = 1 - beta_1, 1 - beta_2, epsilon
    # While a helper sorts there must be no other job.
    early = True
    for i in range(1, layers):
        d, u = sizes[i], sizes[i + 1]
        early &= min(batch_size * min(d, u), d * u) < _SMALLEST
    for step in range(losses.shape[0]):
        first = step * batch_size
        last = min(first + batch_size, labels.shape[0])
        n, label = last - first, labels[first:last]
        size = samples.shape[1] // max(counts.shape[1], 1)
        chunks = -(-n // size)
        tables = counts[:chunks], samples[:chunks], entries[:chunks]
        # Forward; each layer's output and its gradient have places of their own.
        at = place = before = np.int64(0)
        for i in range(layers):
            d, u = sizes[i], sizes[i + 1]
            kernel, bias = _matrix_at(w, at, d, u), w[at + d * u : at + d * u + u]
            y = _matrix_at(y_all, place, n, u)
            if i > 0:
                inputs = _matrix_at(y_all, before, n, d)
                _multiply(boxes, _PRODUCT, inputs, kernel, y)
                _add_bias(y, bias)
            elif values.ndim == 2:
                _multiply(boxes, _PRODUCT, values[first:last], kernel, y)
                _add_bias(y, bias)
            elif boxes is None:
                _sparse_dense(indptr, indices, values, rows[first:last], kernel, bias, y)
            else:
                batch = indptr, indices, values, rows[first:last]
                if boxes.shape[0] == 2 and _in_units(u):
                    # Each thread keeps the half of the weights that it changes in its own cache.
                    rest = _matrix_at(d_all, 0, n, u)  # which the loss needs only later
                    _do(boxes, _HALF, *batch, kernel, bias, y, rest)
                    for j in range(0, u, _UNITS):
                        _add_sums(rest, j, y, j)
                else:
                    _do(boxes, _DENSE, *batch, kernel, bias, y)
                if early:
                    _offer(boxes, _SORT, *batch, *tables)
            if rectifies[i]:
                _relu(y)
            at, before, place = at + d * u + u, place, place + n * u
        # The loss.
        classes = sizes[layers]
        logits = _matrix_at(y_all, before, n, classes)
        d_y = _matrix_at(d_all, before, n, classes)
        d_losses[:n] = 1 / n
        softmax_crossentropy_step(
            label, logits, d_losses[:n], probabilities[:n], d_y, row_losses[:n]
        )
        total = 0.0
        for i in range(n):
            total += row_losses[i]
        losses[step] = total / n
        matches[step] = sparse_matches(label, logits if from_logits else probabilities[:n])
        if stops and not math.isfinite(losses[step]):
            return step
        # Backward; each layer's weights change as soon as nothing needs their old values.
        alpha = _adam_step_size(learning_rates[step], beta_1, beta_2, iteration + step + 1, number)
        numbers[0] = alpha
        for i in range(layers - 1, -1, -1):
            d, u = sizes[i], sizes[i + 1]
            place, end, middle = place - n * u, at, at - u
            at = middle - d * u
            d_y = _matrix_at(d_all, place, n, u)
            if rectifies[i]:
                y = _matrix_at(y_all, place, n, u)
                bias_relu_backward(d_y, y, d_w[middle:end])
            else:
                _sum_rows(d_y, d_w[middle:end])
            adam(
                w[middle:end], d_w[middle:end], m[middle:end], v[middle:end],
                numbers[0], numbers[1], numbers[2], numbers[3], None,
            )  # fmt: skip
            own = w[at:middle], m[at:middle], v[at:middle], numbers
            if i > 0:
                before = place - n * d
                inputs = _matrix_at(y_all, before, n, d)
                d_inputs = _matrix_at(d_all, before, n, d)
                _multiply(boxes, _PRODUCT_OF_ROWS, d_y, _matrix_at(w, at, d, u), d_inputs)
                _learn(boxes, inputs, d_y, d_w[at:middle], own[0], own[1], own[2], numbers)
            elif values.ndim == 2:
                _learn(
                    boxes, values[first:last], d_y, d_w[at:middle], own[0], own[1], own[2], numbers
                )
            elif boxes is None:
                sort_by_column(indptr, indices, values, rows[first:last], *tables)
                _learn_sparse(*tables, d_y, d_w[at:middle], *own, 0, 1)
            else:
                if early:
                    _work(boxes, 0)
                else:
                    sort_by_column(indptr, indices, values, rows[first:last], *tables)
                _do(boxes, _LEARN_SPARSE, *tables, d_y, d_w[at:middle], *own)
    return int(losses.shape[0])
