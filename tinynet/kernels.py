"""The speed: Numba twins of functions in `functional`. Read those first; these say the same faster.

A kernel has the name, the parameters, the results and the in-place effects of its twin. What
makes the difference, measured by `benchmarks`:

- with Numba's own error model every division is checked and no loop is vectorised;
- literals are float64, so constants are cast once, outside the loops;
- several rows are added in one pass, so that the sum stays in registers in between;
- only non-zero inputs are computed with, and the gradient of each kernel row is written once.

"contract" lets ``a * b + c`` be rounded once. Infinity and NaN pass through as in NumPy, and
the order of sums, and with it their bits, stays as written.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet.functional import CHUNK
from tinynet.jit import jit

__all__ = [
    "adam",
    "bias_relu",
    "bias_relu_backward",
    "compress_rows",
    "row_starts",
    "softmax_crossentropy_step",
    "sort_by_column",
    "sparse_dense",
    "sparse_kernel_gradient",
]

_TINY = 1e-30


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


@jit(fastmath={"contract"})
def sparse_dense(
    indptr: Any, indices: Any, values: Any, rows: Any, kernel: Any, bias: Any, out: Any
) -> Any:
    for i in range(rows.shape[0]):
        y = out[i]
        k, end = indptr[rows[i]], indptr[rows[i] + 1]
        for u in range(y.shape[0]):
            y[u] = bias[u]
        while k + 8 <= end:
            a, b, c, d = values[k], values[k + 1], values[k + 2], values[k + 3]
            e, f, g, h = values[k + 4], values[k + 5], values[k + 6], values[k + 7]
            w0, w1 = kernel[indices[k]], kernel[indices[k + 1]]
            w2, w3 = kernel[indices[k + 2]], kernel[indices[k + 3]]
            w4, w5 = kernel[indices[k + 4]], kernel[indices[k + 5]]
            w6, w7 = kernel[indices[k + 6]], kernel[indices[k + 7]]
            for u in range(y.shape[0]):
                four = a * w0[u] + b * w1[u] + c * w2[u] + d * w3[u]
                y[u] = y[u] + four + e * w4[u] + f * w5[u] + g * w6[u] + h * w7[u]
            k += 8
        while k < end:
            a, w0 = values[k], kernel[indices[k]]
            for u in range(y.shape[0]):
                y[u] += a * w0[u]
            k += 1
    return out


@jit()
def sort_by_column(
    indptr: Any, indices: Any, values: Any, rows: Any, table: Any, samples: Any, entries: Any
) -> None:
    for chunk in range(table.shape[0]):
        begins = table[chunk]
        begins[:] = 0
        first = chunk * CHUNK
        last = min(first + CHUNK, rows.shape[0])
        for i in range(first, last):
            for k in range(indptr[rows[i]], indptr[rows[i] + 1]):
                begins[indices[k]] += 1
        total = 0
        for p in range(begins.shape[0]):
            total += begins[p]
            begins[p] = total
        # Backwards, so that each column's end moves down to its beginning.
        for i in range(last - 1, first - 1, -1):
            for k in range(indptr[rows[i]], indptr[rows[i] + 1]):
                place = begins[indices[k]] - 1
                begins[indices[k]] = place
                samples[chunk, place] = i
                entries[chunk, place] = values[k]


@jit(fastmath={"contract"})
def sparse_kernel_gradient(table: Any, samples: Any, entries: Any, d_y: Any, out: Any) -> Any:
    zero = out.dtype.type(0)
    for chunk in range(table.shape[0]):
        sample, entry = samples[chunk], entries[chunk]
        for p in range(out.shape[0]):
            g = out[p]
            k, end = table[chunk, p], table[chunk, p + 1]
            if chunk == 0:
                for u in range(g.shape[0]):
                    g[u] = zero
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
    return out


@jit()
def bias_relu(z: Any, bias: Any) -> Any:
    zero = z.dtype.type(0)
    for i in range(z.shape[0]):
        for u in range(z.shape[1]):
            sum_ = z[i, u] + bias[u]
            z[i, u] = zero if sum_ < zero else sum_  # NaN stays NaN
    return z


@jit()
def bias_relu_backward(d_y: Any, y: Any, d_bias: Any) -> Any:
    zero = d_y.dtype.type(0)
    d_bias[:] = zero
    for i in range(d_y.shape[0]):
        for u in range(d_y.shape[1]):
            d = d_y[i, u] if y[i, u] > zero else d_y[i, u] * zero
            d_y[i, u] = d
            d_bias[u] += d
    return d_y


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
    zero, tiny, step, small = number(0), number(_TINY), number(alpha), number(epsilon)
    rate_1, rate_2 = number(one_minus_beta_1), number(one_minus_beta_2)
    for i in range(w.size):
        m_i = m[i] + (d_w[i] - m[i]) * rate_1
        v_i = v[i] + (d_w[i] * d_w[i] - v[i]) * rate_2
        m_i = zero if abs(m_i) < tiny else m_i
        v_i = zero if v_i < tiny else v_i
        m[i] = m_i
        v[i] = v_i
        if largest is not None:
            v_i = np.maximum(largest[i], v_i)
            largest[i] = v_i
        w[i] -= m_i * step / (math.sqrt(v_i) + small)
