"""Compressed rows: the first layer's sums over the non-zeros, and its kernel's gradient."""

import numpy as np

from tinynet.jit import jit
from tinynet.kernels.eager import UNITS, flush, inlined, inner, prefetch, scratch, sums
from tinynet.kernels.vectors import LANES, put_columns, weighted_sum

_ROWS = 112  # so many kernel rows of UNITS units fit the first-level cache
_ONE = np.uint64(1)


@jit()
def row_starts(x, out):
    out[0] = 0
    for i in range(x.shape[0]):
        count = 0
        for j in range(x.shape[1]):
            count += x[i, j] != 0
        out[i + 1] = out[i] + count
    return out


@jit()
def compress_rows(x, indptr, indices, values):
    width, room = x.shape[1], indices.shape[0]
    for i in range(x.shape[0]):
        j, k = np.int64(0), indptr[i]
        while j + LANES <= width and k + LANES <= room:
            k += put_columns(x, i, j, indices, k)
            j += LANES
        while j < width:
            # Written always, kept if it is not zero: there is no branch to guess wrong.
            indices[k] = j
            k += x[i, j] != 0
            j += 1
        for k in range(np.uint64(indptr[i]), np.uint64(indptr[i + 1])):
            values[k] = x[i, np.uint64(indices[k])]


@sums
def _add_rows(indptr, indices, values, rows, kernel, bias, half, u, first, last, at, out, v):
    """out[:, v : v + UNITS] = x @ kernel, for `UNITS` units from u on; half 0 has + bias.

    Only inputs from first to last count, so many at a time as the cache holds kernel rows; each
    example's begin at its place `at`, which is moved on.
    """
    if u < 0 or v < 0:  # they never are; but knowing that, LLVM drops the tests for them
        return
    zero = out.dtype.type(0)
    for i in range(rows.shape[0]):
        for j in range(UNITS):
            out[i, v + j] = zero if half else bias[u + j]
    for begin in range(first, last, _ROWS):
        end = np.uint64(min(begin + _ROWS, last))
        for i in range(rows.shape[0]):
            row, k, stop = np.uint64(i), np.uint64(at[i]), np.uint64(indptr[rows[i] + 1])
            while k < stop:
                p = np.uint64(indices[k])
                if p >= end:
                    break
                a = values[k]
                for j in range(UNITS):
                    out[row, v + j] += a * kernel[p, u + j]
                k += _ONE
            at[i] = k


@sums
def _add_rows_any(indptr, indices, values, rows, kernel, bias, out):
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


@inlined
def in_units(units):
    """Say whether a layer is best computed `UNITS` units at a time.

    Not one whose rows have 4 KB: all of them fall on the same lines of the cache.
    """
    return units % UNITS == 0 and units <= 4 * UNITS


@inlined
def _ask_for(indptr, indices, values, rows):
    for i in range(rows.shape[0]):
        for k in range(indptr[rows[i]], indptr[rows[i] + 1], 16):
            prefetch(values, k)
            prefetch(indices, k)


@inlined
def _places(indptr, indices, rows, first, at):
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


@inner
def half_of_inputs(indptr, indices, values, rows, kernel, bias, out, half):
    """Out = x @ kernel + bias with the first half of the inputs, or x @ kernel with the second."""
    at, middle = scratch(rows.shape[0], np.int64), kernel.shape[0] // 2
    first, last = (middle, kernel.shape[0]) if half else (0, middle)
    _ask_for(indptr, indices, values, rows)
    for u in range(0, kernel.shape[1], UNITS):
        _places(indptr, indices, rows, first, at)
        _add_rows(indptr, indices, values, rows, kernel, bias, half, u, first, last, at, out, u)


@inlined
def sparse_forward(indptr, indices, values, rows, kernel, bias, out):
    _ask_for(indptr, indices, values, rows)
    if not in_units(kernel.shape[1]):
        _add_rows_any(indptr, indices, values, rows, kernel, bias, out)
        return
    # Not as plain numbers: for these Numba compiles once more.
    first, second = np.int64(0), np.int64(1)
    middle, last = kernel.shape[0] // 2, kernel.shape[0]
    at = scratch(rows.shape[0], np.int64)
    # Each half of the inputs has a sum of its own, as with two threads.
    rest = scratch((rows.shape[0], UNITS), out.dtype)
    for u in range(0, kernel.shape[1], UNITS):
        _places(indptr, indices, rows, first, at)
        _add_rows(indptr, indices, values, rows, kernel, bias, first, u, first, middle, at, out, u)
        _add_rows(
            indptr, indices, values, rows, kernel, bias, second, u, middle, last, at, rest, first
        )
        add_sums(rest, first, out, u)


@jit()
def sparse_dense(indptr, indices, values, rows, kernel, bias, out):
    sparse_forward(indptr, indices, values, rows, kernel, bias, out)


@sums
def add_sums(x, u, out, v):
    """out[:, v : v + UNITS] += x[:, u : u + UNITS]."""
    if u < 0 or v < 0:
        return
    for i in range(x.shape[0]):
        for j in range(UNITS):
            out[i, v + j] += x[i, u + j]


@sums
def _sort_rows(indptr, indices, values, rows, first, count, sample, entry, size):
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
def sort_by_column(indptr, indices, values, rows, counts, samples, entries):
    size = samples.shape[1] // max(counts.shape[1], 1)
    for chunk in range(counts.shape[0]):
        first = chunk * size
        count, sample, entry = counts[chunk], samples[chunk], entries[chunk]
        part = rows[first : first + size]
        _sort_rows(indptr, indices, values, part, first, count, sample, entry, size)


@sums
def _gather(count, sample, entry, size, begin, end, d_y, u, out, keep):
    """out[:, u : u + UNITS] = x.T[begin:end] @ d_y, or added to what is kept."""
    if u < 0 or size < 0 or begin < 0:
        return
    for p in range(begin, end):
        weighted_sum(entry, sample, p * size, count[p], d_y, u, keep, out, p - begin, u)


@sums
def _gather_any(sample, entry, begin, end, d_y, g, keep):
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


@inlined
def kernel_gradient(counts, samples, entries, d_y, out, begin, end):
    """Compute the kernel's rows from begin to end, and put them into out's first ones.

    With flush-to-zero, as `learn_sparse` sums while it learns: both give the same bits.
    """
    flushing = flush(True)
    units, size = out.shape[1], samples.shape[1] // max(counts.shape[1], 1)
    for chunk in range(counts.shape[0]):
        count, sample, entry, keep = counts[chunk], samples[chunk], entries[chunk], chunk > 0
        if not in_units(units):
            for p in range(begin, end):
                first, last = p * size, p * size + count[p]
                _gather_any(sample, entry, first, last, d_y, out[p - begin], keep)
            continue
        for u in range(0, units, UNITS):
            _gather(count, sample, entry, size, begin, end, d_y, u, out, keep)
    flush(flushing)


@jit()
def sparse_kernel_gradient(counts, samples, entries, d_y, out):
    rows = np.ascontiguousarray(d_y)
    kernel_gradient(counts, samples, entries, rows, out, 0, out.shape[0])
