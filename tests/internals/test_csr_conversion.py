"""CSR conversion kernels find the same nonzeros as NumPy and stay within their buffers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.internals import assert_tests_pass, call, on_other_processors
from tinynet import sparse
from tinynet.kernels import numba_functions, object_code
from tinynet.kernels.csr_conversion import compress_rows, count_non_zeros
from tinynet.sparse import CompressedRows

KINDS = ["bool", "uint8", "float32", "float64"]


def some(rng: np.random.Generator, shape: Any, dtype: str, density: float = 0.3) -> Any:
    x = rng.integers(1, 256, shape).astype(dtype) * (rng.random(shape) < density)
    x = x.astype(dtype)
    if np.dtype(dtype).kind == "f" and x.size > 8:
        special = [np.nan, np.inf, -np.inf, -0.0, 1e-40, -5, 2.0**-149]
        x.reshape(-1)[:7] = special
        x.reshape(-1)[-7:] = special[::-1]
    return x


def run(kernel: Any, parts: int, x: Any, **arrays: Any) -> None:
    call(kernel, parts, x=x, n=len(x), kind=x.itemsize, width=x.shape[1], **arrays)


@pytest.mark.each_value
@pytest.mark.parametrize("parts", [1, 2, 3])
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("width", [64, 65, 79, 127, 128, 129, 784])
@pytest.mark.parametrize("n", [0, 1, 5])
def test_kernels_equal_numpy(
    n: int, width: int, dtype: str, parts: int, rng: np.random.Generator
) -> None:
    for density in (0.0, 0.3, 1.0):
        x = some(rng, (n, width), dtype, density)
        rows, columns = np.nonzero(x)
        total = len(rows)
        indptr = np.full(n + 2, -7, np.int64)
        indptr[0] = 3  # the rows may start at any offset
        run(count_non_zeros, parts, x, counts=indptr[1:])
        assert indptr[1:-1].tolist() == np.count_nonzero(x, axis=1).tolist()
        assert indptr[-1] == -7
        np.cumsum(indptr[:-1], out=indptr[:-1])
        indices, values = np.full(total + 6, 7777, np.uint16), np.full(total + 6, -7, np.float32)
        run(compress_rows, parts, x, indptr=indptr, indices=indices, values=values)
        inside = slice(3, 3 + total)
        assert indices[inside].tolist() == columns.tolist()
        assert values[inside].tobytes() == x[rows, columns].astype(np.float32).tobytes()
        assert set(indices[:3].tolist() + indices[-3:].tolist()) == {7777}
        assert set(values[:3].tolist() + values[-3:].tolist()) == {-7}


def test_numbers_beyond_float32_become_infinite() -> None:
    x = np.zeros((1, 64))
    x[0, [3, 60]] = 1e300, -1e300
    indices, values = np.zeros(2, np.uint16), np.zeros(2, np.float32)
    run(compress_rows, 1, x, indptr=np.zeros(2, np.int64), indices=indices, values=values)
    assert (indices.tolist(), values.tolist()) == ([3, 60], [np.inf, -np.inf])


@pytest.mark.skipif(not numba_functions.COMPILES, reason="requires compiled kernels")
@pytest.mark.parametrize("dtype", [*KINDS, "int32", ">f4", "float16"])
@pytest.mark.parametrize("picked", [False, True])
def test_csr_is_identical_without_kernels(
    picked: bool, dtype: str, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are converted in several blocks."""
    object_code.addresses([count_non_zeros, compress_rows])
    x = rng.integers(0, 3, (150, 8, 9)).astype(dtype)
    monkeypatch.setattr(sparse, "_CONVERTED", 5000)
    monkeypatch.setattr(sparse, "_COPIED", 6000)
    calls: list[Any] = []
    convert = sparse._call
    monkeypatch.setattr(sparse, "_call", lambda *a, **k: (calls.append(a), convert(*a, **k)))
    for given in (x, x[::2], x[:0], np.asfortranarray(x)):
        rows = rng.permutation(len(given))[:120] if picked else None
        calls.clear()
        fast = CompressedRows(given, "float32", rows)
        assert bool(calls) == (len(given if rows is None else rows) * 72 >= sparse._FEW)
        with monkeypatch.context() as without:
            without.setattr(sparse, "_kernels", lambda: None)
            slow = CompressedRows(given, "float32", rows)
        count = fast.indptr[-1]
        assert fast.indptr.tolist() == slow.indptr.tolist()
        assert fast.indices[:count].tolist() == slow.indices[:count].tolist()
        assert fast.values[:count].tobytes() == slow.values[:count].tobytes()
        assert fast.shape == slow.shape


@pytest.mark.skipif(not numba_functions.COMPILES, reason="requires compiled kernels")
def test_csr_works_while_kernels_compile(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_code, "is_ready", lambda kernels: False)
    x = some(rng, (200, 90), "uint8")
    rows = CompressedRows(x, "float32")
    assert rows.values[:-1].tolist() == x[x != 0].tolist()


@pytest.mark.slow
@on_other_processors
def test_csr_conversion_on_other_processors(settings: dict[str, str]) -> None:
    """Run these tests with kernels for AVX2, and without compiled kernels."""
    assert_tests_pass(__file__, **settings)
