"""One kernel for all elementwise formulas: it interprets a list of operations, block by block.

The formula's space has R rows and C columns. It is cut into blocks that fit the first-level cache;
for each block, every operation of the list is executed in order, so that intermediate results never
leave the cache. Part p of `parts` processes a range of whole rows.

    mode ROWS, C = 20                                     a temporary: rows of whole vectors
    row 0   | 16 numbers      | 4 |  block 0, part 0      | 16 numbers      | 4 + 12 unused   |
    row 1   | 16 numbers      | 4 |                       | 16 numbers      | 4 + 12 unused   |
    row 2   | 16 numbers      | 4 |  block 1, part 0
    ...                                                   one number per row: 16 equal numbers
    row R-1 | 16 numbers      | 4 |  last part            | 16 numbers      |

Where C is a multiple of 16, arrays are read and written in place, otherwise by way of a temporary.
In mode FLAT the space is a vector: its rows are vectors of 16 numbers, and the rest, if any, is a
last row of fewer columns.

An operation is ``[number, to, a, b, c]``; the last four are indices of slots. A slot is
``[kind, address, temporary, fixed]``. Each slot has a temporary (slots of kind `TEMP` may share
one) unless it is a `SCALAR` or an `INDEX`. A slot is found by its place: the address of the block's
first vector, the step to the next row, the step to the next vector. The steps of a scalar are 0, so
that one loop per operation broadcasts.

Scratch memory of a part: `SLOTS` places, then the temporaries.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinynet.kernels import elementary
from tinynet.kernels.compiled import COMPILES, external, inner, intrinsic, types
from tinynet.kernels.compiled import flush as flush_denormals
from tinynet.kernels.elementary import LANES, absolute, truth, where
from tinynet.kernels.row import kernel, vector

FLAT, ROWS = 0, 1
#: Kinds of slots: a temporary; 16 equal numbers; a full array that is read, or written, or both;
#: a number per column, or per row (read, written, class labels); the columns' indices; the sum of
#: each column; the sum of all; a temporary with a number per row.
TEMP, SCALAR, IN, OUT, COL, ROW, ROW_OUT, LABEL, INDEX, SUM_COL, SUM_ALL, ROW_TEMP, INOUT = range(
    13
)
#: Largest number of slots.
SLOTS = 64
#: Numbers of a block, unless a single row has more.
BLOCK = 1024
#: Bytes of a vector, a place and a slot or an operation's words.
VECTOR, PLACE, SLOT, LINE = 64, 32, 32, 40


class Operation(NamedTuple):
    """An operation of the interpreter.

    Attributes
    ----------
    number : int
        Number in the code.
    function : callable
        The same operation of NumPy arrays.
    formula : callable or None
        The same operation of `elementary.Lanes`; None for those that are not elementwise.
    operands : int
        Number of operands.
    """

    number: int
    function: Callable[..., Any]
    formula: Callable[..., Any] | None
    operands: int


def _larger(a, b):
    return where(a > b, a, b)


def _smaller(a, b):
    return where(a < b, a, b)


def _maximum(a, b):
    return where(a != a, a, _larger(a, b))  # as NumPy: NaN, then the larger, then b


def _minimum(a, b):
    return where(a != a, a, _smaller(a, b))


def _sign(a):
    return where(a != a, a, truth(a > 0.0) - truth(a < 0.0))


def _erfc(x):
    return np.asarray(np.frompyfunc(math.erfc, 1, 1)(x), np.float32)


def _sum_col(total, a):
    return total + a


# Steps of optimizers: the new weights, then the new slots, rounded as in `functional`.


def sgd(w, d_w, learning_rate):
    return (w - d_w * learning_rate,)


def sgd_momentum(w, d_w, m, learning_rate, momentum):
    m = m * momentum - d_w * learning_rate
    return w + m, m


def rmsprop(w, d_w, v, learning_rate, rho, one_minus_rho, epsilon):
    v = v * rho + d_w * d_w * one_minus_rho
    return w - d_w * learning_rate / elementary.sqrt(v + epsilon), v


def adam(w, d_w, m, v, alpha, one_minus_beta_1, one_minus_beta_2, epsilon):
    m = m + (d_w - m) * one_minus_beta_1
    v = v + (d_w * d_w - v) * one_minus_beta_2
    m, v = where(absolute(m) < TINY, 0.0, m), where(v < TINY, 0.0, v)
    return w - m * alpha / (elementary.sqrt(v) + epsilon), m, v


#: Moment estimates below it are set to zero.
TINY = float(np.float32(1e-30))
#: Number of arrays of each of these steps: the weights, their gradient, and the slots.
OPTIMIZERS = {"sgd": 2, "sgd_momentum": 3, "rmsprop": 3, "adam": 4}

_TABLE: dict[str, tuple[Callable[..., Any], Callable[..., Any] | None, int]] = {
    "copy": (np.positive, lambda a: a, 1),
    "negative": (np.negative, lambda a: -a, 1),
    "absolute": (np.abs, absolute, 1),
    "sign": (np.sign, _sign, 1),
    "square": (np.square, lambda a: a * a, 1),
    "sqrt": (np.sqrt, elementary.sqrt, 1),
    "exp": (np.exp, elementary.exp, 1),
    "expm1": (np.expm1, elementary.expm1, 1),
    "log": (np.log, elementary.log, 1),
    "log1p": (np.log1p, elementary.log1p, 1),
    "tanh": (np.tanh, elementary.tanh, 1),
    "erfc": (_erfc, elementary.erfc, 1),
    "floor": (np.floor, elementary.floor, 1),
    "ceil": (np.ceil, elementary.ceil, 1),
    "rint": (np.rint, elementary.rint, 1),
    "isnan": (np.isnan, lambda a: truth(a != a), 1),
    "logical_not": (np.logical_not, lambda a: truth(a == 0.0), 1),
    "row_sum": (np.sum, None, 1),
    "row_max": (np.max, None, 1),
    "row_min": (np.min, None, 1),
    "sum_col": (np.sum, None, 1),
    "sum_all": (np.sum, None, 1),
    "add": (np.add, lambda a, b: a + b, 2),
    "subtract": (np.subtract, lambda a, b: a - b, 2),
    "multiply": (np.multiply, lambda a, b: a * b, 2),
    "divide": (np.divide, lambda a, b: a / b, 2),
    "maximum": (np.maximum, _maximum, 2),
    "minimum": (np.minimum, _minimum, 2),
    "power": (np.power, elementary.power, 2),
    "greater": (np.greater, lambda a, b: truth(a > b), 2),
    "greater_equal": (np.greater_equal, lambda a, b: truth(a >= b), 2),
    "less": (np.less, lambda a, b: truth(a < b), 2),
    "less_equal": (np.less_equal, lambda a, b: truth(a <= b), 2),
    "equal": (np.equal, lambda a, b: truth(a == b), 2),
    "not_equal": (np.not_equal, lambda a, b: truth(a != b), 2),
    "logical_and": (np.logical_and, lambda a, b: truth((a != 0.0) & (b != 0.0)), 2),
    "logical_or": (np.logical_or, lambda a, b: truth((a != 0.0) | (b != 0.0)), 2),
    "where": (lambda a, b, c: np.where(a != 0, b, c), lambda a, b, c: where(a != 0.0, b, c), 3),
    # The arrays, then a second line: "operands" and the numbers.
    "sgd": (sgd, None, 3),
    "sgd_momentum": (sgd_momentum, None, 5),
    "rmsprop": (rmsprop, None, 7),
    "adam": (adam, None, 8),
    "operands": (np.positive, None, 0),
}
#: All operations by name; in the order of their numbers of operands.
OPERATIONS = {name: Operation(i, *row) for i, (name, row) in enumerate(_TABLE.items())}


def room_size(cols: int, temps: int, mode: int) -> int:
    """Return the bytes of scratch memory of one part.

    Parameters
    ----------
    cols : int
        Number of columns, C.
    temps : int
        Number of temporaries.
    mode : int
        `FLAT` or `ROWS`.

    Returns
    -------
    int
        Number of bytes, a multiple of 64.
    """
    vectors = (cols + LANES - 1) // LANES if mode == ROWS else 1
    return SLOTS * PLACE + temps * max(4 * BLOCK, VECTOR * vectors)


if COMPILES:
    from llvmlite import ir

    from tinynet.kernels.elementary import DOUBLE, FLOAT, INT32, INT64, Lanes

    _VOID = ir.VoidType()
    _FLOATS, _DOUBLES = ir.VectorType(FLOAT, LANES), ir.VectorType(DOUBLE, LANES)

    class _Code:
        """Instructions on addresses and vectors."""

        def __init__(self, context, builder):
            self.context, self.builder = context, builder

        def at(self, address, kind):
            return self.builder.inttoptr(address, kind.as_pointer())

        def load(self, address, kind=_FLOATS):
            return Lanes(self.builder, self.builder.load(self.at(address, kind), align=4))

        def store(self, x, address):
            self.builder.store(x.value, self.at(address, x.value.type), align=4)

        def load_some(self, address, mask):
            return self._masked("load", _FLOATS, [], address, mask, [_FLOATS(None)])

        def store_some(self, x, address, mask):
            self._masked("store", _VOID, [x.value], address, mask, [])

        def _masked(self, name, result, first, address, mask, others):
            values = [*first, self.at(address, _FLOATS), INT32(4), mask.value, *others]
            kind = ir.FunctionType(result, [x.type for x in values])
            function = external(self.builder.module, kind, f"llvm.masked.{name}.v{LANES}f32.p0")
            return Lanes(self.builder, self.builder.call(function, values))

        def word(self, address, i=0):
            address = self.builder.add(address, INT64(8 * i))
            return self.builder.load(self.at(address, INT64))

        def plus(self, values, steps):
            return [self.builder.add(a, b) for a, b in zip(values, steps, strict=True)]

        def repeat(self, count, values, body, at_least_once=True):
            """Emit ``for i in range(count): values = body(i, values)``."""
            build, before = self.builder, self.builder.block
            loop, done = build.append_basic_block("loop"), build.append_basic_block("done")
            if at_least_once:
                build.branch(loop)
            else:
                build.cbranch(build.icmp_signed(">", count, INT64(0)), loop, done)
            build.position_at_end(loop)
            index, phis = build.phi(INT64), [build.phi(x.type) for x in values]
            new = body(index, phis)
            after, end = build.add(index, INT64(1)), build.block
            for phi, x, y in zip([index, *phis], [INT64(0), *values], [after, *new], strict=True):
                phi.add_incoming(x, before)
                phi.add_incoming(y, end)
            build.cbranch(build.icmp_signed("<", after, count), loop, done)
            build.position_at_end(done)
            if at_least_once:
                return new
            results = [build.phi(x.type) for x in values]
            for result, x, y in zip(results, values, new, strict=True):
                result.add_incoming(x, before)
                result.add_incoming(y, end)
            return results

        def below(self, count):
            """Return the lanes before one of a number, as a condition."""
            lanes = ir.VectorType(INT32, LANES)([*range(LANES)])
            return Lanes(self.builder, lanes) < self.spread(self.builder.trunc(count, INT32))

        def spread(self, x):
            """Return a vector of 16 times the same number."""
            none = ir.VectorType(x.type, LANES)(ir.Undefined)
            one = Lanes(self.builder, self.builder.insert_element(none, x, INT32(0)))
            return self.shuffled(one, [0] * LANES)

        def shuffled(self, x, lanes):
            lanes = ir.VectorType(INT32, LANES)(lanes)
            return Lanes(self.builder, self.builder.shuffle_vector(x.value, x.value, lanes))

        def folded(self, x, combine):
            """Combine all lanes in a fixed tree: halves, quarters, ...; the result in each."""
            for distance in (8, 4, 2, 1):
                x = combine(x, self.shuffled(x, [i ^ distance for i in range(LANES)]))
            return self.shuffled(x, [0] * LANES)

        def repeated(self, number, kind=_FLOATS):
            return Lanes(self.builder, kind([number] * LANES))

        def elementwise(self, formula, places, rows, vectors):
            """Emit the loop over rows and vectors: places[0] = formula(places[1], ...)."""

            def inner_body(_, addresses):
                x = formula(*(self.load(a) for a in addresses[1:]))
                self.store(x, addresses[0])
                return self.plus(addresses, [place[2] for place in places])

            def outer_body(_, addresses):
                self.repeat(vectors, addresses, inner_body)
                return self.plus(addresses, [place[1] for place in places])

            self.repeat(rows, [place[0] for place in places], outer_body)

        def along_row(self, address, step, row, totals, add):
            """Emit ``totals = add(x, *totals)`` for each vector x of a row."""
            vectors, columns, identity = row

            def body(_, values):
                new = add(self.load(values[0]), *self.lanes(values[1:]))
                return [self.builder.add(values[0], step), *(x.value for x in new)]

            whole = self.builder.sub(vectors, INT64(1))
            start = [address, *(x.value for x in totals)]
            address, *totals = self.repeat(whole, start, body, at_least_once=False)
            x = where(columns, self.load(address), identity)
            return add(x, *self.lanes(totals))

        def lanes(self, values):
            return [Lanes(self.builder, x) for x in values]

        def row_reduction(self, add, finish, starts, places, rows, vectors, last):
            """Emit the loop for ``places[0] = reduce(places[1])`` of each row."""
            (_, to_step, _), (_, a_step, step) = places
            row, totals = (vectors, self.below(last), starts[0]), map(self.repeated, starts)
            totals = [*totals]

            def body(_, addresses):
                new = self.along_row(addresses[1], step, row, totals, add)
                self.store(finish(*new), addresses[0])
                return self.plus(addresses, [to_step, a_step])

            self.repeat(rows, [place[0] for place in places], body)

        def row_sum(self, *arguments):
            """Emit the loop for sums, in 16 lanes, then these as a tree."""

            def add(x, total):
                return [total + x]

            def finish(total):
                return self.folded(total, Lanes.__add__)

            self.row_reduction(add, finish, [0.0], *arguments)

        def row_extremum(self, best, start, *arguments):
            """Emit the loop for the largest or smallest numbers; NaN is kept aside."""

            def add(x, total, nan):
                return best(x, total), where(x != x, x, nan)

            def finish(total, nan):
                found = self.builder.bitcast((nan != nan).value, ir.IntType(LANES))
                found = self.spread(self.builder.icmp_signed("!=", found, found.type(0)))
                return where(found, math.nan, self.folded(total, best))

            self.row_reduction(add, finish, [start, 0.0], *arguments)

        def sum_all(self, places, rows, vectors, last):
            """Emit ``places[0] += the sum of places[1]``, in double precision."""
            build, (to, _, _), (first, a_step, step) = self.builder, *places
            # One number per row counts once.
            is_row = build.icmp_signed("==", step, INT64(0))
            is_row = build.and_(is_row, build.icmp_signed("!=", a_step, INT64(0)))
            vectors = build.select(is_row, INT64(1), vectors)
            row = vectors, self.below(build.select(is_row, INT64(1), last)), 0.0

            def body(_, values):
                address, total = values
                (total,) = self.along_row(
                    address, step, row, self.lanes([total]),
                    lambda x, total: [total + elementary.double(x)],
                )  # fmt: skip
                return [build.add(address, a_step), total.value]

            start = [first, self.load(to, _DOUBLES).value]
            self.store(Lanes(build, self.repeat(rows, start, body)[1]), to)

        def optimizer(self, name, arrays, numbers, count):
            """Emit the loop of an optimizer's step, for contiguous arrays."""
            step, _, operands = _TABLE[name]
            arrays = arrays[: OPTIMIZERS[name]]
            numbers = [self.load(place[0]) for place in numbers[: operands - len(arrays)]]

            def body(_, addresses):
                w, *slots = step(*(self.load(a) for a in addresses), *numbers)
                for x, address in zip((w, *slots), (addresses[0], *addresses[2:]), strict=True):
                    self.store(x, address)
                return self.plus(addresses, [INT64(VECTOR)] * len(addresses))

            self.repeat(count, [place[0] for place in arrays], body)

    def _function(name, count, rows, emit):
        """Return an instruction that calls a function of some words, which is emitted once.

        It does nothing unless argument number `rows` is positive.
        """

        def generate(context, builder, signature, arguments):
            if name not in builder.module.globals:
                kind = ir.FunctionType(_VOID, [INT64] * count)
                function = ir.Function(builder.module, kind, name)
                function.linkage = "internal"
                # Unrolled loops are not faster here, and take long to compile.
                for attribute in ("noinline", "optsize", "nounwind"):
                    function.attributes.add(attribute)
                body = ir.IRBuilder(function.append_basic_block("entry"))
                with body.if_then(body.icmp_signed(">", function.args[rows], INT64(0))):
                    emit(_Code(context, body), *function.args)
                body.ret_void()
            builder.call(builder.module.globals[name], arguments)
            return context.get_dummy_value()

        return types.void(*[types.int64] * count), generate

    @intrinsic
    def execute(typing_context, line, places, rows, vectors, last):
        """Execute the operation at an address, for a block."""

        def emit(code, line, places, rows, vectors, last):
            builder, equal = code.builder, code.builder.icmp_signed

            def found(i, line=line):
                place = builder.add(places, builder.mul(code.word(line, i), INT64(PLACE)))
                return [code.word(place, k) for k in range(3)]

            original = [found(i) for i in range(1, 5)]
            # Rows of a single vector, and rows that follow one another, are one long row.
            one = equal("==", original[0][2], INT64(0))
            width = builder.select(one, INT64(1), vectors)
            single = equal("==", width, INT64(1))
            number = code.word(line)
            follows = [equal("==", row, builder.mul(step, width)) for _, row, step in original]
            for i, first in ((2, "add"), (3, "where")):  # whatever an unused operand is
                unused = equal("<", number, INT64(OPERATIONS[first].number))
                follows[i] = builder.or_(follows[i], unused)
            joint = builder.or_(single, functools.reduce(builder.and_, follows))
            count = builder.select(joint, INT64(1), rows)
            width = builder.select(joint, builder.mul(rows, width), width)
            joined = [
                [address, row_step, builder.select(single, row_step, step)]
                for address, row_step, step in original
            ]
            done = builder.append_basic_block("next")
            switch = builder.switch(number, done)
            for name, (value, _, formula, operands) in OPERATIONS.items():
                builder.position_at_end(builder.append_basic_block(name))
                switch.add_case(INT64(value), builder.block)
                pair = original[:2]
                if formula:
                    code.elementwise(formula, joined[: 1 + operands], count, width)
                elif name == "row_sum":
                    code.row_sum(pair, rows, vectors, last)
                elif name == "row_max":
                    code.row_extremum(_larger, -math.inf, pair, rows, vectors, last)
                elif name == "row_min":
                    code.row_extremum(_smaller, math.inf, pair, rows, vectors, last)
                elif name == "sum_col":
                    code.elementwise(_sum_col, [joined[0], *joined[:2]], count, width)
                elif name == "sum_all":
                    code.sum_all(pair, rows, vectors, last)
                elif name in OPTIMIZERS:
                    numbers = [found(i, builder.add(line, INT64(LINE))) for i in range(1, 5)]
                    code.optimizer(name, original, numbers, builder.mul(rows, vectors))
                builder.branch(done)
            builder.position_at_end(done)

        return _function("execute", 5, 2, emit)

    def _copying(loads):
        @intrinsic
        def copy(typing_context, to, to_step, a, a_step, rows, vectors, last):
            """Copy rows of memory to a temporary's, with 0 in unused lanes, or the reverse."""

            def emit(code, to, to_step, a, a_step, rows, vectors, last):
                whole, columns = code.builder.sub(vectors, INT64(1)), code.below(last)

                def row_body(_, addresses):
                    end = code.repeat(whole, addresses, copy_vector, at_least_once=False)
                    if loads:
                        code.store(code.load_some(end[1], columns), end[0])
                    else:
                        code.store_some(code.load(end[1]), end[0], columns)
                    return code.plus(addresses, [to_step, a_step])

                def copy_vector(_, addresses):
                    code.store(code.load(addresses[1]), addresses[0])
                    return code.plus(addresses, [INT64(VECTOR)] * 2)

                code.repeat(rows, [to, a], row_body)

            return _function("load_rows" if loads else "store_rows", 7, 4, emit)

        return copy

    load_rows, store_rows = _copying(loads=True), _copying(loads=False)

    @intrinsic
    def word(typing_context, address):
        """Load a word."""

        def generate(context, builder, signature, arguments):
            return _Code(context, builder).word(arguments[0])

        return types.int64(types.int64), generate

    @intrinsic
    def number(typing_context, address):
        """Load a float32."""

        def generate(context, builder, signature, arguments):
            return builder.load(_Code(context, builder).at(arguments[0], FLOAT))

        return types.float32(types.int64), generate

    @intrinsic
    def put(typing_context, address, x):
        """Store a number."""

        def generate(context, builder, signature, arguments):
            address, x = arguments
            builder.store(x, _Code(context, builder).at(address, x.type))
            return context.get_dummy_value()

        return types.void(types.int64, x), generate

    @intrinsic
    def put_each(typing_context, address, x):
        """Store a float32 in every lane of a vector."""

        def generate(context, builder, signature, arguments):
            code = _Code(context, builder)
            code.store(code.spread(arguments[1]), arguments[0])
            return context.get_dummy_value()

        return types.void(types.int64, types.float32), generate

    @intrinsic
    def folded(typing_context, address):
        """Return the sum of a vector of float64, as a fixed tree."""

        def generate(context, builder, signature, arguments):
            code = _Code(context, builder)
            total = code.folded(code.load(arguments[0], _DOUBLES), Lanes.__add__)
            return builder.extract_element(total.value, INT32(0))

        return types.float64(types.int64), generate

else:

    def execute(line, places, rows, vectors, last):
        if rows == 0:
            return
        number, *operands = vector(line, 5, np.int64).tolist()
        name, operation = [*OPERATIONS.items()][number]
        if name in OPTIMIZERS:
            operands += vector(line + LINE, 5, np.int64)[1:].tolist()
        found = [vector(places + PLACE * i, 3, np.int64).tolist() for i in operands]
        to, a, *others = (_strided(*place, rows, vectors) for place in found)
        # Numbers of a row, without unused lanes; one number per row counts once.
        is_row = found[1][2] == 0 != found[1][1]
        flat = a.reshape(rows, -1)[:, : 1 if is_row else LANES * (vectors - 1) + last]
        if name in OPTIMIZERS:
            arrays, numbers = [to, a, *others[:2]][: OPTIMIZERS[name]], others[2:]
            numbers = numbers[: operation.operands - len(arrays)]
            new = operation.function(*arrays, *numbers)
            for array, values in zip((to, *arrays[2:]), new, strict=True):
                array[...] = values
        elif name.startswith("row_"):
            identity = {"row_sum": 0.0, "row_max": -np.inf, "row_min": np.inf}[name]
            to[:, 0] = operation.function(flat, axis=1, initial=identity)[:, None]
        elif name == "sum_col":
            for row in a:
                to[0] += row
        elif name == "sum_all":
            total = vector(found[0][0], LANES, np.float64)
            total[0] += np.sum(flat, dtype=np.float64)
        elif name != "operands":
            with np.errstate(all="ignore"):
                to[...] = operation.function(*[a, *others][: operation.operands])

    def _strided(address, row_step, step, rows, vectors):
        """Return what is at a place, shape (rows, vectors, 16)."""
        size = (row_step * (rows - 1) + step * (vectors - 1)) // 4 + LANES
        shape, steps = (rows, vectors, LANES), (row_step, step, 4)
        return np.lib.stride_tricks.as_strided(vector(address, size, np.float32), shape, steps)

    def load_rows(to, to_step, a, a_step, rows, vectors, last):
        columns = LANES * (vectors - 1) + last
        for row in range(rows):
            values = vector(to + to_step * row, LANES * vectors, np.float32)
            values[:columns] = vector(a + a_step * row, columns, np.float32)
            values[columns:] = 0

    def store_rows(to, to_step, a, a_step, rows, vectors, last):
        columns = LANES * (vectors - 1) + last
        for row in range(rows):
            values = vector(a + a_step * row, columns, np.float32)
            vector(to + to_step * row, columns, np.float32)[:] = values

    def word(address):
        return int(vector(address, 1, np.int64)[0])

    def number(address):
        return vector(address, 1, np.float32)[0]

    def put(address, x):
        vector(address, 1, x.dtype if isinstance(x, np.generic) else np.int64)[0] = x

    def put_each(address, x):
        vector(address, LANES, np.float32)[:] = x

    def folded(address):
        return np.sum(vector(address, LANES, np.float64))


@inner
def _begin(slot, place, temp, row, first, rows, cols, vectors, is_flat, is_first):
    """Write a slot's place in a block that begins at a row and an element; copy what it reads."""
    kind, address = word(slot), word(slot + 8)
    last, row_step, step = cols - LANES * (vectors - 1), VECTOR * vectors, VECTOR
    is_sum = (kind == SUM_COL) | (kind == SUM_ALL)
    if (kind == IN) | (kind == OUT) | (kind == INOUT):
        address += 4 * first
        if last == LANES:
            temp = address
        elif kind != OUT:
            load_rows(temp, row_step, address, 4 * cols, rows, vectors, last)
    elif kind == COL:
        row_step = 0
        if last == LANES:
            temp = address
        elif is_first:
            load_rows(temp, 0, address, 0, 1, vectors, last)
    elif kind == INDEX:
        temp, row_step = address, 0
    elif kind == SCALAR:
        temp, row_step, step = address, 0, 0
    elif kind == LABEL and is_flat:
        for i in range(rows * cols):
            put(temp + 4 * i, np.float32(word(address + 8 * (first + i))))
    elif is_sum:
        row_step, step = 0, VECTOR if kind == SUM_COL else 0
        if is_first:  # a sum of float64 takes two vectors
            for i in range(vectors + 1):
                put_each(temp + VECTOR * i, np.float32(0))
    elif kind != TEMP:
        row_step, step = VECTOR, 0
        if kind == LABEL:
            for i in range(rows):
                put_each(temp + VECTOR * i, np.float32(word(address + 8 * (row + i))))
        elif kind == ROW:
            for i in range(rows):
                put_each(temp + VECTOR * i, number(address + 4 * (row + i)))
    put(place, temp)
    put(place + 8, row_step)
    put(place + 16, step)


@inner
def _end(slot, temp, row, first, rows, cols, vectors, is_last):
    """Copy what a slot's temporary holds of a block to memory, and a sum after the last block."""
    kind, address, last = word(slot), word(slot + 8), cols - LANES * (vectors - 1)
    if ((kind == OUT) | (kind == INOUT)) and last != LANES:
        store_rows(address + 4 * first, 4 * cols, temp, VECTOR * vectors, rows, vectors, last)
    elif kind == ROW_OUT:
        for i in range(rows):
            put(address + 4 * (row + i), number(temp + VECTOR * i))
    elif is_last and kind == SUM_COL:
        store_rows(address, 0, temp, 0, 1, vectors, last)
    elif is_last and kind == SUM_ALL:
        put_each(address, np.float32(folded(temp)))


@kernel
def chain(
    part, parts, count, per, cols, mode, code, ops, slots, n_slots, offset, length, flush, room,
    room_size,
):  # fmt: skip
    before = flush_denormals(flush != 0)
    room += part * room_size
    temps, rows, rest = room + SLOTS * PLACE, word(count) * per, 0
    if mode == FLAT:
        rows, rest, cols = rows * cols if length < 0 else length, 0, LANES
        rows, rest = rows // LANES, rows % LANES if part == parts - 1 else 0
    else:
        offset = 0
    vectors = (cols + LANES - 1 + (cols == 0)) // LANES
    temp_size = VECTOR * (vectors if vectors > BLOCK // LANES else BLOCK // LANES)
    most = BLOCK // LANES // vectors + (vectors > BLOCK // LANES)
    row, end = rows * part // parts, rows * (part + 1) // parts
    element, is_first = row * cols, True
    while True:
        n = most if most < end - row else end - row
        is_last = row + n == end and rest == 0
        for s in range(n_slots):
            slot = slots + SLOT * s
            first = element if word(slot + 24) else element + offset
            _begin(
                slot, room + PLACE * s, temps + temp_size * word(slot + 16), row, first, n, cols,
                vectors, mode == FLAT, is_first,
            )  # fmt: skip
        for k in range(ops):
            execute(code + LINE * k, room, n, vectors, cols - LANES * (vectors - 1))
        for s in range(n_slots):
            slot = slots + SLOT * s
            first = element if word(slot + 24) else element + offset
            _end(slot, word(room + PLACE * s), row, first, n, cols, vectors, is_last)
        if is_last:
            break
        row, element, is_first = row + n, element + n * cols, False
        if row == end:  # the rest is a row of fewer columns
            row, end, cols, rest = 0, 1, rest, 0
    flush_denormals(before)
