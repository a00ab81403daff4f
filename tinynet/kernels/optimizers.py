"""Adam, alone and together with the gradient of a dense layer's kernel."""

import math

import numpy as np

from tinynet.jit import jit
from tinynet.kernels.eager import UNITS, flush, inner, matrix_at, sums
from tinynet.kernels.products import product
from tinynet.kernels.sparse import in_units, kernel_gradient
from tinynet.kernels.vectors import TALL, weighted_sum

_TINY = 1e-30  # what Adam's running means must not fall below, or else are 0
_BLOCK = 16  # so many rows of a gradient stay in the cache


@inner
def _mean(old, new, rate, tiny, zero):
    """Return Adam's running mean, rounded as in NumPy; 0 before it slows processors down."""
    mean = old + (new - old) * rate
    return zero if abs(mean) < tiny else mean


@jit()
def adam(w, d_w, m, v, alpha, one_minus_beta_1, one_minus_beta_2, epsilon, largest=None):
    number = w.dtype.type
    step, small = number(alpha), number(epsilon)
    rate_1, rate_2 = number(one_minus_beta_1), number(one_minus_beta_2)
    tiny, zero = number(_TINY), number(0)
    flushing = flush(True)  # the square of a gradient may be denormal, which is slow
    for i in range(w.size):
        m_i = _mean(m[i], d_w[i], rate_1, tiny, zero)
        v_i = _mean(v[i], d_w[i] * d_w[i], rate_2, tiny, zero)
        m[i] = m_i
        v[i] = v_i
        if largest is not None:
            v_i = np.maximum(largest[i], v_i)
            largest[i] = v_i
        w[i] -= m_i * step / (math.sqrt(v_i) + small)
    flush(flushing)


@inner
def adam_step_size(learning_rate, beta_1, beta_2, step, number):
    """As in `functional`; the constants may come as any type of float."""
    one, t = number(1), number(step)
    root = np.sqrt(one - number(beta_2) ** t)
    return number(learning_rate) * root / (one - number(beta_1) ** t)


# A layer's gradient and its step of Adam, in one go: the gradient never leaves the cache.


@sums
def _learn_units(
    count, sample, entry, size, begin, end, d_y, u, d_w, w, m, v, step, rate_1, rate_2, small
):
    """`_gather` and `adam`, a row at a time, which leaves no gradient."""
    number = w.dtype.type
    tiny, zero = number(_TINY), number(0)
    if u < 0 or size < 0 or begin < 0:
        return
    for p in range(begin, end):
        row = np.uint64(p)
        weighted_sum(entry, sample, p * size, count[row], d_y, u, False, d_w, 0, 0)
        for j in range(UNITS):
            d = d_w[0, j]
            m_j = _mean(m[row, u + j], d, rate_1, tiny, zero)
            v_j = _mean(v[row, u + j], d * d, rate_2, tiny, zero)
            m[row, u + j] = m_j
            v[row, u + j] = v_j
            w[row, u + j] -= m_j * step / (math.sqrt(v_j) + small)


@inner
def learn_sparse(counts, samples, entries, d_y, d_w, w, m, v, numbers, first, last):
    """Change some rows of a kernel."""
    inputs, units = counts.shape[1], d_y.shape[1]
    step, rate_1, rate_2, small = numbers[0], numbers[1], numbers[2], numbers[3]
    if counts.shape[0] == 1 and in_units(units):
        number, row = w.dtype.type, matrix_at(d_w, first * units, 1, units)
        size = samples.shape[1] // max(inputs, 1)
        kernel, means = matrix_at(w, 0, inputs, units), matrix_at(m, 0, inputs, units)
        squares = matrix_at(v, 0, inputs, units)
        flushing = flush(True)
        for u in range(0, units, UNITS):
            _learn_units(
                counts[0], samples[0], entries[0], size, first, last, d_y, u, row, kernel, means,
                squares, number(step), number(rate_1), number(rate_2), number(small),
            )  # fmt: skip
        flush(flushing)
        return
    for begin in range(first, last, _BLOCK):
        end = min(begin + _BLOCK, last)
        a, z = begin * units, end * units
        gradient = d_w[first * units : first * units + z - a]
        block = matrix_at(gradient, 0, end - begin, units)
        kernel_gradient(counts, samples, entries, d_y, block, begin, end)
        adam(w[a:z], gradient, m[a:z], v[a:z], step, rate_1, rate_2, small, None)


@inner
def learn_dense(x, d_y, d_w, w, m, v, numbers, part, parts):
    """Change one of so many parts of a kernel, some rows."""
    inputs, units = x.shape[1], d_y.shape[1]
    first, last = inputs * part // parts, inputs * (part + 1) // parts
    rows = max((1 << 16) // units // TALL * TALL, 128)  # for so many d_y is copied once
    flip = parts < 0  # False, but not as a plain one: for that Numba compiles once more
    for begin in range(first, last, rows):
        end = min(begin + rows, last)
        a, z = begin * units, end * units
        gradient = d_w[first * units : first * units + z - a]
        block = matrix_at(gradient, 0, end - begin, units)
        product(x.T[::1, ::1], begin, d_y, flip, np.int64(0), units, block)
        adam(w[a:z], gradient, m[a:z], v[a:z], numbers[0], numbers[1], numbers[2], numbers[3], None)
