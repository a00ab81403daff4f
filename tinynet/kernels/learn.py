"""The gradient of a dense layer's kernel, fused with the optimizer update, block by block.

The gradient of a block of rows is computed into scratch memory that stays in the cache, and the
same rows of the kernel are updated immediately. The complete gradient is never stored::

       kernel, moments: d x u                     gradient (scratch memory)
    part 0  | block of rows |  <-- update --  | block of part 0 |  <-- x.T @ d_y
            | next block    |                 | block of part 1 |
    part 1  | block of rows |
            | ...           |

`learn` and `learn_csr` support any update, which is a row of the kernel `chain`: each part has a
copy of that row, which reads the gradient of the part. `learn_csr_adam` implements Adam, with
optional weight decay and L2 penalty, while the gradient is in SIMD registers.
"""

import functools

import numpy as np
from llvmlite import ir

from tinynet.config import COMPILES
from tinynet.kernels import csr, simd
from tinynet.kernels.chain import TINY
from tinynet.kernels.csr import chunk_bytes, column_bytes, counts_bytes, gradient_rows, group
from tinynet.kernels.kernel_function import FIRST, WORDS
from tinynet.kernels.matrix_product import KERNEL
from tinynet.kernels.matrix_product import room_size as product_room_size
from tinynet.kernels.numba_functions import emitted, flush, inner
from tinynet.kernels.row import call_at, kernel, vector
from tinynet.kernels.simd import AVX512, I32, I64, LANES, int64_at, put_int64

_CACHED = 1 << 17  # bytes of a gradient block, unless its rows are larger
# Minimum rows of a block, up to twice _CACHED bytes, because `product` copies d_y for each block.
_ROWS = 64


def gradient_size(u: int) -> int:
    """Return the bytes of scratch memory that each part needs for the gradient of a block."""
    return max(_CACHED, min(4 * _ROWS * u, 2 * _CACHED), (48 * u + 63) // 64 * 64)


def room_size() -> int:
    """Return the bytes of other scratch memory that each part of `learn` needs."""
    return 8 * WORDS + product_room_size()


if not COMPILES:

    @np.errstate(all="ignore")
    def _gather_adam(counts, pairs, stride, chunks, d_y, ldw, width, w, m, v, *numbers):
        g = np.zeros(width, np.float32)
        csr._gather(counts, pairs, stride, chunks, d_y, ldw, width, g.ctypes.data)
        w, m, v = (vector(int(a), width, np.float32) for a in (w, m, v))
        numbers = [vector(int(a), 1, np.float32)[0] if a else None for a in numbers]
        alpha, rate_1, rate_2, epsilon, decay, rate, penalty = numbers
        if penalty is not None:
            g += penalty * w
        if decay is not None:
            w -= w * decay * rate
        m += (g - m) * rate_1
        v += (g * g - v) * rate_2
        m[np.abs(m) < TINY] = 0
        v[v < TINY] = 0
        w -= (m * alpha) / (np.sqrt(v) + epsilon)

else:

    def _build_adam(b, gradients, masks, offsets, w, m, v, alpha, rate_1, rate_2, epsilon, decay,
                    rate, penalty):  # fmt: skip
        """Emit `functional.adam` for some vectors of the gradient."""
        is_decayed, is_penalized = (b.icmp_signed("!=", a, I64(0)) for a in (decay, penalty))
        places = [(b.add(w, offset), mask) for offset, mask in zip(offsets, masks, strict=True)]

        def penalized(gradients):
            factor = simd.load(b, penalty)
            return [
                b.fadd(d, b.fmul(factor, simd.load(b, *place)))
                for d, place in zip(gradients, places, strict=True)
            ]

        gradients = simd.when(b, is_penalized, gradients, penalized)
        with b.if_then(is_decayed):
            factors = [simd.load(b, a) for a in (decay, rate)]
            for place in places:
                x = simd.load(b, *place)
                simd.store(b, b.fsub(x, functools.reduce(b.fmul, factors, x)), *place)
        zero, tiny = simd.splat(b, simd.F32(0)), simd.splat(b, simd.F32(TINY))
        numbers = [simd.load(b, a) for a in (rate_1, rate_2)]
        means, squares, moving = [], [], None
        for p, (d, mask) in enumerate(zip(gradients, masks, strict=True)):
            for old, target, place, rate in zip(
                (means, squares), (d, b.fmul(d, d)), (m, v), numbers, strict=True
            ):
                place = b.add(place, offsets[p])
                x = simd.load(b, place, mask)
                x = b.fadd(x, b.fmul(b.fsub(target, x), rate))
                size = x
                if old is means:
                    size = simd.call(b, "llvm.fabs.v16f32", simd.VECTOR, x)
                x = b.select(b.fcmp_ordered("<", size, tiny), zero, x)
                simd.store(b, x, place, mask)
                old.append(x)
            bits = b.bitcast(means[p], ir.VectorType(I32, LANES))
            moving = bits if moving is None else b.or_(moving, bits)
        # If all first moments are 0, as for pixels at the border, the weights do not change. Then
        # skip the divisions and square roots, which take most of the time.
        step, small = (b.load(simd.at(b, a, simd.F32)) for a in (alpha, epsilon))
        infinite = simd.F32(float("inf"))
        size = simd.call(b, "llvm.fabs.f32", simd.F32, step)
        finite = b.and_(
            b.fcmp_ordered("<", size, infinite), b.fcmp_ordered(">", small, simd.F32(0))
        )
        still = b.icmp_signed("==", moving, ir.VectorType(I32, LANES)([0] * LANES))
        still = b.icmp_signed("==", b.bitcast(still, ir.IntType(16)), ir.IntType(16)(-1))
        with b.if_then(b.not_(b.and_(still, finite))):
            step, small = (simd.load(b, a) for a in (alpha, epsilon))
            for p, place in enumerate(places):
                root = simd.call(b, "llvm.sqrt.v16f32", simd.VECTOR, squares[p])
                change = b.fdiv(b.fmul(means[p], step), b.fadd(root, small))
                simd.store(b, b.fsub(simd.load(b, *place), change), *place)

    @emitted()
    def _gather_adam(b, counts, pairs, stride, chunks, d_y, ldw, width, w, m, v,
                     alpha, rate_1, rate_2, epsilon, decay, rate, penalty):  # fmt: skip
        """Update one row of the kernel while its gradient is in registers."""

        def finish(sums, masks, offsets):
            numbers = alpha, rate_1, rate_2, epsilon, decay, rate, penalty
            _build_adam(b, sums, masks, offsets, w, m, v, *numbers)

        csr.gather(b, counts, pairs, stride, chunks, d_y, ldw, width, finish)


@inner
def _blocks(d, u, gradient_size, parts):
    """Return the number of blocks of rows per part."""
    rows = max(gradient_size // (4 * u), 1)
    return max(((d + parts - 1) // parts + rows - 1) // rows, 1)


@inner
def _gradient(product, count, per, x, d_y, d, u, block, blocks, out, room):
    """Compute one block of rows of ``x.T @ d_y`` with the kernel at `product`."""
    put_int64(room, 0, product)
    to, scratch = out - 4 * u * (d * block // blocks), room + 8 * WORDS
    # A row for `product` is written to scratch memory. As part `block` of `blocks`, `product`
    # writes to that part's rows of the complete gradient. `to` is the address of the gradient
    # for which these rows are at `out`.
    words = KERNEL, count, per, x, d_y, 0, to, d, u, scratch, 0
    for i in range(len(words)):
        put_int64(room, FIRST + i, words[i])
    call_at(product, room, block, blocks)


@inner
def _update(update, subrow, offset, length, begin, end):
    """Update the elements from `begin` to `end` with the kernel at `update`."""
    put_int64(subrow, offset, begin)
    put_int64(subrow, length, end - begin)
    call_at(update, subrow, 0, 1)


@kernel
def learn(part, parts, count, per, x, d_y, d, u, product, update, subrows, offset, length,
          gradient, gradient_size, room, room_size):  # fmt: skip
    """Update a kernel by the gradient ``x.T @ d_y``.

    `product` and `update` are addresses of kernels. Part p calls `update` with the row at
    ``subrows + p * 256``, in which it sets the words with the indices `offset` and `length`. The
    gradient of its block is at ``gradient + p * gradient_size``. All sizes are in bytes.
    """
    gradient, room = gradient + part * gradient_size, room + part * room_size
    each = _blocks(d, u, gradient_size, parts)
    blocks = each * parts
    for block in range(part * each, (part + 1) * each):
        _gradient(product, count, per, x, d_y, d, u, block, blocks, gradient, room)
        begin, end = d * block // blocks * u, d * (block + 1) // blocks * u
        _update(update, subrows + part * 8 * WORDS, offset, length, begin, end)


@kernel
def learn_csr(part, parts, count, pairs, d_y, d, u, size, update, subrows, offset, length,
              gradient, gradient_size):  # fmt: skip
    """Update a kernel by the gradient ``x.T @ d_y`` of a batch sorted by `sort_csr`."""
    gradient, n = gradient + part * gradient_size, int64_at(count, 0)
    each = _blocks(d, u, gradient_size, parts)
    blocks = each * parts
    for block in range(part * each, (part + 1) * each):
        begin, end = d * block // blocks, d * (block + 1) // blocks
        flushing = flush(True)
        gradient_rows(pairs, n, d, size, begin, end, d_y, u, gradient)
        flush(flushing)
        _update(update, subrows + part * 8 * WORDS, offset, length, begin * u, end * u)


@kernel
def learn_csr_adam(part, parts, count, pairs, d_y, d, u, size, w, m, v, alpha, rate_1, rate_2,
                   epsilon, decay, rate, penalty):  # fmt: skip
    """Update a kernel by Adam, with the gradient of a sorted CSR batch in registers.

    The words from `alpha` on are addresses of scalars, stored as 16 equal lanes. Those of the
    weight decay, ``w -= w * decay * rate``, and of the gradient of an L2 penalty, ``penalty * w``,
    may be 0 (none). On AVX2, `learn_csr` is faster unless the units are a multiple of 16.
    """
    begin, end = d * part // parts, d * (part + 1) // parts
    chunks, stride = (int64_at(count, 0) + size - 1) // size, chunk_bytes(d, size)
    found = pairs + counts_bytes(d)
    flushing = flush(True)
    j = 0
    while j < u:
        width = group(u - j)
        if not AVX512 and width > LANES:  # no overlap: update each weight once
            width = group(width // LANES * LANES)
        for p in range(begin, end):
            at, pair = 4 * (u * p + j), found + column_bytes(size) * p
            _gather_adam(
                pairs + 4 * p, pair, stride, chunks, d_y + 4 * j, 4 * u, width,
                w + at, m + at, v + at, alpha, rate_1, rate_2, epsilon, decay, rate, penalty,
            )  # fmt: skip
        j += width
    flush(flushing)
