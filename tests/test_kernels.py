"""Kernels on the sizes where their vectors end, and nothing written beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinynet import functional, kernels
from tinynet.sparse import CompressedRows

SHAPES = [
    (1, 1, 1),
    (3, 0, 5),
    (4, 5, 16),
    (8, 256, 15),
    (9, 257, 17),
    (33, 300, 64),
    (5, 513, 65),
    (7, 31, 130),
]


def guarded(rows: int, columns: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Make a matrix, and the memory that it lies in the middle of."""
    memory = np.full((rows + 40, columns), -7, dtype)
    return memory[20:-20], memory


def assert_guards_stand(memory: np.ndarray) -> None:
    assert (memory[:20] == -7).all()
    assert (memory[-20:] == -7).all()


def assert_is_product(found: Any, memory: Any, a: Any, b: Any) -> None:
    sizes = np.abs(a).astype(np.float64) @ np.abs(b)
    bound = 2 * np.finfo(found.dtype).eps * np.sqrt(a.shape[1]) * sizes
    assert (np.abs(found - a.astype(np.float64) @ b) <= bound).all()
    assert_guards_stand(memory)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products(shape: tuple[int, int, int], dtype: str, rng: np.random.Generator) -> None:
    n, d, u = shape
    x, kernel, d_y = (rng.standard_normal(s).astype(dtype) for s in ((n, d), (d, u), (n, u)))
    out, memory = guarded(n, u, dtype)
    kernels.dense(x, kernel, None, out)
    assert_is_product(out, memory, x, kernel)
    out, memory = guarded(d, u, dtype)
    kernels.dense_gradients(x, d_y, out, None)
    assert_is_product(out, memory, x.T, d_y)
    out, memory = guarded(n, d, dtype)
    kernels.dense_backward(d_y, kernel, out)
    assert_is_product(out, memory, d_y, kernel.T)


@pytest.mark.parametrize("order", ["columns first", "every second", "of another type"])
def test_products_of_any_layout(order: str, rng: np.random.Generator) -> None:
    def laid_out(x: np.ndarray) -> Any:
        if order == "columns first":
            return np.asfortranarray(x)
        return np.repeat(x, 2, axis=0)[::2] if order == "every second" else x.astype("float64")

    x, kernel, d_y = (
        laid_out(rng.standard_normal(s).astype("float32")) for s in ((9, 40), (40, 33), (9, 33))
    )
    out, memory = guarded(9, 33, "float32")
    kernels.dense(x, kernel, None, out)
    assert_is_product(out, memory, x, kernel)
    out, memory = guarded(40, 33, "float32")
    kernels.dense_gradients(x, d_y, out, None)
    assert_is_product(out, memory, x.T, d_y)
    out, memory = guarded(9, 40, "float32")
    kernels.dense_backward(d_y, kernel, out)
    assert_is_product(out, memory, d_y, kernel.T)


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("width", [1, 15, 16, 17, 40, 784])
@pytest.mark.parametrize("kind", ["uint16", "int32"])
def test_compressing(width: int, dtype: str, kind: str, rng: np.random.Generator) -> None:
    x = (rng.integers(0, 9, (11, width)) * (rng.random((11, width)) < 0.4)).astype(dtype)
    if dtype != "uint8":
        x[0, 0], x[1, 0], x[2, 0] = np.nan, -0.0, -np.inf
    indptr = functional.row_starts(x, np.empty(12, np.int64))
    room = int(indptr[-1]) + 1
    found, expected = (
        (np.full(room + 64, 9, kind), np.full(room + 64, 9.0, "float32")) for _ in range(2)
    )
    kernels.compress_rows(x, indptr, *(array[:room] for array in found))
    functional.compress_rows(x, indptr, *(array[:room] for array in expected))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a[: room - 1], b[: room - 1])
        assert (a[room:] == 9).all()


@pytest.mark.parametrize("units", [128, 384])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_sparse_gradients_of_any_layout(kind: str, units: int, rng: np.random.Generator) -> None:
    counts, samples = np.array([[2, 0, 3]], np.int32), np.array([[0, 1, 0, 0, 0, 0, 2, 3, 1]])
    entries = rng.standard_normal((1, 9)).astype("float32")
    d_y = np.asfortranarray(rng.standard_normal((4, units)).astype(kind))
    found, memory = guarded(3, units, kind)
    expected = np.empty((3, units), kind)
    arguments = counts, samples.astype(np.int32), entries, d_y
    kernels.sparse_kernel_gradient(*arguments, found)
    functional.sparse_kernel_gradient(*arguments, expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert_guards_stand(memory)


@pytest.mark.parametrize("units", [1, 64, 128, 640])
@pytest.mark.parametrize("width", [1, 2, 3, 300])
def test_sparse_products(width: int, units: int, rng: np.random.Generator) -> None:
    x = rng.standard_normal((9, width)) * (rng.random((9, width)) < 0.5)
    x, rows = x.astype("float32"), np.array([8, 0, 3, 3])
    batch = CompressedRows(x, "float32").take(rows)
    kernel = rng.standard_normal((width, units)).astype("float32")
    out, memory = guarded(4, units, "float32")
    bias = np.ones(units, "float32")
    kernels.sparse_dense(*batch.arrays, kernel, bias, out)
    ones = np.ones((4, 1))
    assert_is_product(out, memory, np.hstack([x[rows], ones]), np.vstack([kernel, bias]))


def test_labels_that_are_none_match_nothing() -> None:
    scores = np.array([[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]], "float32")
    for labels, right in (([-1, -1], 0), ([5, 10**10], 0), ([2.0, 0.0], 2), ([2.5, 0], 1)):
        assert kernels.sparse_matches(np.array(labels), scores) == right
        assert functional.sparse_matches(np.array(labels), scores) == right
    assert kernels.sparse_matches(np.array([True, False]), scores) == 1
