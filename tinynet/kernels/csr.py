"""The first layer of a network on a CSR batch: only non-zero inputs are multiplied.

The non-zeros of row i are the elements ``indptr[i]`` to ``indptr[i + 1]`` of `values` (float32);
`indices` (uint16) has their columns, in ascending order. A batch is the rows ``first`` to
``first + n`` of the data or, if the address `rows` is not 0, of this permutation of the rows.

In the forward pass, `linear_csr` adds ``values[k] * w[indices[k], :]`` to the pre-activations of
one example; a register tile holds up to 8 vectors of 16 units. The kernel matrix is divided into
blocks of rows that stay in the L1 cache while all examples use them::

                  w: units ->                  Each half of the inputs has separate sums,
    first half    +-------+-------+            `out` and `rest`: part 0 computes the first,
                  | block | next  |            part 1 the second; a single part computes
                  +-------+ tile  |            both.
                  | block |       |
    second half   +-------+       |
                  | ...   |       |
                  +-------+-------+

In the backward pass, the batch is first sorted by column (`sort_csr`). Each chunk of `size`
examples has a counter for each column, and memory for the pairs of all its examples::

    counts: d int32 | pairs: d x size x (example: int32, value: float32) | next chunk ...

Row p of the kernel's gradient is then a sum over the pairs of column p; parts are ranges of rows.
All sums are bit-identical to those of the dense products (`matrix_product`), which also add zeros.
"""

import numpy as np
from llvmlite import ir

from tinynet.config import COMPILES
from tinynet.kernels import simd
from tinynet.kernels.matrix_product import LONGEST
from tinynet.kernels.numba_functions import emitted, flush, inlined, inner
from tinynet.kernels.row import kernel, vector
from tinynet.kernels.simd import (
    AVX512,
    F32,
    I32,
    I64,
    LANES,
    int32_at,
    int64_at,
    prefetch,
    put_int32,
    put_int64,
    uint16_at,
)

_MOST = 8 if AVX512 else 4  # vectors of a register tile
# In the forward pass, wider tiles read longer contiguous segments of the kernel's rows.
_MOST_FORWARD = 2 * _MOST if AVX512 else _MOST
_CACHED = 1 << (16 if AVX512 else 15)  # bytes of a block of kernel rows, for the L1 cache
#: Maximum number of examples of a chunk.
CHUNK = 128


def csr_room_size(n: int) -> int:
    """Return the bytes of scratch memory that each part of `linear_csr` needs for n examples."""
    return (16 * n + 63) // 64 * 64


def sorted_size(n: int, d: int) -> int:
    """Return the bytes of a sorted batch of `n` examples with `d` columns."""
    size = min(n, CHUNK)
    return -(-n // max(size, 1)) * chunk_bytes(d, size)


@inner
def counts_bytes(d):
    """Return the bytes of a chunk's counters."""
    return (4 * d + 63) // 64 * 64


@inner
def column_bytes(size):
    """Return the bytes from one column's pairs to the next: an odd number of cache lines.

    Most columns use only their first line. With an even distance, these lines would share a few
    sets of the cache.
    """
    return (8 * size) | 64


@inner
def chunk_bytes(d, size):
    """Return the bytes of a chunk of `size` examples."""
    return counts_bytes(d) + d * column_bytes(size)


@inner
def group(width, most=_MOST):
    """Return the number of units of the next tile: at most `most` vectors, halved to fit."""
    vectors = most
    while width <= LANES * (vectors - 1):
        vectors //= 2
    return min(width, vectors * LANES)


if not COMPILES:

    @np.errstate(all="ignore")
    def _add_some(indices, values, place, end, w, ldw, init, width, out):
        k, stop = int64_at(place, 0), int64_at(place, 1)
        columns = vector(int(indices), stop, np.uint16)
        last = k + int(np.searchsorted(columns[k:], end))
        factors = vector(int(values), stop, np.float32)[k:last]
        rows = simd.view(w, int(columns[last - 1]) + 1 if last > k else 0, width, ldw)
        sums = factors @ rows[columns[k:last]]
        if init:
            sums += vector(int(init), width, np.float32)
        vector(int(out), width, np.float32)[:] = sums
        put_int64(place, 0, last)

    @np.errstate(all="ignore")
    def _gather(counts, pairs, stride, chunks, d_y, ldw, width, out):
        sums = vector(int(out), width, np.float32)
        sums[:] = 0
        for chunk in range(chunks):
            count, place = int32_at(counts + chunk * stride, 0), int(pairs + chunk * stride)
            examples = vector(place, 2 * count, np.int32)[::2]
            factors = vector(place, 2 * count, np.float32)[1::2]
            rows = simd.view(d_y, int(examples.max()) + 1 if count else 0, width, ldw)
            sums += factors @ rows[examples]

else:

    def _groups(b, width, build, most=_MOST):
        """Emit ``build(masks, offsets)`` for each possible number of vectors of a tile.

        A partial last vector is masked. On AVX2, where masks are slow, it overlaps with the
        previous vector instead, so that some units are computed twice.
        """

        def choose(vectors):
            masks, offsets = [None] * vectors, [I64(64 * p) for p in range(vectors)]
            last = simd.below(b, width, LANES * (vectors - 1))
            if AVX512:
                masks[-1] = last
            elif vectors > 1:
                offsets[-1] = b.sub(b.mul(width, I64(4)), I64(64))
            if AVX512 and vectors == 1:
                build(masks, offsets)
                return
            least = LANES * (vectors - 1) + 1 if vectors > 1 else LANES
            with b.if_else(b.icmp_signed(">=", width, I64(least))) as (yes, no):
                with yes:
                    build(masks, offsets)
                with no:
                    if vectors > 1:
                        choose(vectors // 2)
                    else:
                        build([last], offsets)

        choose(most)

    @emitted()
    def _add_some(b, indices, values, place, end, w, ldw, init, width, out):
        """Compute ``out = init + sum`` over an example's next non-zeros, in columns before `end`.

        `place` holds two int64: the index of the next non-zero, which is updated, and the end of
        the row. Without `init` (0), sums start at 0.
        """
        first, stop = (b.load(simd.at(b, b.add(place, I64(k)), I64)) for k in (0, 8))
        begun = b.icmp_signed("!=", init, I64(0))
        start, begun = b.select(begun, init, out), simd.splat(b, begun)
        zero = simd.splat(b, F32(0))

        def build(masks, offsets):
            def load(address):
                places = zip(offsets, masks, strict=True)
                return [simd.load(b, b.add(address, at), mask) for at, mask in places]

            sums = [b.select(begun, x, zero) for x in load(start)]
            before = b.block
            test, more, body, done = (
                b.append_basic_block(name) for name in ("test", "more", "body", "done")
            )
            b.branch(test)
            b.position_at_end(test)
            k, old = b.phi(I64), [b.phi(simd.VECTOR) for _ in sums]
            b.cbranch(b.icmp_signed("<", k, stop), more, done)
            b.position_at_end(more)
            column = simd.at(b, b.add(indices, b.mul(k, I64(2))), ir.IntType(16))
            column = b.zext(b.load(column), I64)
            b.cbranch(b.icmp_signed("<", column, end), body, done)
            b.position_at_end(body)
            x = simd.broadcast(b, b.add(values, b.mul(k, I64(4))))
            line = load(b.add(w, b.mul(ldw, column)))
            new = [simd.fma(b, x, y, z) for y, z in zip(line, old, strict=True)]
            following = b.add(k, I64(1))
            simd.as_is(b.module, b.branch(test))
            for phi, begin, value in zip([k, *old], [first, *sums], [following, *new], strict=True):
                phi.add_incoming(begin, before)
                phi.add_incoming(value, body)
            b.position_at_end(done)
            for x, at, mask in zip(old, offsets, masks, strict=True):
                simd.store(b, x, b.add(out, at), mask)
            b.store(k, simd.at(b, place, I64))

        _groups(b, width, build, _MOST_FORWARD)

    def gather(b, counts, pairs, stride, chunks, d_y, ldw, width, finish):
        """Emit a row of the gradient: the sum of the pairs' values times rows of `d_y`.

        Counters and pairs of successive chunks are `stride` bytes apart. ``finish(sums, masks,
        offsets)`` emits the use of the sums.
        """
        zero = simd.splat(b, simd.F32(0))

        def build(masks, offsets):
            def add_chunk(chunk, sums):
                offset = b.mul(chunk, stride)
                first = b.add(pairs, offset)
                count = b.zext(b.load(simd.at(b, b.add(counts, offset), I32)), I64)

                def add(k, sums):
                    pair = b.add(first, b.mul(k, I64(8)))
                    example = b.zext(b.load(simd.at(b, pair, I32)), I64)
                    x = simd.broadcast(b, b.add(pair, I64(4)))
                    line = b.add(d_y, b.mul(ldw, example))
                    places = zip(sums, offsets, masks, strict=True)
                    return [
                        simd.fma(b, x, simd.load(b, b.add(line, at), mask), z)
                        for z, at, mask in places
                    ]

                return simd.loop(b, I64(0), count, 1, sums, add, False)

            sums = simd.loop(b, I64(0), chunks, 1, [zero] * len(masks), add_chunk, False)
            finish([b.fadd(x, zero) for x in sums], masks, offsets)

        _groups(b, width, build)

    @emitted()
    def _gather(b, counts, pairs, stride, chunks, d_y, ldw, width, out):
        """Compute one row of the gradient."""

        def finish(sums, masks, offsets):
            for x, at, mask in zip(sums, offsets, masks, strict=True):
                simd.store(b, x, b.add(out, at), mask)

        gather(b, counts, pairs, stride, chunks, d_y, ldw, width, finish)


@inlined
def _bounds(indptr, rows, i):
    """Return the range of a row's non-zeros."""
    row = i if rows == 0 else int64_at(rows, i)
    return int64_at(indptr, row), int64_at(indptr, row + 1)


@kernel
def linear_csr(part, parts, step, indptr, indices, values, rows, w, bias, out, rest, d, u, room,
               room_size):  # fmt: skip
    """Compute the two halves of ``x @ w + bias``: `out`, and `rest` without the bias.

    With two parts, each computes one half. Without a bias (address 0), sums start at 0.
    """
    first, n, half = int64_at(step, 1), int64_at(step, 2), d if d <= LONGEST else d // 2
    places = room + part * room_size  # per example: next non-zero, end of row (int64)
    for i in range(n):
        begin, end = _bounds(indptr, rows, first + i)
        put_int64(places, 2 * i + 1, end)
        for k in range(begin, end, LANES):
            prefetch(values + 4 * k)
            prefetch(indices + 2 * k)
    j = 0
    while j < u:
        width = group(u - j, _MOST_FORWARD)
        if not AVX512 and width < LANES and j > 0:
            j, width = u - LANES, LANES  # recompute columns to avoid a partial vector
        for h in range(2):
            if h % parts != part:
                continue
            low, high, to = (half, d, rest + 4 * j) if h else (0, half, out + 4 * j)
            init = bias + 4 * j if h == 0 and bias != 0 else 0
            if parts > 1 or h == 0:  # a single part continues where the first half ended
                # Binary search for each example's first non-zero in this half.
                for i in range(n):
                    begin, end = _bounds(indptr, rows, first + i)
                    while begin < end and low > 0:
                        middle = (begin + end) // 2
                        if uint16_at(indices, middle) < low:
                            begin = middle + 1
                        else:
                            end = middle
                    put_int64(places, 2 * i, begin)
            # Blocks of kernel rows that stay in the L1 cache while all examples use them.
            blocks = max(((high - low) * 4 * width + _CACHED - 1) // _CACHED, 1)
            for block in range(blocks):
                stop = low + (high - low) * (block + 1) // blocks
                for i in range(n):
                    place = to + 4 * u * i
                    _add_some(indices, values, places + 16 * i, stop, w + 4 * j, 4 * u,
                              place if block else init, width, place)  # fmt: skip
        j += width


@kernel
def add_halves(part, parts, count, per, out, rest, u, rectifies):
    """Compute ``out = (out + rest) + 0``, followed by ReLU if `rectifies` is 1."""
    size = int64_at(count, 0) * per * u
    begin, end = size * part // parts, size * (part + 1) // parts
    y = vector(int(out + 4 * begin), end - begin, np.float32)
    x = vector(int(rest + 4 * begin), end - begin, np.float32)
    zero = np.float32(0)
    least = zero if rectifies else np.float32(-np.inf)
    for i in range(end - begin):
        z = (y[i] + x[i]) + zero
        y[i] = least if z < least else z  # NaN stays NaN


@kernel
def sort_csr(part, parts, step, indptr, indices, values, rows, pairs, d, size):
    """Sort the batch by column, in chunks of `size` examples; a part sorts whole chunks."""
    first, n = int64_at(step, 1), int64_at(step, 2)
    for chunk in range(part, (n + size - 1) // size, parts):
        counts = pairs + chunk * chunk_bytes(d, size)
        found, stride = counts + counts_bytes(d), column_bytes(size)
        for p in range(d):
            put_int32(counts, p, 0)
        for i in range(chunk * size, min(n, chunk * size + size)):
            begin, end = _bounds(indptr, rows, first + i)
            for k in range(begin, end):
                p = uint16_at(indices, k)
                number = int32_at(counts, p)
                # One store writes the pair: the example is the lower half, the value the upper.
                put_int64(found + p * stride, number, int32_at(values, k) << 32 | i)
                put_int32(counts, p, number + 1)


@inner
def gradient_rows(pairs, n, d, size, begin, end, d_y, u, out):
    """Compute rows `begin` to `end` of the kernel's gradient, ``x.T @ d_y``."""
    chunks, stride, found = (n + size - 1) // size, chunk_bytes(d, size), pairs + counts_bytes(d)
    j = 0
    while j < u:
        width = group(u - j)
        if not AVX512 and width < LANES and j > 0:
            j, width = u - LANES, LANES  # recompute columns to avoid a partial vector
        for p in range(begin, end):
            place = out + 4 * (u * (p - begin) + j)
            pair = found + column_bytes(size) * p
            _gather(pairs + 4 * p, pair, stride, chunks, d_y + 4 * j, 4 * u, width, place)
        j += width


@kernel
def kernel_gradient_csr(part, parts, count, pairs, d_y, out, d, u, size):
    """Compute ``out = x.T @ d_y`` for the sorted batch; parts are ranges of the rows of `out`."""
    begin, end = d * part // parts, d * (part + 1) // parts
    flushing = flush(True)
    gradient_rows(pairs, int64_at(count, 0), d, size, begin, end, d_y, u, out + 4 * u * begin)
    flush(flushing)
