"""Loops that LLVM makes no good vectors of: written as its instructions, beside what they say."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from tinynet.kernels.eager import COMPILES, UNITS

#: So many numbers are one vector; a processor with shorter ones takes several.
LANES = 16
#: So many columns and rows of a dense product are computed at once; their sums fill the registers.
WIDE, TALL = 64, 6
#: And of one with no more than `LANES` columns.
NARROW_TALL = 8

_WORD, _HALF_WORD, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)
_WHOLE = types.int64
_EACH = [*range(LANES)]
_ROUNDED_ONCE = ("contract",)


class _Vectors:
    """The instructions for vectors of one type of number."""

    def __init__(self, context, builder):
        self.context, self.builder = context, builder

    def box(self, kind, array, layouts="C"):
        """Take an array apart; one that is not contiguous would be read wrongly."""
        if kind.layout not in layouts:
            raise TypingError(f"Vectors are made of contiguous arrays. Received: {kind}")
        return self.context.make_array(kind)(self.context, self.builder, array)

    def item(self, kind, array, i):
        """Load array[i]."""
        return self.builder.load(self.builder.gep(self.box(kind, array).data, [i]))

    def at(self, kind, array, i, j=None):
        """Point to the vectors that begin at array[i] or array[i, j]."""
        box, build = self.box(kind, array), self.builder
        if j is not None:
            i = build.add(build.mul(i, cgutils.unpack_tuple(build, box.shape)[1]), j)
        vector = ir.VectorType(box.data.type.pointee, LANES)
        return build.bitcast(build.gep(box.data, [i]), vector.as_pointer())

    def load(self, place, part=0):
        """Load the vector that stands so many behind a place."""
        return self.builder.load(self.builder.gep(place, [_WORD(part)]), align=1)

    def store(self, x, place, part=0):
        """Store a vector there."""
        self.builder.store(x, self.builder.gep(place, [_WORD(part)]), align=1)

    def repeated(self, x):
        """Make a vector of one number."""
        nothing = ir.VectorType(x.type, LANES)(ir.Undefined)
        one = self.builder.insert_element(nothing, x, _HALF_WORD(0))
        every = ir.VectorType(_HALF_WORD, LANES)([0] * LANES)
        return self.builder.shuffle_vector(one, nothing, every)

    def converted(self, x, kind):
        """Make a number or a vector one of another type."""
        if x.type == kind:
            return x
        is_longer = str(getattr(kind, "element", kind)) == "double"
        return (self.builder.fpext if is_longer else self.builder.fptrunc)(x, kind)

    def below(self, width, part):
        """Choose those numbers of a row's vector that stand in its first so many columns."""
        columns = ir.VectorType(_WORD, LANES)([part * LANES + lane for lane in _EACH])
        return self.builder.icmp_signed("<", columns, self.repeated(width))

    def load_some(self, place, part, chosen):
        """Load the chosen numbers of a vector, and 0 for the others."""
        place, vector = self.builder.gep(place, [_WORD(part)]), place.type.pointee
        return self._call("masked.load", vector, place, _HALF_WORD(1), chosen, vector(None))

    def store_some(self, x, place, part, chosen):
        """Store the chosen numbers of a vector."""
        place = self.builder.gep(place, [_WORD(part)])
        self._call("masked.store", ir.VoidType(), x, place, _HALF_WORD(1), chosen)

    def compress(self, x, chosen):
        """Move the chosen numbers of a vector to its begin."""
        return self._call("experimental.vector.compress", x.type, x, chosen, x)

    def _call(self, name, result, *arguments):
        vector = arguments[0].type if isinstance(result, ir.VoidType) else result
        letter = {"float": "f32", "double": "f64", "i32": "i32"}[str(vector.element)]
        kind = ir.FunctionType(result, [argument.type for argument in arguments])
        name = f"llvm.{name}.v{LANES}{letter}" + (".p0" if "masked" in name else "")
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.call(function, arguments)

    def sums(self, vector, count):
        """Make so many vectors of sums, which are 0; they stay in the registers."""
        return [cgutils.alloca_once_value(self.builder, vector(None)) for _ in range(count)]

    def add_product(self, a, b, total):
        """Add a * b to a vector of sums."""
        product = self.builder.fmul(a, b, flags=_ROUNDED_ONCE)
        sum_ = self.builder.fadd(self.builder.load(total), product, flags=_ROUNDED_ONCE)
        self.builder.store(sum_, total)


if not COMPILES:

    def put_columns(x, i, j, indices, k):
        found = np.flatnonzero(x[i, j : j + LANES])
        indices[k : k + found.size] = j + found
        return found.size

    def weighted_sum(weights, numbers, first, count, x, u, keep, out, i, v):
        total = out[i, v : v + UNITS]
        if not keep:
            total[:] = 0
        for k in range(first, first + count):
            total += weights[k] * x[numbers[k], u : u + UNITS]

    def copy_rows(x, i, j, width, rows, out):
        out[:rows, :width] = x[i : i + rows, j : j + width]
        out[:rows, width:] = 0

    def _tile_of(rows, parts):
        def tile(a, i, j, count, panel, depth, width, keep, out, u, v):
            product = a[i : i + count, j : j + depth] @ panel[:depth, :width]
            if keep:
                product += out[u : u + count, v : v + width]
            out[u : u + count, v : v + width] = product

        return tile

else:

    @intrinsic
    def put_columns(typing_context, x, i, j, indices, k):
        """Write to indices[k:] which of `LANES` columns from j on are not 0 in x[i].

        Return how many that are; the rest of indices[k : k + LANES] is overwritten, too.
        """

        def generate(context, builder, signature, arguments):
            vectors = _Vectors(context, builder)
            values = vectors.load(vectors.at(x, *arguments[:3]))
            is_float = isinstance(x.dtype, types.Float)
            differ = builder.fcmp_unordered if is_float else builder.icmp_unsigned
            found = differ("!=", values, values.type(None))
            first = vectors.repeated(builder.trunc(arguments[2], _HALF_WORD))
            columns = vectors.compress(builder.add(first, first.type(_EACH)), found)
            place = vectors.at(indices, *arguments[3:])
            if place.type.pointee != columns.type:
                columns = builder.trunc(columns, place.type.pointee)
            vectors.store(columns, place)
            return builder.zext(builder.ctpop(builder.bitcast(found, ir.IntType(LANES))), _WORD)

        return types.int64(x, types.int64, types.int64, indices, types.int64), generate

    @intrinsic
    def weighted_sum(typing_context, weights, numbers, first, count, x, u, keep, out, i, v):
        """out[i, v : v + UNITS] = the sum of weights[k] * x[numbers[k], u : u + UNITS].

        That is for `count` k's from the first on, and added to what is there if that is to `keep`.
        """

        def generate(context, builder, signature, arguments):
            weight, number, begin, n, rows, column, kept, *to = arguments
            vectors = _Vectors(context, builder)
            place = vectors.at(out, *to)
            sums = vectors.sums(place.type.pointee, UNITS // LANES)
            with builder.if_then(kept):
                for part, total in enumerate(sums):
                    builder.store(vectors.load(place, part), total)
            with cgutils.for_range(builder, n) as loop:
                k = builder.add(begin, loop.index)
                a = vectors.item(weights, weight, k)
                a = vectors.repeated(vectors.converted(a, place.type.pointee.element))
                row = builder.zext(vectors.item(numbers, number, k), _WORD)
                row = vectors.at(x, rows, row, column)
                for part, total in enumerate(sums):
                    b = vectors.converted(vectors.load(row, part), place.type.pointee)
                    vectors.add_product(a, b, total)
            for part, total in enumerate(sums):
                vectors.store(builder.load(total), place, part)
            return context.get_dummy_value()

        signature = types.void(
            weights, numbers, _WHOLE, _WHOLE, x, _WHOLE, types.boolean, out, _WHOLE, _WHOLE
        )
        return signature, generate

    @intrinsic
    def copy_rows(typing_context, x, i, j, width, rows, out):
        """out[:rows] = x[i : i + rows, j : j + width], and 0 beside it, up to `WIDE`."""

        def generate(context, builder, signature, arguments):
            array, first, column, count, n, to = arguments
            vectors, parts = _Vectors(context, builder), range(WIDE // LANES)
            chosen = [vectors.below(count, part) for part in parts]
            with cgutils.for_range(builder, n) as loop:
                row = vectors.at(x, array, builder.add(first, loop.index), column)
                place = vectors.at(out, to, loop.index, _WORD(0))
                for part in parts:
                    values = vectors.load_some(row, part, chosen[part])
                    vectors.store(vectors.converted(values, place.type.pointee), place, part)
            return context.get_dummy_value()

        return types.void(x, _WHOLE, _WHOLE, _WHOLE, _WHOLE, out), generate

    def _tile_of(rows, parts):
        """Make the instruction for so many rows of a product, and so many vectors of columns."""

        @intrinsic
        def tile(typing_context, a, i, j, count, panel, depth, width, keep, out, u, v):
            """out[u : u + count, v : v + width] = a[i : i + count, j : j + depth] @ panel.

            That is the panel's first columns; it is added to what is there if that is to `keep`.
            """

            def generate(context, builder, signature, arguments):
                left, row, column, n, right, length, columns, kept, to, *first = arguments
                vectors = _Vectors(context, builder)
                place = vectors.at(out, to, *first)
                vector = place.type.pointee
                sums = [vectors.sums(vector, parts) for _ in range(rows)]
                chosen = [vectors.below(columns, part) for part in range(parts)]
                places = [
                    vectors.at(out, to, builder.add(first[0], _WORD(r)), first[1])
                    for r in range(rows)
                ]
                exists = [builder.icmp_signed(">", n, _WORD(r)) for r in range(rows)]
                box = vectors.box(a, left, "ACF")
                base = builder.bitcast(box.data, _BYTE.as_pointer())
                down, aside = cgutils.unpack_tuple(builder, box.strides)
                begin = builder.add(builder.mul(row, down), builder.mul(column, aside))
                # Behind the last row the first one is taken again.
                offsets = [
                    builder.add(
                        begin, builder.select(exists[r], builder.mul(down, _WORD(r)), _WORD(0))
                    )
                    for r in range(rows)
                ]
                with cgutils.for_range(builder, length) as loop:
                    line = vectors.at(panel, right, loop.index, _WORD(0))
                    b = [vectors.load(line, part) for part in range(parts)]
                    along = builder.mul(loop.index, aside)
                    for r in range(rows):
                        item = builder.gep(base, [builder.add(offsets[r], along)])
                        item = builder.load(builder.bitcast(item, box.data.type))
                        x = vectors.repeated(vectors.converted(item, vector.element))
                        for part, total in enumerate(sums[r]):
                            vectors.add_product(x, b[part], total)
                with builder.if_then(kept):
                    for r in range(rows):
                        with builder.if_then(exists[r]):
                            for part, total in enumerate(sums[r]):
                                x = vectors.load_some(places[r], part, chosen[part])
                                builder.store(builder.fadd(x, builder.load(total)), total)
                for r in range(rows):
                    with builder.if_then(exists[r]):
                        for part, total in enumerate(sums[r]):
                            vectors.store_some(builder.load(total), places[r], part, chosen[part])
                return context.get_dummy_value()

            signature = types.void(
                a, _WHOLE, _WHOLE, _WHOLE, panel, _WHOLE, _WHOLE, types.boolean, out, _WHOLE, _WHOLE
            )
            return signature, generate

        return tile


tile, narrow_tile = _tile_of(TALL, WIDE // LANES), _tile_of(NARROW_TALL, 1)
