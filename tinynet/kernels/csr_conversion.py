"""Conversion of dense rows to CSR: the non-zeros are counted first, then written.

The rows are contiguous and have at least 64 columns of uint8 (or bool), float32 or float64, of
`kind` bytes each. 64 columns at a time are compared with 0; the result is a bit mask, whose bits
are extracted from the lowest to the highest::

    row      0 7 0 0 5 ... | ... | the last 64 columns      (columns seen before are shifted out)
    mask     ...10010
    indices  1, 4, ...                                      uint16
    values   7.0, 5.0, ...                                  float32

Parts are ranges of rows.
"""

import numpy as np
from llvmlite import ir

from tinynet.config import COMPILES
from tinynet.kernels import simd
from tinynet.kernels.numba_functions import emitted, inlined
from tinynet.kernels.row import kernel, vector
from tinynet.kernels.simd import I64, int64_at, put_int64, put_uint16

#: Dtypes that are read without conversion, by size in bytes.
KINDS = {1: np.dtype(np.uint8), 4: np.dtype(np.float32), 8: np.dtype(np.float64)}
_BITS, _LANES = 64, 16

if not COMPILES:

    def _masks(kind):
        def mask(address, drop):
            found = np.flatnonzero(vector(int(address), _BITS, KINDS[kind]))
            return sum(1 << int(bit) for bit in found) >> drop

        return mask

    def _conversion(kind):
        @np.errstate(over="ignore")
        def convert(source, to):
            vector(int(to), 1, np.float32)[0] = vector(int(source), 1, KINDS[kind])[0]

        return convert

    def _first(mask):
        return (mask & -mask).bit_length() - 1

    def _ones(mask):
        return mask.bit_count()

else:

    def _type(kind):
        return {1: ir.IntType(8), 4: ir.FloatType(), 8: ir.DoubleType()}[kind]

    def _masks(kind):
        """Return an intrinsic that compares 64 elements with 0, without the first `drop` bits."""

        @emitted("int64")
        def mask(b, address, drop):
            total, some = I64(0), ir.VectorType(_type(kind), _LANES)
            compare = b.icmp_unsigned if kind == 1 else b.fcmp_unordered  # NaN is not 0
            for first in range(0, _BITS, _LANES):
                place = simd.at(b, b.add(address, I64(first * kind)), some)
                found = compare("!=", b.load(place, align=1), some(None))
                bits = b.zext(b.bitcast(found, ir.IntType(_LANES)), I64)
                total = b.or_(total, b.shl(bits, I64(first)))
            return b.lshr(total, drop)

        return mask

    def _conversion(kind):
        """Return an intrinsic that copies an element as float32."""

        @emitted()
        def convert(b, source, to):
            x = b.load(simd.at(b, source, _type(kind)), align=1)
            if kind != 4:
                x = (b.uitofp if kind == 1 else b.fptrunc)(x, simd.F32)
            b.store(x, simd.at(b, to, simd.F32), align=4)

        return convert

    @emitted("int64")
    def _first(b, mask):
        """Return the index of the lowest bit of a mask."""
        return simd.call(b, "llvm.cttz.i64", I64, mask, ir.IntType(1)(1))

    @emitted("int64")
    def _ones(b, mask):
        """Return the number of bits of a mask."""
        return simd.call(b, "llvm.ctpop.i64", I64, mask)


_mask_of_1, _mask_of_4, _mask_of_8 = map(_masks, KINDS)
_convert_1, _convert_4, _convert_8 = map(_conversion, KINDS)


@inlined
def _mask(row, j, width, kind):
    """Return the mask of the non-zeros among (at most) 64 columns from j on."""
    first = min(j, width - _BITS)
    place, drop = row + kind * first, j - first
    if kind == 1:
        return _mask_of_1(place, drop)
    return _mask_of_4(place, drop) if kind == 4 else _mask_of_8(place, drop)


@kernel
def count_non_zeros(part, parts, n, x, kind, width, counts):
    """Write the number of non-zeros of each of n rows to `counts`, int64."""
    for i in range(n * part // parts, n * (part + 1) // parts):
        count = 0
        for j in range(0, width, _BITS):
            count += _ones(_mask(x + i * width * kind, j, width, kind))
        put_int64(counts, i, count)


@kernel
def compress_rows(part, parts, n, x, kind, width, indptr, indices, values):
    """Write the non-zeros of n rows; those of row i start at index ``indptr[i]``."""
    for i in range(n * part // parts, n * (part + 1) // parts):
        row, k = x + i * width * kind, int64_at(indptr, i)
        for j in range(0, width, _BITS):
            mask = _mask(row, j, width, kind)
            while mask != 0:
                column = j + _first(mask)
                put_uint16(indices, k, column)
                source, to = row + kind * column, values + 4 * k
                if kind == 1:
                    _convert_1(source, to)
                elif kind == 4:
                    _convert_4(source, to)
                else:
                    _convert_8(source, to)
                mask &= mask - 1
                k += 1
