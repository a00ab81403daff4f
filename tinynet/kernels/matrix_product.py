"""The three matrix products of a dense layer, for AVX-512, AVX2 and other processors, without BLAS.

All three are the same routine, ``out = a @ b + bias``, which computes `out` in register tiles::

                     panel of b: 16, 32 or 64
                     columns, at most DEEP rows
                    +--------+
                    | k = 0  |      For every k, a tile loads row k of the panel and
                    |  ...   |      broadcasts one element of each row of a, and adds
                    +--------+      their products to sums that stay in registers.
     rows of a      +--------+
    +------------+  |  tile  |      6 rows (or 4) x 4 vectors of 16 lanes; with AVX2
    | k = 0 ...  |  |        |      1 vector, which takes two registers. Narrower tiles
    +------------+  +--------+      compute the remaining columns.
                    |  next  |
                    +--------+

A panel is packed, i.e. copied to contiguous memory, if its rows are far apart and several rows of
`a` are multiplied by it. For ``b.T`` panels are transposed, and for ``a.T`` rows of `a`: contiguous
elements are faster to read than elements on as many pages of memory.

Every element of `out` is the same chain of fused multiply-adds in any tile: it starts with the bias
or 0, adds the products in the order of k, and adds 0 at the end, which turns -0 into 0. If a layer
has more than `LONGEST` inputs, its output is the sum of two such chains, one for each half of the
inputs: for a CSR batch (`csr`), two threads compute one half each. So results are bit-identical for
all tiles, numbers of threads and input formats.

The parts of a product are ranges of its panels, or of its rows if there are few panels. Part p uses
the scratch memory at ``room + p * room_size``::

    | panel: DEEP x 64 | sums of the second half: CHUNK x 64, or rows of a.T |
"""

from typing import Any

import numpy as np
from llvmlite import ir

from tinynet.config import COMPILES
from tinynet.kernels import simd
from tinynet.kernels.numba_functions import emitted, flush
from tinynet.kernels.row import kernel
from tinynet.kernels.simd import (
    AVX512,
    F32,
    FMA,
    I32,
    I64,
    LANES,
    int32_at,
    int64_at,
    prefetch,
    put_int32,
)

#: Maximum number of inputs whose products are summed in a single chain.
LONGEST = 256
_VECTORS = 4 if AVX512 else 1  # vectors per row of a tile
_TALL, _LOW = (6, 4) if FMA else (2, 2)  # rows per tile
# Rows of a tile of one vector: with fewer independent sums, each fused multiply-add would wait for
# the previous one.
_NARROW = 16 if AVX512 else _TALL
_SINGLE = 4  # vectors of a tile of one row
_WIDE, _WIDEST = _VECTORS * LANES, _SINGLE * LANES
_DEEP = 128 if AVX512 else 256  # rows of a panel
_CHUNK = 512  # rows of `a` that are multiplied by a panel
_SPAN, _TRANSPOSED = 512, 1 << 16  # rows and elements of `a` transposed at a time
# Packing a panel saves time if more than _FEW rows of `a` are multiplied by it, or more than _FEWER
# if the rows of the panel are at least _APART bytes apart.
_FEW, _FEWER, _APART = 64, 24, 2048
#: Modes of the kernel `product`.
FORWARD, INPUTS, KERNEL = range(3)


def room_size() -> int:
    """Return the bytes of scratch memory that each part of a product needs."""
    return 4 * (_WIDEST * _DEEP + max(_WIDEST * _CHUNK, _TRANSPOSED))


if not COMPILES:

    def _tile_of(height, vectors, full=False):
        @np.errstate(all="ignore")
        def tile(a, down, along, b, ldb, depth, init, init_down, out, out_down, rows, width, add,
                 rectifies, gate):  # fmt: skip
            x, w = simd.view(a, rows, depth, down, along), simd.view(b, depth, width, ldb)
            y = simd.view(out, rows, width, out_down)
            z = x @ w
            if init:
                z += simd.view(init, rows, width, init_down)
            z = ((y if add else 0) + z) + np.float32(0)
            if rectifies:
                z = np.where(z < 0, np.float32(0), z)
            if gate:
                z = z * (simd.view(gate, rows, width, out_down) > 0)
            y[:] = z

        return tile

    def _copy(source, source_down, rows, width, to, to_down, padded):
        if padded:
            simd.view(to, rows, -(-width // LANES) * LANES, to_down)[:] = 0
        simd.view(to, rows, width, to_down)[:] = simd.view(source, rows, width, source_down)

    def _transpose(source, source_down, rows, width, to, to_down):
        simd.view(to, rows, width, to_down)[:] = simd.view(source, width, rows, source_down).T

else:

    def _tile_of(height, vectors, full=False):
        """Return the function that computes ``out = init + a @ b``, or adds it to `out`.

        Addresses and strides are in bytes; `init` and `gate` may be 0 (none). Missing rows of a
        partial tile repeat the first row and store the same values. A `full` tile needs no masks,
        which take as long as fused multiply-adds on Intel processors.
        """

        @emitted()
        def tile(b, a, down, along, right, ldb, depth, init, init_down, out, out_down, rows, width,
                 add, rectifies, gate):  # fmt: skip
            masked = (_MASKS or height == 1) and not full  # the panel of a single row is not packed
            cells = [(r, p) for r in range(height) for p in range(vectors)]
            row = [
                b.select(b.icmp_signed("<", I64(r), rows), I64(r), I64(0)) for r in range(height)
            ]
            masks = [None if full else simd.below(b, width, p * LANES) for p in range(vectors)]
            lefts = [b.add(a, b.mul(down, r)) for r in row]
            zero = simd.splat(b, F32(0))
            starts = [b.add(init, b.mul(init_down, r)) for r in row]
            sums = simd.when(
                b,
                b.icmp_signed("!=", init, I64(0)),
                [zero] * len(cells),
                lambda _: [simd.load(b, simd.shifted(b, starts[r], p), masks[p]) for r, p in cells],
            )

            def multiply(k, sums):
                line, offset = b.add(right, b.mul(ldb, k)), b.mul(along, k)
                w = [
                    simd.load(b, simd.shifted(b, line, p), masks[p] if masked else None)
                    for p in range(vectors)
                ]
                x = [simd.broadcast(b, b.add(left, offset)) for left in lefts]
                return [simd.fma(b, x[r], w[p], s) for (r, p), s in zip(cells, sums, strict=True)]

            sums = simd.loop(b, I64(0), depth, 1, sums, multiply, False)
            sums = [b.fadd(x, zero) for x in sums]
            offsets = [b.add(b.mul(out_down, row[r]), I64(64 * p)) for r, p in cells]

            def added(z, offset, mask):
                """Add the sums of the first half of the inputs."""
                return b.fadd(b.fadd(simd.load(b, b.add(out, offset), mask), z), zero)

            def rectified(z, *_):
                return b.select(b.fcmp_ordered("<", z, zero), zero, z)  # NaN stays NaN

            def gated(z, offset, mask):
                """Apply the gradient of ReLU, given the activations."""
                y = simd.load(b, b.add(gate, offset), mask)
                return b.select(b.fcmp_ordered(">", y, zero), z, b.fmul(z, zero))

            where = [(offset, masks[p]) for offset, (_, p) in zip(offsets, cells, strict=True)]
            for condition, change in ((add, added), (rectifies, rectified), (gate, gated)):
                sums = simd.when(
                    b,
                    b.icmp_signed("!=", condition, I64(0)),
                    sums,
                    lambda sums, change=change: [
                        change(z, *w) for z, w in zip(sums, where, strict=True)
                    ],
                )

            def put(masks):
                for c, (_, p) in enumerate(cells):
                    simd.store(b, sums[c], b.add(out, offsets[c]), masks[p])

            if AVX512:
                put(masks)
                return
            # Masked stores are slow without AVX-512.
            with b.if_else(b.icmp_signed(">=", width, I64(LANES * vectors))) as (whole, partial):
                with whole:
                    put([None] * vectors)
                with partial:
                    put(masks)

        return tile

    @emitted()
    def _copy(b, source, source_down, rows, width, to, to_down, padded):
        """Copy a matrix; if `padded`, fill the last vector of each row with 0."""
        whole = b.and_(width, I64(-LANES))
        mask = simd.below(b, b.sub(width, whole))
        rest = b.mul(whole, I64(4))
        everything = simd.splat(b, b.icmp_signed("!=", padded, I64(0)))
        written = b.or_(mask, everything)

        def copy_row(i, _):
            x, y = b.add(source, b.mul(source_down, i)), b.add(to, b.mul(to_down, i))

            def copy_vector(j, _):
                at = b.mul(j, I64(4))
                simd.store(b, simd.load(b, b.add(x, at)), b.add(y, at))
                return []

            simd.loop(b, I64(0), whole, LANES, [], copy_vector, False)
            with b.if_then(b.icmp_signed("<", whole, width)):
                simd.store(b, simd.load(b, b.add(x, rest), mask), b.add(y, rest), written)
            return []

        simd.loop(b, I64(0), rows, 1, [], copy_row, False)

    # A block of 16 x 16 is transposed by exchanging elements, pairs, halves of vectors and quarters
    # between two rows: distance of the rows, and source lanes of the two new rows.
    _quarters = range(0, LANES, 4)
    _EXCHANGES = (
        (1, *([q + LANES * s + k for q in _quarters for k in half for s in (0, 1)]
              for half in ((0, 1), (2, 3)))),
        (2, *([q + LANES * s + k for q in _quarters for s in (0, 1) for k in half]
              for half in ((0, 1), (2, 3)))),
        (4, *([LANES * s + k for s in (0, 1) for k in range(half, half + 8)] for half in (0, 8))),
        (8, *([LANES * s + q + k for s in (0, 1) for q in quarters for k in range(4)]
              for quarters in ((0, 8), (4, 12)))),
    )  # fmt: skip

    @emitted()
    def _transpose(b, source, source_down, rows, width, to, to_down):
        """Copy ``to[:rows, :width] = source[:width, :rows].T``, in blocks of 16 x 16.

        Memory beyond `width` and `rows`, up to the end of the last block, may be overwritten.
        """

        def block(i, j):
            mask = simd.below(b, b.sub(rows, i))
            x = []
            for r in range(LANES):
                c = b.add(j, I64(r))
                c = b.select(b.icmp_signed("<", c, width), c, j)
                place = b.add(b.add(source, b.mul(source_down, c)), b.mul(i, I64(4)))
                x.append(simd.load(b, place, mask))
            for distance, low, high in _EXCHANGES:
                kind = ir.VectorType(I32, LANES)
                for r in (r for r in range(LANES) if not r & distance):
                    pair = x[r], x[r | distance]
                    x[r] = b.shuffle_vector(*pair, kind(low))
                    x[r | distance] = b.shuffle_vector(*pair, kind(high))
            swapped = 0, 2, 1, 3
            for r in range(LANES):
                k = 4 * swapped[r // 4] + swapped[r % 4]
                line = b.add(to, b.mul(to_down, b.add(i, I64(k))))
                simd.store(b, x[r], b.add(line, b.mul(j, I64(4))))
            return []

        def along_rows(j, _):
            return simd.loop(b, I64(0), rows, LANES, [], lambda i, _: block(i, j), False)

        simd.loop(b, I64(0), width, LANES, [], along_rows, False)


_MASKS = AVX512  # a partial panel need not be packed
_tile_tall, _tile_low = _tile_of(_TALL, _VECTORS, AVX512), _tile_of(_LOW, _VECTORS, AVX512)
_tile_half = _tile_of(_TALL, 2, AVX512)
_tile_narrow, _tile_single = _tile_of(_NARROW, 1), _tile_of(1, _SINGLE)


@kernel
def product(part, parts, which, count, per, a, b, extra, out, d, u, room, room_size):
    """Compute one of the products of a layer with `d` inputs and `u` units.

    FORWARD: ``out = a @ b + extra``; `extra` is the bias or 0. ReLU is applied if 8 is added to
    `which`. INPUTS: ``out = a @ b.T``; if `extra` is not 0, it is the address of activations, and
    `out` is 0 where they are not positive. KERNEL: ``out = a.T @ b``, with flush-to-zero as in the
    optimizer update that follows.
    """
    # count: address of the number of examples; per: rows per example; a, b, extra, out: addresses
    # of float32 arrays; room: scratch memory, `room_size` bytes for each part. All addresses and
    # strides are in bytes: `down` from one row of `a` to the next, `along` from one column of `a`
    # to the next, `ldb` from one row of `b` to the next.
    panel = room + part * room_size
    rest = panel + 4 * _WIDEST * _DEEP
    rectifies, which = which >> 3, which & 7
    n = int64_at(count, 0) * per
    columns, depth, down, along, ldb, gate = u, d, 4 * d, 4, 4 * u, 0
    half = d if d <= LONGEST else d // 2  # end of the first chain's inputs
    flip = which == INPUTS and u != 1  # a single column is contiguous already
    # A product with a single column is computed as a row, which takes fewer instructions.
    turned = u == 1 and (which == KERNEL or (which == FORWARD and n > 2))
    if which == INPUTS:
        columns, depth, down, half, gate, extra = d, u, 4 * u, u, extra, 0
    elif which == KERNEL:
        n, depth, down, along, half, extra = d, n, 4, 4 * d, n, 0
    if turned:
        flip, columns, n, down, along, ldb = which == FORWARD, n, 1, 0, 4, 4 * d
        a, b = b, a
    panels = (columns + _WIDE - 1) // _WIDE
    first, last, begin, end = 0, columns, 0, n
    if turned:
        first, last = columns * part // parts, columns * (part + 1) // parts
    elif which != KERNEL and (panels % parts == 0 or panels > 4 * parts):
        first = panels * part // parts * _WIDE
        last = min(panels * (part + 1) // parts * _WIDE, columns)
    else:
        begin, end = n * part // parts, n * (part + 1) // parts
    out_down = 4 * columns
    flushing = flush(which == KERNEL)
    chunk, x_down, x_along = _CHUNK, down, along
    spans, padded = 1, 0
    if which == KERNEL and columns > LANES and end - begin >= LANES and depth > 0:
        spans = (depth + _SPAN - 1) // _SPAN
        padded = ((depth + spans - 1) // spans + LANES - 1) // LANES * LANES
        chunk, x_down, x_along = min(_TRANSPOSED // padded // LANES * LANES, chunk), 4 * padded, 4
    chunks = (end - begin + chunk - 1) // chunk
    chunk = (end - begin + chunks - 1) // max(chunks, 1)  # chunks of about equal size
    for at in range(chunks * spans):
        top, span = begin + at // spans * chunk, at % spans
        from_k, to_k = depth * span // spans, depth * (span + 1) // spans
        rows = min(chunk, end - top)
        above = a + top * down
        if padded:
            _transpose(above + from_k * along, along, rows, to_k - from_k, rest, x_down)
            above = rest - from_k * x_along
        j = first
        while j < last:
            width = last - j
            single = rows < 3
            if not _MASKS and spans == 1 and not single and width < LANES <= width + j - first:
                j, width = last - LANES, LANES  # recompute columns to avoid a partial vector
            width = min(width, _WIDEST if single else _WIDE)
            if AVX512 and not single and width < _WIDE:
                width = min(width, 2 * LANES if width >= 2 * LANES else LANES)
            narrow, halved = AVX512 and width <= LANES, AVX512 and width == 2 * LANES
            line = 4 * _WIDEST if single else 4 * _WIDE
            far = ldb > 4 * _WIDE and rows > (_FEWER if ldb >= _APART else _FEW)
            copied = not single and (far or (not _MASKS and width < _WIDE))
            y, k = out + top * out_down + 4 * j, from_k
            while True:
                # Next inputs: segments of about equal size, which do not cross the middle `half`.
                start, stop = (from_k, min(half, to_k)) if k < half else (half, to_k)
                blocks = (stop - start + _DEEP - 1) // _DEEP
                size = max(min((stop - start + blocks - 1) // max(blocks, 1), stop - k), 0)
                if flip:
                    right, right_down = panel, line
                    _transpose(b + j * ldb + 4 * k, ldb, size, width, panel, line)
                elif copied:
                    right, right_down = panel, line
                    _copy(b + k * ldb + 4 * j, ldb, size, width, panel, line, 1)
                else:
                    right, right_down = b + k * ldb + 4 * j, ldb
                # Initial values of the sums (none if `init` is 0), and the destination.
                second, final = k > 0 and k >= half, k + size >= depth
                init, init_down, to, to_down = y, out_down, y, out_down
                if second and k > half:
                    init, init_down = rest, 4 * _WIDEST
                elif k == 0 or second:
                    init, init_down = extra + 4 * j if k == 0 and extra != 0 else 0, 0
                    if init != 0 and turned:
                        init = rest
                        for i in range(width):
                            put_int32(rest, i, int32_at(extra, 0))
                if second and not final:
                    to, to_down = rest, 4 * _WIDEST
                add, floor = 1 if second and final else 0, rectifies if final else 0
                door = gate + top * out_down + 4 * j if final and gate != 0 else 0
                x, left = above + k * x_along, rows
                while left > 0:
                    if single:
                        done = 1
                        _tile_single(x, x_down, x_along, right, right_down, size, init, init_down,
                                     to, to_down, done, width, add, floor, door)  # fmt: skip
                    elif narrow:
                        done = min(left, _NARROW)
                        _tile_narrow(x, x_down, x_along, right, right_down, size, init, init_down,
                                     to, to_down, done, width, add, floor, door)  # fmt: skip
                    elif halved:
                        done = min(left, _TALL)
                        _tile_half(x, x_down, x_along, right, right_down, size, init, init_down, to,
                                   to_down, done, width, add, floor, door)  # fmt: skip
                    elif left <= _LOW or left == 2 * _LOW or left == 2 * _LOW - 1:
                        done = min(left, _LOW)
                        _tile_low(x, x_down, x_along, right, right_down, size, init, init_down, to,
                                  to_down, done, width, add, floor, door)  # fmt: skip
                    else:
                        done = min(left, _TALL)
                        _tile_tall(x, x_down, x_along, right, right_down, size, init, init_down, to,
                                   to_down, done, width, add, floor, door)  # fmt: skip
                    left -= done
                    x += done * x_down
                    init += done * init_down
                    to += done * to_down
                    if door != 0:
                        door += done * out_down
                k += size
                if k >= to_k:
                    break
            j += width
    flush(flushing)


@kernel
def take_rows(part, parts, step, rows, x, out, width):
    """Copy the batch's rows of `width` elements: ``out[:n] = x[rows[first : first + n]]``.

    `rows` is the address of int64 row indices, or 0 for the contiguous rows from `first` on.
    """
    first, n = int64_at(step, 1), int64_at(step, 2)
    begin, end, size = n * part // parts, n * (part + 1) // parts, 4 * width
    if rows == 0:
        _copy(x + (first + begin) * size, size, end - begin, width, out + begin * size, size, 0)
        return
    ahead = 2 if size > 512 else 8
    for i in range(begin, end):
        # The rows are scattered in memory, so they are prefetched some iterations ahead.
        following = x + int64_at(rows, first + min(i + ahead, end - 1)) * size
        for j in range(0, size, 64):
            prefetch(following + j)
        _copy(x + int64_at(rows, first + i) * size, size, 1, width, out + i * size, size, 0)


class _Product:
    """A matrix product with its own word names; its rows call the kernel `product`."""

    def __init__(self, which: int, **names: str) -> None:
        self.which, self.names = which, names
        self.words = [*names, "count", "per", "out", "d", "u", "room", "room_size"]

    def row(self, rectifies: int = 0, **words: int) -> np.ndarray[Any, Any]:
        """Return a row that calls the product."""
        if words.keys() != set(self.words):
            raise TypeError(f"words must be {self.words}. Received: {[*words]}")
        named = {self.names.get(name, name): word for name, word in words.items()}
        return product.row(which=self.which + 8 * rectifies, **{"extra": 0, **named})

    def __call__(self, row: np.ndarray[Any, Any], part: int = 0, parts: int = 1) -> None:
        """Call the product once, for tests and experiments."""
        product(row, part, parts)


#: Compute ``out = x @ w + bias``; the words are count, per, x, w, bias (or 0), out, d, u, room and
#: room_size.
linear = _Product(FORWARD, x="a", w="b", bias="extra")
#: Compute ``out = d_y @ w.T``; unless `y` is 0, `out` is 0 where the activations `y` are not
#: positive.
linear_dx = _Product(INPUTS, d_y="a", w="b", y="extra")
#: Compute ``out = x.T @ d_y``.
kernel_gradient = _Product(KERNEL, x="a", d_y="b")
