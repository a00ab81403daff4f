"""The `chain` kernel, which interprets formulas: operations, slot kinds, and edge cases."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pytest

from benchmarks.contenders import only_avx2
from tests.internals import aligned, assert_tests_pass, printed
from tinynet import functional
from tinynet.kernels import chain as c
from tinynet.kernels.chain import OPERATIONS, chain

same = np.testing.assert_array_equal
Array = np.ndarray[Any, Any]
SHAPES = [(1, 1), (1, 0), (0, 3), (5, 10), (3, 15), (2, 16), (4, 17), (70, 33), (300, 16)]
SHAPES += [(3, 1500), (2, 3001)]  # a row fills a block, or more than one
SPECIAL = np.array(
    [0, -0.0, 1, -1, 0.5, -2.5, 3.5, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 3e38, 80, -80, 1e-20],
    np.float32,
)


def scalar(x: float) -> Array:
    """Return a scalar as the kernel reads it: a vector of equal elements."""
    array = aligned(16)
    array[:] = x
    return array


class Formula:
    """Operations and slots in the kernel's memory layout."""

    def __init__(self, mode: int, rows: int, cols: int) -> None:
        self.mode, self.rows, self.cols = mode, rows, cols
        self.slots: list[list[int]] = []
        self.code: list[list[int]] = []
        self.arrays: list[Array | None] = []

    def slot(self, kind: int, array: Array | None = None, fixed: int = 0) -> int:
        """Add a slot and return its index."""
        self.arrays.append(array)  # keeps it alive, since the slot stores only its address
        address = 0 if array is None else array.ctypes.data
        self.slots.append([kind, address, len(self.slots), fixed])
        return len(self.slots) - 1

    def do(self, name: str, to: int, a: int, *others: int) -> None:
        """Add an operation; unused operands may refer to any slot."""
        operands = [a, *others] + [0] * (2 - len(others))
        self.code.append([OPERATIONS[name].number, to, *operands])

    def run(self, parts: int = 1, offset: int = 0, length: int = -1, flush: int = 0) -> None:
        """Call the kernel once for each part, in reverse order."""
        size = c.room_size(self.cols, len(self.slots), self.mode)
        room = aligned(size * parts, kind=np.uint8)
        count = np.array([self.rows])
        code, slots = np.array(self.code, np.int64), np.array(self.slots, np.int64)
        row = chain.row(
            count=count.ctypes.data, per=1, cols=self.cols, mode=self.mode, code=code.ctypes.data,
            ops=len(code), slots=slots.ctypes.data, n_slots=len(slots), offset=offset,
            length=length, flush=flush, room=room.ctypes.data, room_size=size,
        )  # fmt: skip
        for part in reversed(range(parts)):
            chain(row, part, parts)


def draw(rng: np.random.Generator, *shape: int) -> Array:
    """Draw random numbers; every fifth element is a special value."""
    x = aligned(*shape)
    x[...] = rng.standard_normal(shape) * 4
    flat = x.reshape(-1)
    flat[::5] = rng.choice(SPECIAL, flat[::5].size)
    return x


def guarded(*shape: int) -> tuple[Array, Array]:
    """Return an array and the buffer that surrounds it, filled with a guard value."""
    memory = aligned(int(np.prod(shape)) + 64)
    memory[:] = -7
    return memory[32:-32].reshape(shape), memory


def assert_untouched(memory: Array) -> None:
    assert (memory[:32] == -7).all()
    assert (memory[-32:] == -7).all()


ELEMENTWISE = [name for name, operation in OPERATIONS.items() if operation.formula]
# Maximum error in ULPs; the other operations are exact.
ERRORS = {"exp": 1, "expm1": 1, "log": 1, "log1p": 1, "tanh": 1, "erf": 1, "erfc": 2, "power": 2}


def assert_close(name: str, found: Array, operands: list[Array]) -> None:
    """Compare an operation's result with NumPy, in double precision if it is not exact."""
    function = OPERATIONS[name].function
    error = ERRORS.get(name) if c.COMPILES else 4  # NumPy's own float32 functions
    with np.errstate(all="ignore"):
        if name not in ERRORS:
            same(found, np.asarray(function(*operands), np.float32))
            return
        exact = np.asarray(function(*(x.astype(np.float64) for x in operands)), np.float64)
        expected = exact.astype(np.float32)
        off = np.abs(found - exact) > error * np.spacing(np.abs(expected)).astype(float)
    off &= np.isfinite(expected) & np.isfinite(found)
    assert not off.any(), (name, [x[off][:5] for x in operands], found[off][:5], exact[off][:5])
    ends = ~(np.isfinite(expected) & np.isfinite(found))
    same(found[ends], expected[ends])


@pytest.mark.parametrize("mode", [c.FLAT, c.ROWS])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_operations(name: str, mode: int, rng: np.random.Generator) -> None:
    for rows, cols in SHAPES:
        operands = [draw(rng, rows, cols) for _ in range(OPERATIONS[name].operands)]
        found, memory = guarded(rows, cols)
        formula = Formula(mode, rows, cols)
        to = formula.slot(c.OUT, found)
        formula.do(name, to, *(formula.slot(c.IN, x) for x in operands))
        formula.run(parts=1 + cols % 3)
        assert_close(name, found, operands)
        assert_untouched(memory)


@pytest.mark.parametrize("name", ["maximum", "minimum", "power", "where", "logical_and", "less"])
def test_operations_on_special_value_pairs(name: str) -> None:
    a, b = (aligned(SPECIAL.size**2) for _ in range(2))
    a[:], b[:] = np.repeat(SPECIAL, SPECIAL.size), np.tile(SPECIAL, SPECIAL.size)
    operands = [a, b, b[::-1].copy()][: OPERATIONS[name].operands]
    formula = Formula(c.FLAT, 1, a.size)
    found = aligned(a.size)
    formula.do(name, formula.slot(c.OUT, found), *(formula.slot(c.IN, x) for x in operands))
    formula.run()
    assert_close(name, found, operands)
    if name in ("maximum", "minimum"):
        same(np.signbit(found), np.signbit(OPERATIONS[name].function(a, b)))


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_broadcasting(shape: tuple[int, int], parts: int, rng: np.random.Generator) -> None:
    """Compute ``((x + column) * row - label) / scalar + index`` and per-row results."""
    rows, cols = shape
    x, column, row = draw(rng, rows, cols), draw(rng, cols), draw(rng, rows)
    labels = rng.integers(-1, cols + 1, rows)
    index = aligned((cols + 15) // 16 * 16)
    index[:] = np.arange(index.size)
    found, memory = guarded(rows, cols)
    row_found, row_memory = guarded(rows)
    f = Formula(c.ROWS, rows, cols)
    temp, out, row_temp = f.slot(c.TEMP), f.slot(c.OUT, found), f.slot(c.ROW_TEMP)
    f.do("add", temp, f.slot(c.IN, x), f.slot(c.COL, column))
    per_row, label = f.slot(c.ROW, row), f.slot(c.LABEL, labels)
    f.do("multiply", temp, temp, per_row)
    f.do("subtract", temp, temp, label)
    f.do("divide", temp, temp, f.slot(c.SCALAR, scalar(3)))
    f.do("add", out, temp, f.slot(c.INDEX, index))
    f.do("square", row_temp, per_row)
    f.do("add", f.slot(c.ROW_OUT, row_found), row_temp, label)
    f.run(parts)
    with np.errstate(all="ignore"):
        numbers = labels.astype(np.float32)
        expected = ((x + column) * row[:, None] - numbers[:, None]) / np.float32(3)
        same(found, expected + np.arange(cols, dtype=np.float32))
        same(row_found, row * row + numbers)
    assert_untouched(memory)
    assert_untouched(row_memory)


def lanes_sum(x: Array, kind: Any) -> Any:
    """Sum in 16 lanes, then add the lanes pairwise."""
    padded = np.zeros((*x.shape[:-1], -(-max(x.shape[-1], 1) // 16) * 16), kind)
    padded[..., : x.shape[-1]] = x
    total = np.zeros((*x.shape[:-1], 16), kind)
    for first in range(0, padded.shape[-1], 16):
        total += padded[..., first : first + 16]
    for half in (8, 4, 2, 1):
        total = total[..., :half] + total[..., half:]
    return total[..., 0]


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_row_reductions(shape: tuple[int, int], parts: int, rng: np.random.Generator) -> None:
    rows, cols = shape
    x = draw(rng, rows, cols)
    finite = np.nan_to_num(x, nan=1, posinf=2, neginf=-3) % np.float32(7)
    found = [aligned(rows) for _ in range(4)]
    f = Formula(c.ROWS, rows, cols)
    slot, finite_slot = f.slot(c.IN, x), f.slot(c.IN, finite)
    f.do("row_max", f.slot(c.ROW_OUT, found[0]), slot)
    f.do("row_min", f.slot(c.ROW_OUT, found[1]), slot)
    f.do("row_sum", f.slot(c.ROW_OUT, found[2]), finite_slot)
    # The unused lanes of a temporary are ignored, even if they contain larger values.
    temp = f.slot(c.TEMP)
    f.do("exp", temp, finite_slot)
    f.do("negative", temp, temp)
    f.do("row_max", f.slot(c.ROW_OUT, found[3]), temp)
    f.run(parts)
    same(found[0], x.max(axis=1, initial=-np.inf))
    same(found[1], x.min(axis=1, initial=np.inf))
    if c.COMPILES:
        same(found[2], lanes_sum(finite, np.float32))
    np.testing.assert_allclose(found[2], finite.sum(axis=1), rtol=1e-5, atol=1e-5)
    expected = -np.exp(finite.min(axis=1)) if cols else np.full(rows, -np.inf)
    np.testing.assert_allclose(found[3], expected, rtol=1e-6)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("shape", [*SHAPES, (16, 4), (145, 4), (31, 700)], ids=str)
def test_row_logarithms_equal_array_logarithms(
    shape: tuple[int, int], parts: int, rng: np.random.Generator
) -> None:
    """Mode ROWS computes values of 16 rows together; this must not overwrite other temporaries."""
    (rows, cols), x = shape, draw(rng, shape[0])
    found, copied, expected = (aligned(rows) for _ in range(3))
    f = Formula(c.ROWS, rows, cols)
    row, temps = f.slot(c.ROW, x), [f.slot(c.ROW_TEMP) for _ in range(3)]
    f.do("negative", temps[0], row)
    f.do("negative", temps[2], row)
    f.do("log", temps[1], row)
    f.do("copy", f.slot(c.ROW_OUT, found), temps[1])
    f.do("subtract", f.slot(c.ROW_OUT, copied), temps[0], temps[2])
    f.run(parts)
    flat = Formula(c.FLAT, rows, 1)
    flat.do("log", flat.slot(c.OUT, expected), flat.slot(c.IN, x))
    flat.run()
    same(found, expected)
    same(copied, np.where(np.isfinite(x), 0, np.nan))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_sums(shape: tuple[int, int], rng: np.random.Generator) -> None:
    rows, cols = shape
    x, per_row = aligned(*shape), aligned(rows)
    x[...], per_row[:] = rng.standard_normal(shape), rng.standard_normal(rows)
    columns, memory = guarded(cols)
    everything, of_rows = scalar(9), scalar(9)
    f = Formula(c.ROWS, rows, cols)
    slot, temp = f.slot(c.IN, x), f.slot(c.TEMP)
    f.do("exp", temp, slot)
    f.do("subtract", temp, slot, temp)
    f.do("sum_col", f.slot(c.SUM_COL, columns), slot)
    f.do("sum_all", f.slot(c.SUM_ALL, everything), temp)
    f.do("sum_all", f.slot(c.SUM_ALL, of_rows), f.slot(c.ROW, per_row))
    squares, of_row_squares = scalar(9), scalar(9)
    f.do("sum_squares", f.slot(c.SUM_ALL, squares), temp)
    f.do("sum_squares", f.slot(c.SUM_ALL, of_row_squares), f.slot(c.ROW, per_row))
    f.run()
    expected = np.zeros(cols, np.float32)
    for row in x:
        expected += row
    same(columns, expected)
    assert_untouched(memory)
    assert (everything == everything[0]).all()
    difference = x - np.exp(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(
        everything[0], difference.sum(dtype=np.float64), rtol=1e-5, atol=1e-5
    )
    same(of_rows, np.full(16, per_row.sum(dtype=np.float64), np.float32))
    for found, numbers in ((squares, difference), (of_row_squares, per_row)):
        np.testing.assert_allclose(found, np.square(numbers).sum(dtype=np.float64), rtol=1e-6)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("shape", [(5, 48), (0, 64), (300, 48), (3, 1504), (2, 3008)], ids=str)
def test_column_mode_parts(shape: tuple[int, int], parts: int, rng: np.random.Generator) -> None:
    """The results are bit-identical to mode ROWS."""
    rows, cols = shape
    x, column, row, index = (aligned(n) for n in (rows * cols, cols, rows, cols))
    for array in (x, column, row):
        array[:] = rng.standard_normal(array.size)
    labels = rng.integers(0, 9, rows)
    index[:] = np.arange(cols)
    results = []
    for mode, pieces in ((c.ROWS, 1), (c.COLUMNS, parts)):
        f, changed = Formula(mode, rows, cols), aligned(x.size)
        changed[:] = x
        (found, memory), (sums, sums_memory) = guarded(rows, cols), guarded(cols)
        out, temp, row_temp = f.slot(c.OUT, found), f.slot(c.TEMP), f.slot(c.ROW_TEMP)
        both = f.slot(c.INOUT, changed)
        f.do("add", temp, f.slot(c.IN, x), f.slot(c.COL, column))
        f.do("subtract", row_temp, f.slot(c.ROW, row), f.slot(c.LABEL, labels))
        f.do("multiply", temp, temp, row_temp)
        f.do("add", out, temp, f.slot(c.INDEX, index))
        f.do("multiply", both, both, temp)
        f.do("sum_col", f.slot(c.SUM_COL, sums), out)
        f.run(pieces)
        assert_untouched(memory)
        assert_untouched(sums_memory)
        results.append((found, changed, sums))
    for a, b in zip(*results, strict=True):
        same(a, b)


@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100, 3000])
def test_flat_ranges(size: int, parts: int, rng: np.random.Generator) -> None:
    """A range of a vector is updated in place; the offset does not apply to fixed slots."""
    offset = 37
    x, memory = guarded(size + 50)
    x[:] = rng.standard_normal(size + 50)
    before, scratch, labels = x.copy(), aligned(size), rng.integers(0, 9, size + 50)
    f = Formula(c.FLAT, 1, 16)
    write, read = f.slot(c.OUT, x), f.slot(c.IN, x)
    f.do("square", f.slot(c.OUT, scratch, fixed=1), read)
    f.do("add", write, read, f.slot(c.LABEL, labels))
    f.run(parts, offset=offset, length=size)
    here = slice(offset, offset + size)
    same(scratch, before[here] ** 2)
    before[here] += labels[here].astype(np.float32)
    same(x, before)
    assert_untouched(memory)


@pytest.mark.parametrize("size", [0, 1, 16, 33, 64, 79, 1000, 2100])
def test_flat_range_sums(size: int, rng: np.random.Generator) -> None:
    x, found, squares = aligned(size), scalar(5), scalar(5)
    x[:] = rng.standard_normal(size)
    f = Formula(c.FLAT, 1, size)
    f.do("sum_all", f.slot(c.SUM_ALL, found), f.slot(c.IN, x))
    f.do("sum_squares", f.slot(c.SUM_ALL, squares), f.slot(c.IN, x))
    f.run()
    np.testing.assert_allclose(found, x.sum(dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(squares, np.square(x).sum(dtype=np.float64), rtol=1e-7)


def reference_update(name: str, arrays: list[Array], numbers: list[Any]) -> None:
    """Apply an optimizer's update from `functional`."""
    w, d_w, *slots = arrays
    if name == "sgd_momentum":
        functional.sgd_momentum(w, d_w, *slots, *numbers, False)
    elif name == "rmsprop":
        rate, rho, _, epsilon = numbers
        functional.rmsprop(w, d_w, *slots, None, None, rate, float(rho), 0.0, float(epsilon))
    else:
        getattr(functional, name)(w, d_w, *slots, *numbers)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("size", [1, 16, 33, 5000])
@pytest.mark.parametrize("name", c.OPTIMIZERS)
def test_optimizers(name: str, size: int, parts: int, rng: np.random.Generator) -> None:
    arrays = [aligned(size) for _ in range(c.OPTIMIZERS[name])]
    for x in arrays:
        x[:] = rng.standard_normal(size)
    if name in ("rmsprop", "adam"):
        arrays[-1][:] = rng.random(size)
    if name == "adam":  # moment estimates that are zero or almost zero
        _, d_w, m, v = arrays
        d_w[::3], m[::3], v[::3] = 0, 1e-30, 1.0001e-30
        d_w[1::7], m[1::7] = 1e-30, -1e-30
    numbers = {
        "sgd": [1e-2], "sgd_momentum": [1e-2, 0.9], "rmsprop": [1e-3, 0.9, 1 - 0.9, 1e-7],
        "adam": [1e-3, 0.1, 0.001, 1e-7],
    }[name]  # fmt: skip
    expected = [x.copy() for x in arrays]
    f = Formula(c.FLAT, 1, size)
    f.do(name, *(f.slot(c.IN if i == 1 else c.INOUT, x) for i, x in enumerate(arrays)))
    scalars = [f.slot(c.SCALAR, scalar(x)) for x in numbers]
    f.do("operands", *(scalars * 4)[:4])
    f.run(parts, flush=1)
    reference_update(name, expected, [np.float32(x) if name != "rmsprop" else x for x in numbers])
    for found, right in zip(arrays, expected, strict=True):
        same(found, right)


def test_flush_sets_denormals_to_zero() -> None:
    x, found = scalar(1e-30), scalar(7)
    f = Formula(c.FLAT, 1, 16)
    f.do("multiply", f.slot(c.OUT, found), *(f.slot(c.IN, x) for _ in range(2)))
    x[:] = 1e-20
    f.run()
    assert found[0] > 0
    if c.COMPILES:
        f.run(flush=1)
        assert (found == 0).all()
        f.run()
        assert found[0] > 0


def digest() -> str:
    """Return a checksum of the results of all operations on many numbers."""
    rng, everything = np.random.default_rng(5), hashlib.sha256()
    for name, operation in OPERATIONS.items():
        if name in (*c.OPTIMIZERS, "operands"):
            continue
        for rows, cols in SHAPES:
            f = Formula(c.ROWS, rows, cols)
            operands = [f.slot(c.IN, draw(rng, rows, cols)) for _ in range(operation.operands)]
            kind, size = {"row": (c.ROW_OUT, rows), "sum": (c.SUM_COL, cols)}.get(
                name[:3], (c.OUT, rows * cols)
            )
            kind, size = (c.SUM_ALL, 16) if name in ("sum_all", "sum_squares") else (kind, size)
            found = aligned(size)
            f.do(name, f.slot(kind, found), *operands)
            f.run()
            found[np.isnan(found)] = np.nan  # the sign and payload of NaN are unspecified
            everything.update(found.tobytes())
    return everything.hexdigest()


@pytest.mark.slow
def test_chain_avx2_is_bit_identical() -> None:
    code = "from tests.internals.test_chain import digest; print(digest())"
    assert printed(code, **only_avx2()).strip() == digest()


@pytest.mark.slow
def test_chain_as_plain_python() -> None:
    assert_tests_pass(__file__, NUMBA_DISABLE_JIT="1")
