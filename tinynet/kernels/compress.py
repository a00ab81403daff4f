"""Compression of data: rows of numbers, most of them zero, become rows of non-zeros (CSR).

    x  (n, width)            indptr  (n + 1)     indices, values
    0 5 0 0                  0                   1 | 5
    7 0 8 0     -->          1           -->     0 | 7    2 | 8
                             3

Parts are ranges of rows. `kind` says what x holds: 0 uint8, 1 float32, 2 float64.
"""

import numpy as np
from llvmlite import ir

from tinynet.kernels import simd
from tinynet.kernels.compiled import COMPILES, inlined, intrinsic, types
from tinynet.kernels.row import kernel, vector
from tinynet.kernels.simd import AVX512, I32, I64, LANES

_KINDS = {np.dtype(np.uint8): 0, np.dtype(np.float32): 1, np.dtype(np.float64): 2}


@inlined
def _count(x):
    """Return how many numbers of a row are not zero."""
    count = 0
    for j in range(x.shape[0]):
        count += x[j] != 0
    return count


if COMPILES and AVX512:

    @intrinsic
    def _put_columns(typing_context, x, i, indices, k):
        """Write to indices[k:] which of the 16 columns from i on are not 0; return how many.

        The rest of indices[k : k + 16] is overwritten, too.
        """

        def generate(context, b, signature, arguments):
            place, first, out, at = arguments
            data = context.make_array(x)(context, b, place).data
            kind = ir.VectorType(data.type.pointee, LANES)
            values = b.load(b.bitcast(b.gep(data, [first]), kind.as_pointer()), align=1)
            is_float = isinstance(x.dtype, types.Float)
            differ = b.fcmp_unordered if is_float else b.icmp_unsigned
            found = differ("!=", values, values.type(None))
            columns = b.add(
                simd.splat(b, b.trunc(first, I32)), ir.VectorType(I32, LANES)([*range(LANES)])
            )
            name = "llvm.experimental.vector.compress.v16i32"
            columns = simd.call(b, name, columns.type, columns, found, columns)
            columns = b.trunc(columns, ir.VectorType(ir.IntType(16), LANES))
            to = context.make_array(indices)(context, b, out).data
            b.store(columns, b.bitcast(b.gep(to, [at]), columns.type.as_pointer()), align=1)
            return b.zext(b.ctpop(b.bitcast(found, ir.IntType(LANES))), I64)

        return types.int64(x, types.int64, indices, types.int64), generate

    @inlined
    def _compress(x, indices, values):
        """Write the columns and values of the non-zeros of a row."""
        width, k, j = x.shape[0], 0, 0
        # A whole vector is written where the row has room for it.
        while j + LANES <= width and k + LANES <= indices.shape[0]:
            k += _put_columns(x, j, indices, k)
            j += LANES
        for i in range(j, width):
            if x[i] != 0:
                indices[k] = i
                k += 1
        for i in range(np.uint64(k)):
            values[i] = x[np.uint64(indices[i])]

else:

    @inlined
    def _compress(x, indices, values):
        """Write the columns and values of the non-zeros of a row, and what comes last once more."""
        k = np.uint64(0)
        for j in range(x.shape[0]):
            # Written always, kept if it is not zero: there is no branch to guess wrong.
            if k < indices.shape[0]:
                indices[k] = j
                values[k] = x[j]
            k += np.uint64(x[j] != 0)


@kernel
def count_non_zeros(part, parts, x, n, width, kind, counts):
    """Write the number of non-zeros of each row, int64."""
    out = vector(counts, n, np.int64)
    for i in range(n * part // parts, n * (part + 1) // parts):
        if kind == 0:
            out[i] = _count(vector(x + width * i, width, np.uint8))
        elif kind == 1:
            out[i] = _count(vector(x + 4 * width * i, width, np.float32))
        else:
            out[i] = _count(vector(x + 8 * width * i, width, np.float64))


@kernel
def compress_rows(part, parts, x, n, width, kind, indptr, indices, values):
    """Write the columns (uint16) and values (float32) of each row's non-zeros to its place."""
    starts = vector(indptr, n + 1, np.int64)
    for i in range(n * part // parts, n * (part + 1) // parts):
        columns = vector(
            indices + 2 * starts[i], starts[n * (part + 1) // parts] - starts[i], np.uint16
        )
        out = vector(values + 4 * starts[i], starts[i + 1] - starts[i], np.float32)
        if kind == 0:
            _compress(vector(x + width * i, width, np.uint8), columns, out)
        elif kind == 1:
            _compress(vector(x + 4 * width * i, width, np.float32), columns, out)
        else:
            _compress(vector(x + 8 * width * i, width, np.float64), columns, out)


def kind_of(dtype: np.dtype[np.generic]) -> int | None:
    """Return the word `kind` for a data type, None for others."""
    return _KINDS.get(dtype)
