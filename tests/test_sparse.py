"""Compressed rows that others made, and models that take them in place of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

import tinynet as keras
from tinynet.sparse import CompressedRows


def some(rng: np.random.Generator, n: int = 70, width: int = 40) -> Any:
    return rng.normal(size=(n, width)) * (rng.random((n, width)) < 0.2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [40, 70_000])
def test_from_csr_is_what_compressing_gives(
    width: int, dtype: str, rng: np.random.Generator
) -> None:
    x = some(rng, 4, width)
    csr = scipy.sparse.csr_array(x)
    rows = CompressedRows.from_csr(csr.indptr, csr.indices, csr.data, csr.shape, dtype)
    expected = CompressedRows(x, dtype)
    count = csr.nnz
    np.testing.assert_array_equal(rows.indptr, expected.indptr)
    np.testing.assert_array_equal(rows.indices, expected.indices[:count])
    np.testing.assert_array_equal(rows.values, expected.values[:count])
    for name in ("shape", "width", "narrow", "dtype"):
        assert getattr(rows, name) == getattr(expected, name)
    assert rows.indices.dtype == expected.indices.dtype
    assert rows.values.dtype == dtype
    csr.data[:] = 0
    np.testing.assert_array_equal(rows.values, expected.values[:count])


@pytest.mark.parametrize(
    ("indptr", "indices"),
    [
        ([0, 2], [0, 1]),  # too few rows
        ([0, 2, 1], [0, 1]),  # a row that ends before it begins
        ([1, 1, 2], [0, 1]),
        ([0, 1, 3], [0, 1]),  # more than there are
        ([0, 1, 1], [0, 1]),
        ([0, 1, 2], [0, 3]),  # a column that there is not
        ([0, 1, 2], [-1, 0]),
        ([0, 2, 2], [1, 0]),  # falling columns
        ([0, 2, 2], [1, 1]),
    ],
)
def test_from_csr_refuses_what_the_kernels_must_not_see(indptr: Any, indices: Any) -> None:
    with pytest.raises(ValueError, match="Received: "):
        CompressedRows.from_csr(indptr, indices, [1.0, 2.0], (2, 3))


def test_empty_rows() -> None:
    rows = CompressedRows.from_csr([0, 0, 1, 1], [2], [5.0], (3, 4))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="ones")])
    np.testing.assert_array_equal(model.predict(rows, verbose=0), [[0.0], [5.0], [0.0]])


@pytest.mark.parametrize("backend", ["numba", "numpy"])
def test_models_take_them_everywhere(backend: str, rng: np.random.Generator) -> None:
    before = keras.config.backend()
    keras.config.set_backend(backend)
    x = some(rng)
    y = (x.sum(axis=1) > 0).astype(int)
    csr = scipy.sparse.csr_array(x)
    rows = CompressedRows.from_csr(csr.indptr, csr.indices, csr.data, csr.shape)
    model = keras.Sequential(
        [
            keras.Input((40,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(rows, y, epochs=2, verbose=0)
    # Sums of 40 terms in another order, in float32.
    close: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}
    expected = model.predict(x, verbose=0)
    for size in (None, 7, 100):
        got = model.predict(rows, batch_size=size, verbose=0)
        np.testing.assert_allclose(got, expected, **close)
    np.testing.assert_allclose(model.predict_on_batch(rows[3:9]), expected[3:9], **close)
    figures = [model.evaluate(each, y, verbose=0) for each in (rows, x)]
    np.testing.assert_allclose(*figures, **close)
    keras.config.set_backend(before)


def test_gradients_that_lie_in_memory_column_by_column(rng: np.random.Generator) -> None:
    x, y = some(rng, 64), rng.random((64, 128))
    before, found = keras.config.backend(), []
    for backend in ("numba", "numpy"):
        keras.config.set_backend(backend)
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.layers.Dense(128), keras.layers.Softmax(axis=0)])
        model.compile(keras.optimizers.Adam(0.1), "mse")
        history = model.fit(x, y, epochs=3, shuffle=False, verbose=0).history
        found.append(history["loss"])
    keras.config.set_backend(before)
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_a_model_that_cannot_take_them_says_so() -> None:
    rows = CompressedRows.from_csr([0, 1], [2], [5.0], (1, 4))
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    with pytest.raises(ValueError, match="whose first layer is Dense"):
        model.predict(rows, verbose=0)
