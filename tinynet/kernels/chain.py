"""Kernel for elementwise formulas: an interpreter that executes operations block by block.

The iteration space of a formula has R rows and C columns. It is divided into blocks that fit in the
L1 cache. All operations of the list are executed on one block before the next, so that intermediate
values never leave the cache. Part p of `parts` processes a range of whole rows.

    mode ROWS, C = 20                                     a temporary: rows of whole vectors
    row 0   | 16 elements     | 4 |  block 0, part 0      | 16 elements     | 4 + 12 unused   |
    row 1   | 16 elements     | 4 |                       | 16 elements     | 4 + 12 unused   |
    row 2   | 16 elements     | 4 |  block 1, part 0
    ...                                                   one value per row: 16 equal lanes
    row R-1 | 16 elements     | 4 |  last part            | 16 lanes        |

If C is a multiple of 16, arrays are read and written in place; otherwise they are copied to and
from a temporary. In mode FLAT the space is one contiguous vector: its rows are SIMD vectors of 16
elements, and the remainder, if any, is a last row of fewer columns. Mode COLUMNS is mode ROWS for C
a multiple of 16, but each part processes a range of vectors of all rows: so several threads can
compute sums over the rows.

An operation is 5 int64 words, ``[number, to, a, b, c]``; the last four are indices of slots. A slot
is 4 words, ``[kind, address, temporary, fixed]``. All kinds except SCALAR and INDEX need a
temporary, which only slots of the kinds TEMP and ROW_TEMP may share. In mode FLAT, the offset is
not added to the address of a `fixed` slot.

==============  ====================================================================
TEMP            temporary, shape (R, C)
SCALAR          scalar, stored in 16 equal lanes
IN, OUT, INOUT  array of shape (R, C), read, written, or both
COL             vector of shape (C,), broadcast to all rows
INDEX           column indices 0, 1, ... as float32, padded to whole vectors
ROW, ROW_OUT    vector of shape (R,), one value per row, read or written
LABEL           vector of int64, shape (R,), converted to float32
ROW_TEMP        temporary, shape (R,), each value in all lanes of a vector
SUM_COL         vector of shape (C,): sums over the rows, added in the order of the rows
SUM_ALL         16 equal lanes: the sum of all elements, accumulated in float64
==============  ====================================================================

The place of a slot consists of the address of the block's first vector and two strides in bytes,
to the next row and to the next vector. A stride of 0 repeats a vector, so that the same loop
implements all kinds of broadcasting.

The scratch memory of a part holds `SLOTS` places, then the temporaries.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir

from tinynet.config import COMPILES
from tinynet.kernels import elementary
from tinynet.kernels.elementary import F64, Lanes, absolute, double, truth, where
from tinynet.kernels.numba_functions import emitted, inner
from tinynet.kernels.numba_functions import flush as flush_denormals
from tinynet.kernels.row import kernel, vector
from tinynet.kernels.simd import (
    F32,
    I32,
    I64,
    LANES,
    at,
    below,
    int64_at,
    load,
    loop,
    put_int64,
    splat,
    store,
)

FLAT, ROWS, COLUMNS = 0, 1, 2
#: Kinds of slots.
TEMP, SCALAR, IN, OUT, COL, ROW, ROW_OUT, LABEL, INDEX, SUM_COL, SUM_ALL, ROW_TEMP, INOUT = range(
    13
)
#: Maximum number of slots.
SLOTS = 64
#: Elements of a block, unless a single row has more; 8 KiB for each array.
BLOCK = 2048
_DOUBLES = ir.VectorType(F64, LANES)
#: Bytes of a SIMD vector, a place, a slot, and the words of an operation.
VECTOR, PLACE, SLOT, LINE = 64, 32, 32, 40


class Operation(NamedTuple):
    """Operation of the interpreter, by its number in the code.

    `function` is the same operation on NumPy arrays; `formula` is the same operation on
    `elementary.Lanes`, or None if it is not elementwise; `operands` is the number of operands.
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
    # As in NumPy: NaN if an operand is NaN (the first one if both are).
    return where(a != a, a, _larger(a, b))


def _minimum(a, b):
    return where(a != a, a, _smaller(a, b))


def _sign(a):
    return where(a != a, a, truth(a > 0.0) - truth(a < 0.0))


def _of_numbers(function):
    """Return a function of arrays that applies a scalar function."""
    return np.vectorize(function, otypes=[np.float32])


# Optimizer steps: return the new weights and the new slots, rounded as in `functional`.


def _sgd(w, d_w, learning_rate):
    return (w - d_w * learning_rate,)


def _sgd_momentum(w, d_w, m, learning_rate, momentum):
    m = m * momentum - d_w * learning_rate
    return w + m, m


def _rmsprop(w, d_w, v, learning_rate, rho, one_minus_rho, epsilon):
    v = v * rho + d_w * d_w * one_minus_rho
    return w - d_w * learning_rate / elementary.sqrt(v + epsilon), v


def _adam(w, d_w, m, v, alpha, one_minus_beta_1, one_minus_beta_2, epsilon):
    m = m + (d_w - m) * one_minus_beta_1
    v = v + (d_w * d_w - v) * one_minus_beta_2
    m, v = where(absolute(m) < TINY, 0.0, m), where(v < TINY, 0.0, v)
    return w - m * alpha / (elementary.sqrt(v) + epsilon), m, v


#: Moment estimates below this value are flushed to zero, so that they never become denormal.
TINY = float(np.float32(1e-30))
#: Number of arrays of each step: weights, gradient and slots.
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
    "erf": (_of_numbers(math.erf), elementary.erf, 1),
    "erfc": (_of_numbers(math.erfc), elementary.erfc, 1),
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
    "sum_squares": (lambda a, **options: np.sum(np.square(a), **options), None, 1),
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
    # Optimizer steps: the arrays, then a second line of code, "operands", with the scalars.
    "sgd": (_sgd, None, 3),
    "sgd_momentum": (_sgd_momentum, None, 5),
    "rmsprop": (_rmsprop, None, 7),
    "adam": (_adam, None, 8),
    "operands": (np.positive, None, 0),
}
#: Operations by name, sorted by the number of operands.
OPERATIONS = {name: Operation(i, *row) for i, (name, row) in enumerate(_TABLE.items())}


def room_size(cols: int, temps: int, mode: int) -> int:
    """Return the bytes of scratch memory of one part, a multiple of 64."""
    vectors = 1 if mode == FLAT else (cols + LANES - 1) // LANES
    return SLOTS * PLACE + temps * max(4 * BLOCK, VECTOR * vectors)


if COMPILES:

    def _lanes(b, values):
        return [Lanes(b, x) for x in values]

    def _plus(b, addresses, steps):
        return [b.add(address, step) for address, step in zip(addresses, steps, strict=True)]

    def _shuffled(x, lanes):
        lanes = ir.VectorType(I32, LANES)(lanes)
        return Lanes(x.builder, x.builder.shuffle_vector(x.value, x.value, lanes))

    def _folded(x, combine):
        """Reduce all lanes in a fixed tree (halves, quarters, ...); each lane gets the result."""
        for distance in (8, 4, 2, 1):
            x = combine(x, _shuffled(x, [i ^ distance for i in range(LANES)]))
        return _shuffled(x, [0] * LANES)

    def _elementwise(b, formula, places, rows, vectors):
        """Emit the loops for ``places[0] = formula(places[1], ...)``."""
        starts, row_steps, steps = zip(*places, strict=True)

        def vector_body(_, addresses):
            x = formula(*(Lanes(b, load(b, address)) for address in addresses[1:]))
            store(b, x.value, addresses[0])
            return _plus(b, addresses, steps)

        def row_body(_, addresses):
            loop(b, I64(0), vectors, 1, addresses, vector_body)
            return _plus(b, addresses, row_steps)

        loop(b, I64(0), rows, 1, starts, row_body)

    def _of_rows(b, formula, places, rows):
        """Emit the loop for an operation on row values (equal lanes), 16 rows at a time.

        One lane per row is gathered into a vector; temporaries are padded to 16 rows for this.
        """

        def body(_, addresses):
            x = ir.Constant(ir.VectorType(F32, LANES), ir.Undefined)
            for i in range(LANES):
                number = b.load(at(b, b.add(addresses[1], I64(VECTOR * i)), F32))
                x = b.insert_element(x, number, I32(i))
            y = formula(Lanes(b, x))
            for i in range(LANES):
                store(b, _shuffled(y, [i] * LANES).value, b.add(addresses[0], I64(VECTOR * i)))
            return _plus(b, addresses, [I64(VECTOR * LANES)] * 2)

        loop(b, I64(0), rows, LANES, [places[0][0], places[1][0]], body)

    def _along_row(b, address, step, row, totals, add):
        """Emit ``totals = add(x, *totals)`` for each vector x of a row.

        `row` is the number of vectors, the mask of the used lanes of the last vector, and the
        identity element that replaces the unused lanes.
        """
        vectors, used, identity = row

        def body(_, values):
            new = add(Lanes(b, load(b, values[0])), *_lanes(b, values[1:]))
            return [b.add(values[0], step), *(x.value for x in new)]

        starts = [address, *(x.value for x in totals)]
        address, *values = loop(b, I64(0), b.sub(vectors, I64(1)), 1, starts, body)
        x = where(Lanes(b, used), Lanes(b, load(b, address)), identity)
        return add(x, *_lanes(b, values))

    def _row_reduction(b, add, finish, starts, places, rows, vectors, last):
        """Emit the loops for ``places[0] = reduce(places[1])`` of each row."""
        (to, to_step, _), (a, a_step, step) = places
        row = vectors, below(b, last), starts[0]
        totals = [Lanes(b, splat(b, F32(x))) for x in starts]

        def body(_, addresses):
            new = _along_row(b, addresses[1], step, row, totals, add)
            store(b, finish(*new).value, addresses[0])
            return _plus(b, addresses, [to_step, a_step])

        loop(b, I64(0), rows, 1, [to, a], body)

    def _row_sum(b, *arguments):
        """Emit the loops for row sums: 16 partial sums, which are added as a tree."""

        def add(x, total):
            return [total + x]

        def finish(total):
            return _folded(total, Lanes.__add__)

        _row_reduction(b, add, finish, [0.0], *arguments)

    def _row_extremum(b, best, start, *arguments):
        """Emit the loops for row maxima or minima; NaN is tracked separately."""

        def add(x, total, nan):
            return best(x, total), where(x != x, x, nan)

        def finish(total, nan):
            found = b.bitcast((nan != nan).value, ir.IntType(LANES))
            found = splat(b, b.icmp_signed("!=", found, found.type(0)))
            return where(Lanes(b, found), math.nan, _folded(total, best))

        _row_reduction(b, add, finish, [start, 0.0], *arguments)

    def _sum_col(b, places, rows, vectors, last):
        """Emit ``to[0] += a`` for each row, in order; four vectors of sums stay in registers."""
        to, a = places

        def columns(width):
            def body(_, addresses):
                totals = [load(b, b.add(addresses[0], I64(VECTOR * k))) for k in range(width)]
                steps = [b.mul(a[2], I64(k)) for k in range(width)]

                def add_row(_, values):
                    new = [load(b, b.add(values[0], step)) for step in steps]
                    sums = [b.fadd(*pair) for pair in zip(values[1:], new, strict=True)]
                    return [b.add(values[0], a[1]), *sums]

                _, *totals = loop(b, I64(0), rows, 1, [addresses[1], *totals], add_row)
                for k, total in enumerate(totals):
                    store(b, total, b.add(addresses[0], I64(VECTOR * k)))
                return _plus(b, addresses, [I64(VECTOR * width), b.mul(a[2], I64(width))])

            return body

        fours = b.and_(vectors, I64(-4))
        starts = loop(b, I64(0), fours, 4, [to[0], a[0]], columns(4))
        loop(b, fours, vectors, 1, starts, columns(1))

    def _sum_all(b, squares, places, rows, vectors, last):
        """Emit ``places[0] += sum of places[1]``, in 16 lanes of float64.

        For squares, which are not negative, four contiguous vectors without unused lanes are added
        in float32 first, because the conversion to float64 takes most of the time.
        """
        (to, _, _), (a, a_step, step) = places
        # A row value is in all lanes but must be counted once.
        is_row = b.and_(b.icmp_signed("==", step, I64(0)), b.icmp_signed("!=", a_step, I64(0)))
        used = b.select(is_row, I64(1), last)
        place = at(b, to, _DOUBLES)

        def add(x, total):
            return [total + double(x * x if squares else x)]

        def add_four(_, values):
            found = (Lanes(b, load(b, b.add(values[0], I64(VECTOR * k)))) for k in range(4))
            x, y, z, w = (x * x for x in found)
            total = Lanes(b, values[1]) + double((x + y) + (z + w))
            return [b.add(values[0], I64(4 * VECTOR)), total.value]

        def body(_, values):
            (total,) = _along_row(b, values[0], step, row, _lanes(b, values[1:]), add)
            return [b.add(values[0], a_step), total.value]

        values = [a, b.load(place)]
        if squares:
            gapless = b.icmp_signed("==", a_step, b.mul(I64(VECTOR), vectors))
            whole = b.and_(gapless, b.icmp_signed("==", used, I64(LANES)))
            fours = b.select(whole, b.ashr(b.mul(rows, vectors), I64(2)), I64(0))
            values = loop(b, I64(0), fours, 1, values, add_four)
            rows = b.select(whole, b.and_(b.mul(rows, vectors), I64(3)), rows)
            vectors = b.select(whole, I64(1), vectors)
            a_step = b.select(whole, I64(VECTOR), a_step)
        row = b.select(is_row, I64(1), vectors), below(b, used), 0.0
        b.store(loop(b, I64(0), rows, 1, values, body)[1], place)

    #: Function that emits each reduction, and its options.
    _REDUCTIONS = {
        "row_sum": (_row_sum,), "row_max": (_row_extremum, _larger, -math.inf),
        "row_min": (_row_extremum, _smaller, math.inf), "sum_col": (_sum_col,),
        "sum_all": (_sum_all, False), "sum_squares": (_sum_all, True),
    }  # fmt: skip

    def _optimizer(b, name, arrays, numbers, count):
        """Emit the loop of an optimizer step, on arrays that are contiguous."""
        step, _, operands = _TABLE[name]
        starts = [place[0] for place in arrays[: OPTIMIZERS[name]]]
        numbers = numbers[: operands - len(starts)]
        numbers = [Lanes(b, load(b, place[0])) for place in numbers]

        def body(_, addresses):
            w, *slots = step(*(Lanes(b, load(b, address)) for address in addresses), *numbers)
            for x, address in zip((w, *slots), (addresses[0], *addresses[2:]), strict=True):
                store(b, x.value, address)
            return _plus(b, addresses, [I64(VECTOR)] * len(addresses))

        loop(b, I64(0), count, 1, starts, body)

    def _joined(b, number, places, rows, vectors):
        """Return rows, vectors and places after merging rows into a single loop if possible.

        Rows of a single vector, and rows without gaps between them, are processed as one long row.
        """
        to_row = b.icmp_signed("==", places[0][2], I64(0))
        vectors = b.select(to_row, I64(1), vectors)
        single = b.icmp_signed("==", vectors, I64(1))
        gapless = [b.icmp_signed("==", row, b.mul(step, vectors)) for _, row, step in places]
        for i, first in ((2, "add"), (3, "where")):  # an unused operand may have gaps
            unused = b.icmp_signed("<", number, I64(OPERATIONS[first].number))
            gapless[i] = b.or_(gapless[i], unused)
        joint = b.or_(single, functools.reduce(b.and_, gapless))
        places = [(place, row, b.select(single, row, step)) for place, row, step in places]
        vectors = b.select(joint, b.mul(rows, vectors), vectors)
        return b.select(joint, I64(1), rows), vectors, places

    def _build_execute(b, line, table, rows, vectors, last):
        """Emit the switch over the operations."""

        def place_of(line, i):
            place = b.add(table, b.mul(_word(b, line, i), I64(PLACE)))
            return [_word(b, place, k) for k in range(3)]

        number, places = _word(b, line, 0), [place_of(line, i) for i in range(1, 5)]
        pair = places[:2], rows, vectors, last
        all_rows, all_vectors, joined = _joined(b, number, places, rows, vectors)
        done = b.append_basic_block("next")
        switch = b.switch(number, done)
        for name, operation in OPERATIONS.items():
            b.position_at_end(b.append_basic_block(name))
            switch.add_case(I64(operation.number), b.block)
            if operation.formula:
                used = joined[: 1 + operation.operands]
                if name != "log":
                    _elementwise(b, operation.formula, used, all_rows, all_vectors)
                else:  # softmax takes the logarithm of row sums
                    is_row = [b.icmp_signed("==", step, I64(0)) for _, _, step in places[:2]]
                    is_row.append(b.icmp_signed("!=", places[1][1], I64(0)))
                    with b.if_else(functools.reduce(b.and_, is_row)) as (of_rows, others):
                        with of_rows:
                            _of_rows(b, operation.formula, places, rows)
                        with others:
                            _elementwise(b, operation.formula, used, all_rows, all_vectors)
            elif name in _REDUCTIONS:
                build, *options = _REDUCTIONS[name]
                build(b, *options, *pair)
            elif name in OPTIMIZERS:
                numbers = [place_of(b.add(line, I64(LINE)), i) for i in range(1, 5)]
                _optimizer(b, name, joined, numbers, b.mul(rows, vectors))
            b.branch(done)
        b.position_at_end(done)

    def _build_copy(loads):
        """Return a function that emits a copy of rows; `last` lanes of the last vector are used."""

        def build(b, to, to_step, a, a_step, rows, vectors, last):
            whole, used = b.sub(vectors, I64(1)), below(b, last)

            def vector_body(_, addresses):
                store(b, load(b, addresses[1]), addresses[0])
                return _plus(b, addresses, [I64(VECTOR)] * 2)

            def row_body(_, addresses):
                ends = loop(b, I64(0), whole, 1, addresses, vector_body)
                x = load(b, ends[1], used if loads else None)
                store(b, x, ends[0], None if loads else used)
                return _plus(b, addresses, [to_step, a_step])

            loop(b, I64(0), rows, 1, [to, a], row_body)

        return build

    def _word(b, address, i):
        return b.load(at(b, b.add(address, I64(8 * i)), I64))

    def _call(b, name, build, *words):
        """Emit the call of a function of int64 words, which is emitted once per module."""
        function = b.module.globals.get(name)
        if function is None:
            kind = ir.FunctionType(ir.VoidType(), [I64] * len(words))
            function = ir.Function(b.module, kind, name)
            function.linkage = "internal"
            # Unrolling these loops does not make them faster, but takes long to compile.
            for attribute in ("noinline", "optsize", "nounwind"):
                function.attributes.add(attribute)
            body = ir.IRBuilder(function.append_basic_block("entry"))
            build(body, *function.args)
            body.ret_void()
        b.call(function, words)

    @emitted()
    def execute(b, line, table, rows, vectors, last):
        """Execute the operation at the address `line` on a block."""
        _call(b, "execute", _build_execute, line, table, rows, vectors, last)

    @emitted()
    def load_rows(b, to, to_step, a, a_step, rows, vectors, last):
        """Copy rows from memory to a temporary; unused lanes become 0."""
        _call(b, "load_rows", _build_copy(True), to, to_step, a, a_step, rows, vectors, last)

    @emitted()
    def store_rows(b, to, to_step, a, a_step, rows, vectors, last):
        """Copy rows from a temporary to memory, without the unused lanes."""
        _call(b, "store_rows", _build_copy(False), to, to_step, a, a_step, rows, vectors, last)

    @emitted("float32")
    def float32_at(b, address):
        """Load a float32."""
        return b.load(at(b, address, F32))

    @emitted()
    def put_float32(b, address, x):
        """Store a float32."""
        b.store(x, at(b, address, F32))

    @emitted()
    def fill(b, address, x):
        """Store a value in all lanes of a vector."""
        store(b, splat(b, x), address)

    @emitted("float64")
    def sum_at(b, address):
        """Return the sum of 16 float64 lanes, added as a tree."""
        total = Lanes(b, b.load(at(b, address, _DOUBLES)))
        return b.extract_element(_folded(total, Lanes.__add__).value, I32(0))

else:

    def execute(line, table, rows, vectors, last):
        if rows == 0:
            return
        number, *operands = vector(line, 5, np.int64).tolist()
        name, operation = [*OPERATIONS.items()][number]
        if name in OPTIMIZERS:
            operands += vector(line + LINE, 5, np.int64)[1:].tolist()
        found = [vector(table + PLACE * i, 3, np.int64).tolist() for i in operands]
        to, a, *others = (_strided(*place, rows, vectors) for place in found)
        # Columns of a row without unused lanes; a row value counts once.
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
        elif name in ("sum_all", "sum_squares"):
            total = vector(found[0][0], LANES, np.float64)
            total[0] += operation.function(flat, dtype=np.float64)
        elif name != "operands":
            with np.errstate(all="ignore"):
                to[...] = operation.function(*[a, *others][: operation.operands])

    def _strided(address, row_step, step, rows, vectors):
        """Return a view of a place, shape (rows, vectors, 16)."""
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

    def float32_at(address):
        return vector(address, 1, np.float32)[0]

    def put_float32(address, x):
        vector(address, 1, np.float32)[0] = x

    def fill(address, x):
        vector(address, LANES, np.float32)[:] = x

    def sum_at(address):
        return np.sum(vector(address, LANES, np.float64))


@inner
def _begin(slot, place, temp, row, first, left, rows, cols, vectors, full, is_flat, is_first):
    """Write a slot's place for a block that begins at a row and element; copy its input if needed.

    Arrays have `full` columns; the columns of the block begin at `left`.
    """
    kind, address = int64_at(slot, 0), int64_at(slot, 1)
    last, row_step, step = cols - LANES * (vectors - 1), VECTOR * vectors, VECTOR
    is_sum = (kind == SUM_COL) | (kind == SUM_ALL)
    if (kind == IN) | (kind == OUT) | (kind == INOUT):
        address += 4 * first
        if last == LANES:  # whole vectors only: use the array in place
            temp, row_step = address, 4 * full
        elif kind != OUT:
            load_rows(temp, row_step, address, 4 * full, rows, vectors, last)
    elif kind == COL:
        address, row_step = address + 4 * left, 0
        if last == LANES:
            temp = address
        elif is_first:
            load_rows(temp, 0, address, 0, 1, vectors, last)
    elif kind == INDEX:
        temp, row_step = address + 4 * left, 0
    elif kind == SCALAR:
        temp, row_step, step = address, 0, 0
    elif kind == LABEL and is_flat:
        for i in range(rows * cols):
            put_float32(temp + 4 * i, np.float32(int64_at(address, first + i)))
    elif is_sum:
        row_step, step = 0, VECTOR if kind == SUM_COL else 0
        if is_first:  # 16 lanes of float64 take two vectors
            for i in range(vectors if kind == SUM_COL else 2):
                fill(temp + VECTOR * i, np.float32(0))
    elif kind != TEMP:
        row_step, step = VECTOR, 0
        if kind == LABEL:
            for i in range(rows):
                fill(temp + VECTOR * i, np.float32(int64_at(address, row + i)))
        elif kind == ROW:
            for i in range(rows):
                fill(temp + VECTOR * i, float32_at(address + 4 * (row + i)))
    put_int64(place, 0, temp)
    put_int64(place, 1, row_step)
    put_int64(place, 2, step)


@inner
def _end(slot, temp, row, first, left, rows, cols, vectors, full, is_last):
    """Copy a slot's temporary to memory after a block, and a sum after the last block."""
    kind, address, last = int64_at(slot, 0), int64_at(slot, 1), cols - LANES * (vectors - 1)
    if ((kind == OUT) | (kind == INOUT)) and last != LANES:
        store_rows(address + 4 * first, 4 * full, temp, VECTOR * vectors, rows, vectors, last)
    elif kind == ROW_OUT:
        for i in range(rows):
            put_float32(address + 4 * (row + i), float32_at(temp + VECTOR * i))
    elif is_last and kind == SUM_COL:
        store_rows(address + 4 * left, 0, temp, 0, 1, vectors, last)
    elif is_last and kind == SUM_ALL:
        fill(address, np.float32(sum_at(temp)))


@kernel
def chain(
    part, parts, count, per, cols, mode, code, ops, slots, n_slots, offset, length, flush, room,
    room_size,
):  # fmt: skip
    # count: address of the number of examples; per: rows per example; code, slots: addresses of
    # `ops` operations and `n_slots` slots; room: scratch memory, `room_size` bytes for each part.
    # Mode FLAT only: if `length` is not negative, process only `length` elements, starting at
    # element `offset`.
    # With `flush`, denormal results are flushed to zero, as in updates of weights.
    before = flush_denormals(True) if flush else False
    room += part * room_size
    temps, rows, rest = room + SLOTS * PLACE, int64_at(count, 0) * per, 0
    if mode == FLAT:
        size = rows * cols if length < 0 else length
        rows, cols = size // LANES, LANES
        rest = size % LANES if part == parts - 1 else 0
    else:
        offset = 0
    # This part processes the rows `row` to `end` and, in mode COLUMNS, only `cols` columns,
    # starting at column `left`.
    full, left, row, end = cols, 0, rows * part // parts, rows * (part + 1) // parts
    if mode == COLUMNS:
        vectors = cols // LANES
        left, right = vectors * part // parts * LANES, vectors * (part + 1) // parts * LANES
        row, end, cols = 0, rows, right - left
    vectors = (cols + LANES - 1 + (cols == 0)) // LANES  # vectors per row, at least 1
    temp_size = VECTOR * (vectors if vectors > BLOCK // LANES else BLOCK // LANES)
    most = BLOCK // LANES // vectors + (vectors > BLOCK // LANES)  # rows per block, at least 1
    element, is_first = row * full + left, True
    while True:
        n = most if most < end - row else end - row
        is_last = row + n == end and rest == 0
        for s in range(n_slots):
            slot = slots + SLOT * s
            first = element if int64_at(slot, 3) else element + offset
            _begin(
                slot, room + PLACE * s, temps + temp_size * int64_at(slot, 2), row, first, left, n,
                cols, vectors, full, mode == FLAT, is_first,
            )  # fmt: skip
        for k in range(ops):  # each operation processes the whole block
            execute(code + LINE * k, room, n, vectors, cols - LANES * (vectors - 1))
        for s in range(n_slots):
            slot = slots + SLOT * s
            first = element if int64_at(slot, 3) else element + offset
            temp = int64_at(room + PLACE * s, 0)
            _end(slot, temp, row, first, left, n, cols, vectors, full, is_last)
        if is_last:
            break
        row, element, is_first = row + n, element + n * full, False
        if row == end:  # the remainder is a row of fewer columns
            row, end, cols, rest = 0, 1, rest, 0
    if flush:
        flush_denormals(before)
