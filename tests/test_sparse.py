"""CSR matrices as model inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse

import tinynet as keras
from tests import models
from tests.internals import on_both
from tinynet import sparse
from tinynet.sparse import CompressedRows, LazyRows


def of_csr(x: Any, dtype: str = "float32") -> CompressedRows:
    csr = scipy.sparse.csr_array(x)
    return CompressedRows.from_csr(csr.indptr, csr.indices, csr.data, csr.shape, dtype)


def some(rng: np.random.Generator, n: int = 70, width: int = 40) -> Any:
    return rng.normal(size=(n, width)) * (rng.random((n, width)) < 0.2)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [40, 70_000])
def test_from_csr_equals_compress(width: int, dtype: str, rng: np.random.Generator) -> None:
    x = some(rng, 4, width)
    csr = scipy.sparse.csr_array(x)
    rows = CompressedRows.from_csr(csr.indptr, csr.indices, csr.data, csr.shape, dtype)
    expected, count = CompressedRows(x, dtype), csr.nnz
    for name in ("shape", "width", "narrow", "dtype"):
        assert getattr(rows, name) == getattr(expected, name)
    assert (rows.indices.dtype, rows.values.dtype) == (expected.indices.dtype, dtype)
    np.testing.assert_array_equal(rows.indptr, expected.indptr)
    np.testing.assert_array_equal(rows.indices, expected.indices[:count])
    csr.data[:] = 0
    np.testing.assert_array_equal(rows.values, expected.values[:count])


@pytest.mark.parametrize(
    ("indptr", "indices"),
    [
        ([0, 2], [0, 1]),  # too few rows
        ([0, 2, 1], [0, 1]),  # a row that ends before it begins
        ([1, 1, 2], [0, 1]),
        ([0, 1, 3], [0, 1]),  # more entries than available
        ([0, 1, 1], [0, 1]),
        ([0, 1, 2], [0, 3]),  # a column out of range
        ([0, 1, 2], [-1, 0]),
        ([0, 2, 2], [1, 0]),  # decreasing columns
        ([0, 2, 2], [1, 1]),
    ],
)
def test_from_csr_rejects_invalid_csr(indptr: Any, indices: Any) -> None:
    with pytest.raises(ValueError, match="Received: "):
        CompressedRows.from_csr(indptr, indices, [1.0, 2.0], (2, 3))


def test_empty_rows() -> None:
    rows = CompressedRows.from_csr([0, 0, 1, 1], [2], [5.0], (3, 4))
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, kernel_initializer="ones")])
    np.testing.assert_array_equal(model.predict(rows, verbose=0), [[0.0], [5.0], [0.0]])


def assert_same_as_dense(model: Any, rows: CompressedRows, x: Any, y: Any) -> None:
    """Train on compressed rows; assert that outputs and metrics are those of the dense array."""
    model.fit(rows, y, epochs=2, verbose=0)
    # Float32 sums of 40 terms in a different order.
    close: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-6}
    expected = model.predict(x, verbose=0)
    for size in (None, 7, 100):
        got = model.predict(rows, batch_size=size, verbose=0)
        np.testing.assert_allclose(got, expected, **close)
    np.testing.assert_allclose(model.predict_on_batch(rows[3:9]), expected[3:9], **close)
    figures = [model.evaluate(each, y, verbose=0) for each in (rows, x)]
    np.testing.assert_allclose(*figures, **close)


def test_models_accept_compressed_rows(backend: str, rng: np.random.Generator) -> None:
    x = some(rng)
    rows, y = of_csr(x), (x.sum(axis=1) > 0).astype(int)
    model = models.classifier(shape=(40,), units=8, classes=2, metrics=["accuracy"])
    assert_same_as_dense(model, rows, x, y)


def test_models_that_flatten_compressed_rows(backend: str, rng: np.random.Generator) -> None:
    """Only the numba backend reads CSR rows; other batches have the shape of the inputs."""
    x = some(rng).reshape(-1, 8, 5)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert_same_as_dense(model, CompressedRows(x, "float32"), x, np.zeros(len(x), int))


def test_rows_too_wide_for_the_kernels(rng: np.random.Generator) -> None:
    """Column indices above 65,535 require four bytes; both backends compute with NumPy."""
    x, y = np.zeros((20, 70_000), np.float32), np.arange(20) % 2
    x[:, rng.permutation(70_000)[:300]] = rng.normal(size=(20, 300))

    def run(given: Any) -> Any:
        model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
        model.compile("sgd", "sparse_categorical_crossentropy")
        losses = model.fit(given, y, batch_size=8, epochs=2, verbose=0).history["loss"]
        return [*losses, *model.predict(given, verbose=0).ravel()]

    expected, *others = [
        *on_both(lambda: run(x)), *on_both(lambda: run(scipy.sparse.csr_array(x)))
    ]  # fmt: skip
    for values in others:
        # Float32 sums of 300 terms in a different order.
        np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_column_major_gradients(rng: np.random.Generator) -> None:
    x, y = some(rng, 64), rng.random((64, 128))

    def run() -> Any:
        model = keras.Sequential([keras.layers.Dense(128), keras.layers.Softmax(axis=0)])
        model.compile(keras.optimizers.Adam(0.1), "mse")
        return model.fit(x, y, epochs=3, shuffle=False, verbose=0).history["loss"]

    np.testing.assert_allclose(*on_both(run), rtol=1e-5)


def test_unsupported_model_rejects_compressed_rows() -> None:
    rows = CompressedRows.from_csr([0, 1], [2], [5.0], (1, 4))
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    with pytest.raises(ValueError, match="unless the model's first layer is Dense"):
        model.predict(rows, verbose=0)


def dense(rows: CompressedRows) -> np.ndarray:
    """Convert compressed rows to a dense array."""
    x = np.zeros((len(rows), rows.width))
    for i in range(len(rows)):
        here = slice(rows.indptr[i], rows.indptr[i + 1])
        x[i, rows.indices[here]] = rows.values[here]
    return x.reshape(rows.shape)


INDICES = [
    *(slice(*parts) for parts in [(None,), (3, 9), (9, 3), (-4, None), (100, 200), (-100, 100)]),
    *(slice(*parts) for parts in [(None, None, 2), (None, None, -1), (8, 2, -3), (1, None, 7)]),
    *(slice(*parts) for parts in [(2, 8, -1), (np.int64(3), np.int64(9), None)]),
    *([], [3], [5, 1, 1, -1], (slice(2, 5),), ..., [True, False] * 6),
    *(np.array([0, 11, -12]), np.arange(12) % 3 == 0, np.zeros(12, bool), np.uint8([7, 2])),
]


@pytest.mark.parametrize("shape", [(12, 6), (12, 2, 3)])
@pytest.mark.parametrize("of", ["all", "a part"])
@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_rows_are_selected_as_in_numpy(
    index: Any, of: str, shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    x = np.round(some(rng, 12, 6), 2).reshape(shape)
    rows = CompressedRows(x, "float64")
    if of == "a part":
        longer = np.concatenate([x[:5], x, x])
        rows = CompressedRows(longer, "float64")[5:17]
    found = rows[index]
    assert found.shape == x[index].shape
    np.testing.assert_array_equal(dense(found), x[index])
    np.testing.assert_array_equal(dense(found[::-1]), x[index][::-1])


def test_single_row_is_array(rng: np.random.Generator) -> None:
    x = some(rng, 12, 6).reshape(12, 2, 3)
    rows = CompressedRows(x, "float64")
    for i in (0, 5, -1, -12, np.int64(3)):
        np.testing.assert_array_equal(rows[i], x[i])
    np.testing.assert_array_equal(list(rows), x)


@pytest.mark.parametrize(
    "index", [12, -13, [0, 12], [True], (1, 2), (slice(None), 0), None, 1.5, "a", [[0, 1]]]
)
def test_wrong_rows_raise(index: Any) -> None:
    with pytest.raises(IndexError):
        CompressedRows(np.eye(12), "float64")[index]


def test_model_predicts_selected_rows(rng: np.random.Generator) -> None:
    x = some(rng)
    rows = CompressedRows(x, "float32")
    model = keras.Sequential([keras.Input((40,)), keras.layers.Dense(3)])
    expected = model.predict(x, verbose=0)
    for index in (slice(None, None, 2), slice(None, None, -1), [3, 1, 60], x[:, 0] == 0):
        found = model.predict(rows[index], verbose=0)
        # Float32 sums of 40 terms in a different order.
        np.testing.assert_allclose(found, expected[index], rtol=1e-5, atol=1e-6)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the number of rows of each compressed batch."""
    made: list[int] = []
    batch = LazyRows.batch

    def counted(rows: LazyRows, *arguments: Any) -> Any:
        made.append(len(rows))
        return batch(rows, *arguments)

    monkeypatch.setattr(LazyRows, "batch", counted)
    return made


def predict_dense(model: Any, x: Any) -> Any:
    """Return predictions in batches that are too small to be compressed."""
    return np.concatenate([model.predict(x[k : k + 100]) for k in range(0, len(x), 100)])


@pytest.mark.skipif(
    "keras.config.backend() != 'numba'", reason="only the numba backend compresses rows"
)
def test_large_sparse_inputs_are_compressed(rng: np.random.Generator, batches: list[int]) -> None:
    model = keras.Sequential([keras.layers.Dense(17, "relu"), keras.layers.Dense(3)])
    x = some(rng, 1100, 90).astype("float32")
    expected = predict_dense(model, x)
    assert batches == []
    np.testing.assert_array_equal(model.predict(x), expected)
    assert batches == [640, 460]
    np.testing.assert_array_equal(model.predict(x, batch_size=2000), expected)
    assert batches == [640, 460, 1100]
    x[900, 5] = np.nan
    np.testing.assert_array_equal(model.predict(x), predict_dense(model, x))


@pytest.mark.parametrize("inner", [["Flatten"], ["Flatten", "Dense"]])
def test_nested_network_that_flattens(rng: np.random.Generator, inner: list[str]) -> None:
    options: Any = {"Flatten": {}, "Dense": {"units": 4}}
    nested = keras.Sequential([getattr(keras.layers, n)(**options[n]) for n in inner])
    model = keras.Sequential([nested, keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    x = some(rng, 700, 90).astype("float32").reshape(-1, 9, 10)
    model.fit(x, np.zeros((700, 3)), verbose=0)
    np.testing.assert_allclose(model.predict(x), predict_dense(model, x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("weight", [np.inf, np.nan])
def test_products_with_non_finite_weights(
    weight: float, rng: np.random.Generator, batches: list[int]
) -> None:
    model = keras.Sequential([keras.Input((90,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    kernel = model.layers[0].kernel.numpy()
    kernel[0, 0] = weight
    model.layers[0].kernel.assign(kernel)
    x, y = some(rng, 700, 90).astype("float32"), np.zeros((700, 3))
    with np.errstate(invalid="ignore"):
        assert np.isnan(model.predict(x)[x[:, 0] == 0, 0]).all()
        assert np.isnan(model.evaluate(x, y, verbose=0))
    assert batches == []


def test_validation_data_is_compressed(rng: np.random.Generator, batches: list[int]) -> None:
    model = keras.Sequential([keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    x, y, seen = some(rng, 80, 90), np.ones((80, 3)), []
    watching = keras.callbacks.LambdaCallback()
    watching.on_test_begin = lambda logs=None: batches.clear()
    watching.on_test_end = lambda logs=None: seen.append(len(batches) > 0)
    both = model.fit(x, y, epochs=2, validation_data=(x, y), verbose=0, callbacks=[watching])
    assert seen == [keras.config.backend() == "numba"] * 2
    assert both.history["val_loss"][-1] == model.evaluate(x, y, verbose=0)


@pytest.mark.parametrize("rows", [1, 300])
def test_additional_element_is_zero(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Code that scales `values`, or takes their maximum, does not use uninitialized memory."""
    monkeypatch.setattr(sparse, "aligned", lambda shape, dtype: np.full(shape, 99, dtype))
    x = np.eye(rows, 64, dtype=np.uint8)
    compressed = CompressedRows(x, "float32")
    assert compressed.values[-1] == compressed.indices[-1] == 0
    assert compressed.values.max() == 1
