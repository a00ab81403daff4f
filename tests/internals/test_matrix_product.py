"""Matrix products: bit-identical for every processor, number of parts and storage format."""

from __future__ import annotations

import hashlib
import math
import platform
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from benchmarks.contenders import only_avx2
from tests.internals import aligned, call, printed
from tinynet import functional
from tinynet.kernels import csr, learn
from tinynet.kernels.matrix_product import (
    LONGEST,
    kernel_gradient,
    linear,
    linear_dx,
    product,
    room_size,
    take_rows,
)
from tinynet.kernels.numba_functions import COMPILES
from tinynet.kernels.row import kernel, vector
from tinynet.kernels.simd import FMA

#: Shapes (examples, inputs, units) that cover single elements, full and partial SIMD vectors and
#: register tiles, sums split in two halves, and several cache blocks.
SHAPES = [
    *((1, 1, 1), (0, 3, 5), (0, 40, 30), (2, 900, 200), (1, 600, 70), (17, 600, 16)),
    *((4, 700, 30), (32, 128, 10), (7, 33, 5), (3, 257, 17), (33, 256, 15), (13, 1200, 130)),
    *((5, 1, 1), (40, 30, 1), (70, 600, 1), (3, 5, 1), (31, 2, 64), (300, 13, 31)),
    *((8, 1025, 100), (245, 520, 33), (600, 130, 40), (30, 40, 520), (1100, 20, 70)),
]
CSR_SHAPES = [
    *SHAPES,
    *((32, 784, 128), (300, 400, 256), (5, 3000, 100), (9, 300, 512), (3, 65535, 3)),
    (40, 600, 1000),
]


def run(kernel: Any, shape: tuple[int, ...], parts: int = 1, **words: Any) -> np.ndarray:
    """Run a kernel in parts; return its output, and check that surrounding memory is unchanged."""
    out = aligned(shape[0] + 2, *shape[1:])
    out[0] = out[-1] = -7
    room = aligned(parts, room_size() // 4)
    call(kernel, parts, **words, out=out[1:-1], room=room, room_size=room_size())
    assert (out[0] == -7).all()
    assert (out[-1] == -7).all()
    return out[1:-1]


def products(
    x: np.ndarray, w: np.ndarray, b: Any, d_y: np.ndarray, parts: int = 1
) -> list[np.ndarray]:
    """Compute the three products of a layer."""
    (n, d), u = x.shape, w.shape[1]
    common = {"count": np.array([n]), "per": 1, "d": d, "u": u}
    return [
        run(linear, (n, u), parts, x=x, w=w, bias=b, **common),
        run(linear_dx, (n, d), parts, d_y=d_y, w=w, y=0, **common),
        run(kernel_gradient, (d, u), parts, x=x, d_y=d_y, **common),
    ]


def layer(rng: np.random.Generator, n: int, d: int, u: int) -> list[np.ndarray]:
    """Return inputs with zeros, a kernel, a bias and an upstream gradient."""
    x = rng.standard_normal((n, d)) * (rng.random((n, d)) < 0.4)
    arrays = x, rng.standard_normal((d, u)), rng.standard_normal(u), rng.standard_normal((n, u))
    return [array.astype(np.float32) for array in arrays]


def rounded(exact: Fraction) -> float:
    """Round a fraction in the normal range to float32, ties to even."""
    if exact == 0:
        return 0.0
    exponent = max(math.floor(math.log2(abs(float(exact)))), -126)
    unit = Fraction(2) ** (exponent - 23)
    return float(round(exact / unit) * unit)


def chain(start: float, a: np.ndarray, b: np.ndarray) -> float:
    """Return the sum by consecutive fused multiply-adds."""
    total = start
    for x, y in zip(a.tolist(), b.tolist(), strict=True):
        total = rounded(Fraction(x) * Fraction(y) + Fraction(total))
    return total


def assert_close(a: np.ndarray, b: np.ndarray) -> None:
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-3)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return np.array_equal(a.view(np.int32), b.view(np.int32))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_of_all_shapes(shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    x, w, b, d_y = layer(rng, *shape)
    for parts in (1, 2, 3):
        y, d_x, d_w = products(x, w, b, d_y, parts)
        for found, left, right, bias in ((y, x, w, b), (d_x, d_y, w.T, 0), (d_w, x.T, d_y, 0)):
            exact = left.astype(np.float64) @ right + bias
            sizes = np.abs(left).astype(np.float64) @ np.abs(right) + np.abs(bias)
            bound = np.finfo(np.float32).eps * np.sqrt(left.shape[1] + 1) * sizes
            assert (np.abs(found - exact) <= bound).all()


@pytest.mark.skipif(not (COMPILES and FMA), reason="sums differ without fused multiply-adds")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_by_definition(shape: tuple[int, int, int], rng: np.random.Generator) -> None:
    """For any number of parts, results are bit-identical to consecutive fused multiply-adds."""
    n, d, _ = shape
    x, w, b, d_y = layer(rng, *shape)
    forms = [products(x, w, b, d_y, parts) for parts in (1, 2, 3)]
    for form in forms[1:]:
        assert all(same_bits(*pair) for pair in zip(forms[0], form, strict=True))
    y, d_x, d_w = forms[0]
    half = d if d <= LONGEST else d // 2
    for _ in range(4 if n else 0):
        i, k, j = (int(rng.integers(size)) for size in shape)
        first = chain(float(b[j]), x[i, :half], w[:half, j])
        second = chain(0.0, x[i, half:], w[half:, j])
        assert y[i, j] == np.float32(first) + np.float32(second)
        assert d_x[i, k] == chain(0.0, d_y[i], w[k])
        assert d_w[k, j] == chain(0.0, x[:, k], d_y[:, j])


def test_products_count_rows_per_example(rng: np.random.Generator) -> None:
    """Test several rows per example, a fused relu and its gradient, and a layer without bias."""
    x, w, b, d_y = layer(rng, 12, 40, 37)
    common = {"count": np.array([3, 99]), "per": 4, "d": 40, "u": 37}
    y = run(linear, (12, 37), x=x, w=w, bias=b, **common)
    rectified = run(linear, (12, 37), x=x, w=w, bias=b, rectifies=1, **common)
    np.testing.assert_array_equal(rectified, np.maximum(y, 0))
    y = run(linear, (12, 37), x=x, w=w, bias=0, **common)
    np.testing.assert_allclose(y, x @ w, atol=1e-5)
    d_y[0, 0], d_y[1, 0] = np.nan, np.inf
    y = rng.standard_normal((12, 40)).astype(np.float32)
    y[0, 0], y[2, 0] = 1, np.nan
    d_x = run(linear_dx, (12, 40), d_y=d_y, w=w, y=0, **common)
    gated = run(linear_dx, (12, 40), 2, d_y=d_y, w=w, y=y, **common)
    with np.errstate(invalid="ignore"):
        assert same_bits(np.abs(gated), np.abs(d_x * (y > 0)))


def test_products_keep_nan_and_infinities(rng: np.random.Generator) -> None:
    x, w, b, _ = layer(rng, 9, 300, 20)
    x[1, 2], x[2, 3], x[3, 290], b[4] = np.nan, np.inf, -np.inf, np.nan
    w[3], w[290] = 1, 1
    common = {"count": np.array([9]), "per": 1, "d": 300, "u": 20}
    y = run(linear, (9, 20), x=x, w=w, bias=b, rectifies=1, **common)
    assert np.isnan(y[1]).all()
    assert np.isnan(y[:, 4]).all()
    assert np.isposinf(np.delete(y[2], 4)).all()
    assert (np.delete(y[3], 4) == 0).all()
    assert not np.isnan(np.delete(y[4:], 4, axis=1)).any()


@pytest.mark.skipif(not COMPILES, reason="plain Python sums in a different order")
def test_products_have_no_negative_zeros(rng: np.random.Generator) -> None:
    """Products that underflow, zeros of both signs, and a bias of -0."""
    x = rng.choice([1e-30, -1e-30, -0.0, 0.0], (32, 784)).astype(np.float32)
    w = rng.choice([1e-30, -1e-30, 0.0, -0.0], (784, 128)).astype(np.float32)
    b, d_y = np.full(128, -0.0, np.float32), w[:32]
    for result in products(x, w, b, d_y):
        assert (result == 0).all()
        assert not np.signbit(result).any()


@pytest.mark.parametrize("width", [0, 1, 13, 15, 16, 17, 784])
def test_take_rows(width: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((50, width)).astype(np.float32)
    rows, step = rng.permutation(50), np.array([0, 5, 11, 0, 0, 0, 0, 0])
    for numbers in (rows, None):
        for parts in (1, 2, 3):
            out = np.full((13, width), -7, np.float32)
            given = 0 if numbers is None else numbers
            call(take_rows, parts, step=step, rows=given, x=x, out=out[1:], width=width)
            taken = slice(5, 16) if numbers is None else numbers[5:16]
            np.testing.assert_array_equal(out[1:-1], x[taken])
            assert (out[[0, -1]] == -7).all()


class Csr:
    """The rows of a matrix in CSR format and random order, and the kernel arguments for a batch."""

    def __init__(self, x: np.ndarray, rng: np.random.Generator) -> None:
        (self.n, self.d), self.order = x.shape, rng.permutation(len(x) + 3)
        dense = np.zeros((len(x) + 3, self.d), np.float32)
        dense[self.order[2 : 2 + self.n]] = x
        self.indptr = np.concatenate([[0], np.cumsum((dense != 0).sum(1))])
        self.indices = np.nonzero(dense)[1].astype(np.uint16)
        self.values = dense[dense != 0]
        self.step = np.array([0, 2, self.n, 0, 0, 0, 0, 0])
        self.size = max(min(self.n, csr.CHUNK), 1)
        self.pairs = aligned(csr.sorted_size(self.n, self.d) // 8 + 8, kind=np.int64)

    def batch(self) -> dict[str, Any]:
        """Return the kernel arguments for the batch."""
        words = {name: getattr(self, name) for name in ("step", "indptr", "indices", "values")}
        return {**words, "rows": self.order}

    def sort(self, parts: int) -> dict[str, Any]:
        """Sort the batch; return the kernel arguments for its gradient."""
        words = {"pairs": self.pairs, "d": self.d, "size": self.size}
        call(csr.sort_csr, parts, **self.batch(), **words)
        return {**words, "count": self.step[2:]}


def csr_products(
    x: Csr, w: np.ndarray, b: np.ndarray, d_y: np.ndarray, parts: int, rectifies: int = 0
) -> list[np.ndarray]:
    """Compute the product and the gradient with respect to the kernel from CSR rows."""
    u, size = w.shape[1], csr.csr_room_size(x.n)
    out, rest, d_w = aligned(x.n, u), aligned(x.n, u), aligned(x.d, u)
    both, room = {"out": out, "rest": rest, "u": u}, aligned(parts, size // 4)
    words = {"w": w, "bias": b, "room": room, "room_size": size, "d": x.d}
    call(csr.linear_csr, parts, **x.batch(), **words, **both)
    call(csr.add_halves, parts, **both, count=x.step[2:], per=1, rectifies=rectifies)
    call(csr.kernel_gradient_csr, parts, **x.sort(parts), d_y=d_y, out=d_w, u=u)
    return [out, d_w]


@pytest.mark.parametrize("shape", CSR_SHAPES, ids=str)
def test_csr_products_equal_dense_products(
    shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    if not COMPILES and math.prod(shape) > 1 << 19:
        pytest.skip("plain Python is too slow")
    x, w, b, d_y = layer(rng, *shape)
    y, _, d_w = products(x, w, b, d_y)
    for parts in (1, 2, 3):
        found = csr_products(Csr(x, rng), w, b, d_y, parts)
        if COMPILES:
            assert same_bits(found[0], y)
            assert same_bits(found[1], d_w)
        assert_close(found[0], y)
        assert_close(found[1], d_w)
    found = csr_products(Csr(x, rng), w, b, d_y, 1, rectifies=1)
    assert_close(found[0], np.maximum(y, 0))


def test_csr_products_keep_nan_and_denormals(rng: np.random.Generator) -> None:
    x, w, b, d_y = layer(rng, 32, 784, 128)
    x[:, ::2] = rng.choice([1e-30, -1e-30, 0.0], (32, 392))
    w[::2] = rng.choice([1e-30, -1e-30, 0.0, -0.0], (392, 128))
    x[0, 5], x[1, 700], b[3], d_y[4, 4], d_y[5, 5] = np.nan, np.inf, np.nan, np.nan, -np.inf
    with np.errstate(invalid="ignore"):
        y, _, d_w = products(x, w, b, d_y)
        for parts in (1, 2):
            found = csr_products(Csr(x, rng), w, b, d_y, parts)
            assert_close(found[0], y)
            # Zeros are skipped, although zero times NaN or infinity is NaN.
            assert_close(np.delete(found[1], [4, 5], 1), np.delete(d_w, [4, 5], 1))
            used = (x[4] != 0) | np.isnan(x).any(0)
            np.testing.assert_array_equal(np.isnan(found[1][:, 4]), used)


@kernel
def subtract(part, parts, gradient, w, m, v, offset, length):  # type: ignore[no-untyped-def]
    """Test update: ``w -= gradient``; m and v record the start and end of the block."""
    first, n = int(offset), int(length)
    g, x = vector(gradient, n, np.float32), vector(w + 4 * first, n, np.float32)
    for i in range(n):
        x[i] -= g[i]
    a, b = vector(m + 4 * first, n, np.float32), vector(v + 4 * first, n, np.float32)
    for i in range(n):
        a[i], b[i] = first, first + n


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (32, 784, 128), (150, 70, 10), (9, 300, 1030)], ids=str
)
@pytest.mark.parametrize(
    ("parts", "decay", "penalty"), [(1, 0, 0), (2, 1, 0), (3, 0, 1), (1, 1, 1)]
)
def test_fused_update_is_bit_identical(
    parts: int, decay: int, penalty: int, shape: tuple[int, int, int], rng: np.random.Generator
) -> None:
    """Kernels with a fused update are bit-identical to the gradient followed by the update."""
    x, w, b, d_y = layer(rng, *shape)
    n, d, u = shape
    gradient = products(x, w, b, d_y)[2]
    size, room = learn.gradient_size(u), aligned(parts, learn.room_size() // 4)
    scratch = aligned(parts, size // 4)
    sparse = Csr(x, rng).sort(1) | {"d_y": d_y, "u": u}
    dense = {"count": np.array([n]), "per": 1, "x": x, "d_y": d_y, "d": d, "u": u}
    dense |= {"product": product.address, "room": room, "room_size": learn.room_size()}
    numbers = aligned(7, 16)
    numbers[:] = np.array([[0.01], [0.1], [0.001], [1e-7], [0.3], [0.7], [0.2]])
    names = ("alpha", "rate_1", "rate_2", "epsilon", "decay", "rate", "penalty")
    adam = dict(zip(names, numbers, strict=True))
    adam |= {"decay": adam["decay"] if decay else 0, "penalty": adam["penalty"] if penalty else 0}
    # Some moment estimates are 0 or decay to 0 in this step; their weights must match the formula.
    m = rng.choice([0.0, 1e-30, -1e-30, 0.1], (d, 1)) * rng.standard_normal((d, u))
    moments = [m.astype(np.float32), np.abs(m * rng.choice([0.0, 1.0], (d, 1))).astype(np.float32)]
    expected = [array.copy() for array in (w, *moments)]
    d_w = gradient + numbers[6, 0] * w if penalty else gradient
    if decay:
        expected[0] -= w * numbers[4, 0] * numbers[5, 0]
    rates = (float(a[0]) for a in numbers[:4])
    with np.errstate(under="ignore"):
        functional.adam(*(a.ravel() for a in (expected[0], d_w, *expected[1:])), *rates)
    for words, name in ((dense, "learn"), (sparse, "learn_csr")):
        state = [w.copy(), np.zeros_like(w), np.zeros_like(w)]
        places = dict(zip("wmv", (a.ctypes.data for a in state), strict=True))
        rows = np.array(
            [
                subtract.row(**places, gradient=scratch[p].ctypes.data, offset=0, length=0)
                for p in range(parts)
            ]
        )
        assert rows[0].nbytes == 256
        first = 8 + subtract.words.index("offset")
        update = {"update": subtract.address, "subrows": rows, "offset": first, "length": first + 1}
        call(getattr(learn, name), parts, **words, **update, gradient=scratch, gradient_size=size)
        if COMPILES:
            assert same_bits(state[0], w - gradient)
        assert_close(state[0], w - gradient)
        assert (np.diff(state[2].ravel()) >= 0).all()  # one block updates each element
    state = [array.copy() for array in (w, *moments)]
    call(learn.learn_csr_adam, parts, **sparse, **adam, **dict(zip("wmv", state, strict=True)))
    for found, right in zip(state, expected, strict=True):
        if COMPILES:
            assert same_bits(found, right)
        assert_close(found, right)


def digest() -> str:
    """Return a checksum of all products of all shapes."""
    rng, total = np.random.default_rng(5), hashlib.sha256()
    for shape in SHAPES:
        x, w, b, d_y = layer(rng, *shape)
        for result in [*products(x, w, b, d_y), *csr_products(Csr(x, rng), w, b, d_y, 2)]:
            total.update(result.tobytes())
    return total.hexdigest()


@pytest.mark.slow
@pytest.mark.skipif(not COMPILES, reason="plain Python does not use SIMD instructions")
def test_products_bit_identical_without_avx512() -> None:
    if not FMA or platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("this processor does not execute AVX2 with fused multiply-add")
    code = "from tests.internals.test_matrix_product import digest; print(digest())"
    assert printed(code, **only_avx2()).strip() == digest()
