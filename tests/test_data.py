"""Conversion of user data to batches."""

from __future__ import annotations

import contextlib
import decimal
import fractions
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.sparse

import tinynet as keras
from tests.models import classifier
from tinynet import Sequential, layers
from tinynet._core.buffers import Workspace
from tinynet._core.checks import numeric
from tinynet.sparse import CompressedRows, LazyRows
from tinynet.training import data_adapters
from tinynet.training.data_adapters import Examples


def features(x: Any, dtype: str) -> Any:
    """Validate and convert all inputs."""
    return data_adapters.converted(data_adapters.inputs(x), dtype)


def test_features_are_not_copied_needlessly() -> None:
    x = np.ones((3, 2), np.float32)
    assert np.shares_memory(features(x, "float32"), x)
    assert not np.shares_memory(features(x[:, ::-1], "float32"), x)
    assert features(np.uint8([[255]]), "float32").tolist() == [[255]]
    assert features([[1, 2]], "float64").dtype == np.float64


@pytest.mark.parametrize("n", [1, 2, 10, 11, 60])
@pytest.mark.parametrize("fraction", [0.1, 0.2, 1 / 3, 0.5, 0.9, 0.99])
def test_split(n: int, fraction: float) -> None:
    cut = int(np.floor(n * (1 - fraction)))
    examples = Examples(np.arange(n), np.arange(n), np.arange(n))
    if cut in (0, n):
        with pytest.raises(ValueError, match=r"Received: validation_split="):
            examples.split(fraction)
        return
    first, last = examples.split(fraction)
    for part, expected in ((first, range(cut)), (last, range(cut, n))):
        assert part.x.tolist() == part.y.tolist() == part.weights.tolist() == list(expected)


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
def test_batches(ordered: bool, weighted: bool) -> None:
    x = np.arange(14.0).reshape(7, 2)
    examples = Examples(x, np.arange(7), np.arange(7) / 2 if weighted else None)
    order = np.array([3, 1, 6, 0, 2, 5, 4]) if ordered else None
    seen = []
    for x_batch, y_batch, w_batch in examples.batches(3, order, Workspace()):
        assert x_batch[:, 0].tolist() == (2 * y_batch).tolist()
        assert (w_batch is None) != weighted
        if weighted:
            assert w_batch.tolist() == (y_batch / 2).tolist()
        seen.append(y_batch.tolist())
    assert [len(batch) for batch in seen] == [3, 3, 1]
    assert np.concatenate(seen).tolist() == (order if ordered else np.arange(7)).tolist()
    assert examples.steps(3) == 3
    assert examples.steps(7) == 1


def test_shuffled_batches_reuse_one_buffer() -> None:
    examples = Examples(np.arange(8.0), np.arange(8))
    batches = examples.batches(4, np.arange(8)[::-1], Workspace())
    first, second = next(batches)[0], next(batches)[0]
    assert first.base is second.base or np.shares_memory(first, second)


@pytest.mark.parametrize(
    ("y", "shape", "expected"),
    [
        ([0, 1, 2], None, [2, 0.5, 1]),
        ([[0], [1], [2]], None, [2, 0.5, 1]),
        (np.eye(3), None, [2, 0.5, 1]),
        ([0.0, 1.0, 2.0], None, [2, 0.5, 1]),
        ([0.1, 0.5, 0.6, 1.4], (4,), [2, 2, 0.5, 0.5]),  # rounded to the nearest class; 0.5 to even
        ([[0.1], [0.9], [1.5]], (3,), [2, 0.5, 1]),
        ([[0, 1], [2, 0]], (2, 2), [[2, 0.5], [1, 2]]),  # a label at each position
        ([[[0], [1]], [[2], [0]]], (2, 2), [[2, 0.5], [1, 2]]),
        (np.eye(3)[[[0, 1], [2, 0]]], (2, 2), [[2, 0.5], [1, 2]]),
        ([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2]], (2,), [0.5, 2]),  # soft labels
        ([[0], [1]], (2, 1), [[2], [0.5]]),  # sequences of length 1
    ],
)
def test_class_weights_for_all_target_forms(y: Any, shape: Any, expected: Any) -> None:
    for one in (1, 1.0, np.int8(1), np.int64(1), np.float32(1), True):
        given = {0: 2.0, one: 0.5, 7: 3.0}
        weights = data_adapters.class_weights(np.array(y), given, "float32", shape)
        assert weights.dtype == np.float32
        assert weights.tolist() == expected


def test_class_weights_require_last_axis_of_size_1() -> None:
    with pytest.raises(
        ValueError, match=r"last axis of size 1 to y\. Received: y of shape \(2, 3\)"
    ):
        data_adapters.class_weights(np.zeros((2, 3)), {0: 2.0}, "float32", (2, 4))


def test_class_weight_of_sequences() -> None:
    x, y = np.ones((2, 3, 4), "float32"), np.array([[0, 0, 1], [1, 0, 0]])
    model = Sequential([layers.Input((3, 4)), layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    plain = model.test_on_batch(x, y)
    weights = np.where(y == 1, 5.0, 1.0)
    weighted = model.test_on_batch(x, y, sample_weight=weights)
    before = model.get_weights()
    for class_weight, expected in (({2: 100.0}, plain), ({1: 5.0}, weighted)):
        model.set_weights(before)
        assert model.train_on_batch(x, y, class_weight=class_weight) == pytest.approx(expected)
    model = Sequential([layers.Input((3, 4)), layers.Dense(1, "sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    with pytest.raises(ValueError, match="add a last axis of size 1 to y"):
        model.fit(x, y, class_weight={1: 5.0}, verbose=0)
    model.fit(x, y[..., None], class_weight={1: 5.0}, verbose=0)


# ------------------------------------------------------------ accepted data


def raises_as(pattern: str, function: Any, *args: Any) -> None:
    with pytest.raises(ValueError, match=pattern):
        function(*args)


def test_numeric_reads_tables_of_any_dtype() -> None:
    pd = pytest.importorskip("pandas")
    dummies = pd.get_dummies(pd.DataFrame({"age": [1.5, 2], "sex": list("fm")}))
    assert numeric("x", dummies).tolist() == [[1.5, 1, 0], [2, 0, 1]]
    mixed = pd.DataFrame(
        {
            "int": [1, 2],
            "float": np.float16([0.5, 1.5]),
            "byte": np.uint8([255, 0]),
            "bool": [True, False],
            "nullable": pd.array([3, 4], "Int64"),
            "nullable float": pd.array([0.25, 4], "Float32"),
            "nullable bool": pd.array([False, True], "boolean"),
            "category": pd.Categorical([7, 8]),
            "object": [decimal.Decimal("1.25"), fractions.Fraction(1, 2)],
            "sparse": pd.arrays.SparseArray([0, 9]),
        },
        index=["b", "a"],
    )
    rows = [[1, 0.5, 255, 1, 3, 0.25, 0, 7, 1.25, 0], [2, 1.5, 0, 0, 4, 4, 1, 8, 0.5, 9]]
    assert numeric("x", mixed).tolist() == rows
    for column, label in enumerate(mixed):
        assert numeric("y", mixed[label]).tolist() == [row[column] for row in rows]
        assert numeric("y", mixed[[label]]).tolist() == [[row[column]] for row in rows]
    twice = mixed[["int", "bool"]].set_axis(["a", "a"], axis=1)
    assert numeric("x", twice).tolist() == [[1, 1], [2, 0]]
    assert numeric("x", mixed[[]]).shape == (2, 0)
    uniform = pd.DataFrame(np.ones((3, 2), np.float32))
    assert numeric("x", uniform).dtype == np.float32


def test_numeric_names_column_type_and_row() -> None:
    pd = pytest.importorskip("pandas")
    bad: list[tuple[Any, str]] = [
        (["x", "y"], "text.*'x' in row 0 .column 'bad', dtype (str|object).$"),
        (["5", "6"], "convert text to numbers.*'5' in row 0 .column 'bad', dtype (str|object).$"),
        (pd.Categorical(["x", "y"]), "text.*'x' in row 0 .column 'bad', dtype category.$"),
        (pd.to_datetime(["2020-01-01"] * 2).as_unit("ns"), "dates.*column 'bad', dtype datetime64"),
        (pd.to_datetime(["2020-01-01"] * 2).tz_localize("UTC"), "dates.*column 'bad'.*UTC"),
        (pd.to_timedelta([1, 2], unit="s"), "durations.*column 'bad', dtype timedelta64"),
        ([1j, 2], "not complex.*column 'bad', dtype complex128"),
        (pd.array([1, None], "Int64"), "missing.* in row 1 .column 'bad', dtype Int64.$"),
        (pd.array([True, None], "boolean"), "missing.* in row 1 .column 'bad', dtype boolean.$"),
        (pd.Series([1, None], dtype=object), "missing.* in row 1 .column 'bad', dtype object.$"),
        (pd.Series([1, {}]), "not a dict.*{} in row 1 .column 'bad', dtype object.$"),
    ]
    for values, pattern in bad:
        table = pd.DataFrame({"good": [1.5, 2], "bad": values})
        raises_as(f"x must contain real numbers.*{pattern}", numeric, "x", table)
        raises_as("x must contain real numbers.*column 'bad'", numeric, "x", table["bad"])
        raises_as("x must contain real numbers.*column 'bad'", numeric, "x", table[["bad"]])


@pytest.mark.parametrize("package", ["pyarrow", "polars"])
def test_numeric_reads_arrow_and_polars(package: str) -> None:
    library = pytest.importorskip(package, reason=f"needs {package}: pip install {package}")
    make = library.table if package == "pyarrow" else library.DataFrame
    table = make({"a": [1, 2], "b": [True, False], "c": [0.5, 1.5]})
    assert numeric("x", table).tolist() == [[1, 1, 0.5], [2, 0, 1.5]]
    assert numeric("y", table["a"]).tolist() == [1, 2]
    raises_as("missing.*column 'a'.*row 1", numeric, "x", make({"a": [1, None], "b": [1.5, 2]}))
    raises_as("text.*column 'b'.*row 0", numeric, "x", make({"a": [1, 2], "b": ["u", "v"]}))
    if package == "pyarrow":
        pd = pytest.importorskip("pandas")
        backed = pd.DataFrame({"a": [1, 2], "c": [0.5, 1.5]}).convert_dtypes(dtype_backend=package)
        assert numeric("x", backed).tolist() == [[1, 0.5], [2, 1.5]]
        backed.iloc[1, 0] = None
        raises_as(r"missing.* in row 1 \(column 'a', dtype int64.pyarrow.\)$", numeric, "x", backed)


@pytest.mark.parametrize(
    "values",
    [
        np.array([[1, 2.5], [True, decimal.Decimal(3)]], object),
        [[np.array(1), np.float16(2.5)], [np.uint64(1), np.longdouble(3)]],
        [[1, 2.5], [True, fractions.Fraction(3)]],
        [np.ma.array([1, 2.5]), np.ma.array([1, 3], mask=[0, 0])],
        np.ma.array([[1, 2.5], [1, 3.0]]),
    ],
)
def test_numeric_reads_numbers_in_objects(values: Any) -> None:
    found = numeric("x", values)
    assert type(found) is np.ndarray
    assert found.dtype.kind == "f"
    assert found.tolist() == [[1, 2.5], [1, 3]]


def test_numeric_reads_a_column_of_images() -> None:
    images = np.empty(2, object)
    images[:] = [np.zeros((2, 3)), np.ones((2, 3))]
    assert numeric("x", images).shape == (2, 2, 3)
    images[1] = np.ones(3)
    raises_as("equal lengths", numeric, "x", images)


class PretendTensor:
    """Mock of a PyTorch tensor that requires gradients."""

    def __init__(self, values: Any, attached: bool = True) -> None:
        self.values, self.attached = np.float32(values), attached
        self.shape = self.values.shape

    def detach(self) -> PretendTensor:
        return PretendTensor(self.values, attached=False)

    def cpu(self) -> PretendTensor:
        return self

    def is_floating_point(self) -> bool:
        return True

    def element_size(self) -> int:
        return 4

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        if self.attached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        return self.values


X = np.float32(np.random.default_rng(0).random((48, 4)) * (np.arange(48)[:, None] % 3 == 0))
Y = np.arange(48) % 2
W = np.linspace(0, 1, 48)


def net(*first: Any, shape: Any = (4,)) -> Any:
    keras.utils.set_random_seed(0)
    last = [keras.layers.Dense(3, "relu"), keras.layers.Dense(2, "softmax", name="out")]
    model = keras.Sequential([keras.Input(shape, name="feats"), *first, *last])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def everything(model: Any, x: Any, y: Any, w: Any) -> list[Any]:
    """Pass the data to every method that accepts data; return all results."""
    options = {"validation_data": (x, y, w), "shuffle": False}
    history = model.fit(x, y, 16, 2, 0, sample_weight=w, **options).history
    return [
        history["loss"],
        history["val_loss"],
        model.evaluate(x, y, sample_weight=w, verbose=0),
        model.train_on_batch(x, y, w),
        model.test_on_batch(x, y, w),
        model.predict(x, verbose=0),
        model.predict(x, batch_size=7, verbose=0),
        model.predict_on_batch(x),
        np.asarray(model(x)),
    ]


def assert_alike(a: list[Any], b: list[Any]) -> None:
    for one, other in zip(a, b, strict=True):
        # Compressed rows sum 4 float32 terms in a different order.
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


FORMS: dict[str, Callable[[Any, Any, Any], tuple[Any, Any, Any]]] = {
    "dicts": lambda x, y, w: ({"feats": x, "unused": x}, {"out": y}, {"out": w}),
    "lists": lambda x, y, w: ([x], [y], [w]),
    "tuples": lambda x, y, w: ((x,), (y,), (w,)),
    "dict, list and array": lambda x, y, w: ({"feats": [x]}, [y[:, None]], w),
    "csr": lambda x, y, w: (scipy.sparse.csr_array(x), y, w),
    "csc matrix": lambda x, y, w: (scipy.sparse.csc_matrix(x), y, w),
    "coo in a dict": lambda x, y, w: ({"feats": scipy.sparse.coo_array(x)}, y, w),
    "tensors": lambda x, y, w: (PretendTensor(x), PretendTensor(y), PretendTensor(w)),
    "list of tensors": lambda x, y, w: ([PretendTensor(x)], [PretendTensor(y)], [PretendTensor(w)]),
    "rows as arrays": lambda x, y, w: (list(x), list(y), list(w)),
    "objects": lambda x, y, w: (x.astype(object), y.astype(object), w.astype(object)),
    "unmasked": lambda x, y, w: (np.ma.array(x), np.ma.array(y), np.ma.array(w)),
    "trailing axis of size 1": lambda x, y, w: (x[..., None], y[..., None], w[..., None]),
}


@pytest.mark.each_value
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("backend", ["numpy", "numba"], indirect=True)
@pytest.mark.parametrize("dense", [False, True])
def test_model_accepts_all_data_forms(form: str, backend: str, dense: bool) -> None:
    def new() -> Any:
        return net(*[keras.layers.BatchNormalization()] * dense)

    assert_alike(everything(new(), *FORMS[form](X, Y, W)), everything(new(), X, Y, W))
    batches = [(X[i : i + 16], Y[i : i + 16], W[i : i + 16]) for i in range(0, 48, 16)]
    expected = fit_batches(new(), batches)
    formed = [FORMS[form](*batch) for batch in batches]
    for made in (formed, [list(batch) for batch in formed], [tuple(batch) for batch in formed]):
        assert_alike(fit_batches(new(), made), expected)


class Batches(keras.utils.PyDataset):
    """Batches from a list."""

    def __init__(self, batches: Any) -> None:
        super().__init__()
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        return self.batches[index]


def fit_batches(model: Any, batches: list[Any]) -> list[Any]:
    history = model.fit(
        Batches(batches), validation_data=Batches(batches), shuffle=False, verbose=0
    )
    return [
        history.history["loss"],
        history.history["val_loss"],
        model.evaluate(iter(batches), steps=3, verbose=0),
        model.predict(Batches(batches), verbose=0),
    ]


def test_model_accepts_tables() -> None:
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(X.copy(), columns=list("abcd"), index=range(100, 148))
    table["e"] = X[:, 0] > 0.5
    y, w = pd.Series(Y, index=range(7, 55)), pd.Series(W, dtype="Float64")
    expected = everything(net(shape=(5,)), np.column_stack([X, X[:, 0] > 0.5]), Y, W)
    for given in ((table, y), (table.convert_dtypes(), y.astype("Int64").to_frame())):
        assert_alike(everything(net(shape=(5,)), *given, w), expected)
    table.iloc[3, 1] = np.nan
    for first in ([], [keras.layers.Rescaling(2.0)]):
        raises_as("finite.*is nan in row 3, column 'b'", net(*first, shape=(5,)).fit, table, y)


@pytest.mark.parametrize("shape", [(28, 28, 1), (28, 28), (1,), (), (4, 1)])
def test_model_adjusts_input_rank(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).random((48, *shape))
    x[np.arange(48) % 4 > 0] = 0  # sparse enough to be compressed
    other = x[..., 0] if shape[-1:] == (1,) else x[..., None]
    models = [net(keras.layers.Flatten(), shape=shape) for _ in range(2)]
    assert_alike(everything(models[1], other, Y, W), everything(models[0], x, Y, W))
    raises_as(r"Inputs of .* must have shape", models[0].predict, x[:, None, None])
    entry = keras.Input(shape)
    model = keras.Model(entry, keras.layers.Dense(2)(keras.layers.Flatten()(entry)))
    np.testing.assert_array_equal(model(other), model(x))


def test_list_with_one_target_array() -> None:
    hot = net()
    hot.compile("adam", "categorical_crossentropy")
    expected = hot.test_on_batch(X[:1], [[0, 1]])
    assert hot.test_on_batch(X[:1], [np.array([0, 1])]) == expected
    assert hot.test_on_batch(X[:1], [np.array([[0, 1]])]) == expected


def test_sparse_input_is_not_changed() -> None:
    values, places = np.array([1.0, 2.0, 3.0, 0.0]), ([0, 0, 1, 2], [1, 1, 3, 0])
    matrix = scipy.sparse.coo_array((values, places), (3, 4))
    before = [array.tolist() for array in (*matrix.coords, matrix.data)]
    model = net()
    found, expected = (model.predict(x, verbose=0) for x in (matrix, matrix.toarray()))
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert [array.tolist() for array in (*matrix.coords, matrix.data)] == before
    raises_as("not complex", model.predict, scipy.sparse.csr_array(X.astype(complex)))
    infinite = scipy.sparse.csr_array(np.where(X == 0, 0, np.inf))
    raises_as("finite.*row 0", model.fit, infinite, Y)


# ------------------------------------------------------------ dtypes and memory

TYPES = {
    "float32": lambda x: x.astype(np.float32),
    "int64": lambda x: x.astype(np.int64),
    "uint8": lambda x: x.astype(np.uint8),
    "int16": lambda x: x.astype(np.int16),
    "uint64": lambda x: x.astype(np.uint64),
    "float16": lambda x: x.astype(np.float16),
    "float64": lambda x: x.astype(np.float64),
    "longdouble": lambda x: x.astype(np.longdouble),
    "big-endian": lambda x: x.astype(">f8"),
    "big-endian integers": lambda x: x.astype(">i4"),
    "in columns": lambda x: np.asfortranarray(x.astype(np.uint8)),
    "strided": lambda x: np.repeat(x.astype(np.uint8), 2, axis=1)[:, ::2],
    "backwards": lambda x: x[::-1].astype(np.float32)[::-1],
    "read-only": lambda x: np.frombuffer(x.astype(np.uint8).tobytes(), np.uint8).reshape(x.shape),
    "list": lambda x: x.tolist(),
}


@pytest.mark.each_value
@pytest.mark.parametrize("density", [0.1, 1.0])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("options", [{}, {"shuffle": False}, {"validation_split": 0.3}], ids=str)
def test_input_dtypes_and_layouts_bit_identical(
    density: float, optimizer: str, options: Any, rng: Any
) -> None:
    x, y = rng.integers(1, 256, (70, 20)) * (rng.random((70, 20)) < density), np.arange(70) % 3
    found = {}
    for name, form in TYPES.items():
        given = form(x)
        model = classifier(shape=(20,), optimizer=optimizer, metrics=["accuracy"])
        logs = model.fit(given, y, epochs=2, batch_size=16, verbose=0, **options).history
        model.train_on_batch(given, y)
        parts = [
            *model.get_weights(),
            *map(np.array, logs.values()),
            np.array(model.evaluate(given, y, verbose=0)),
            model.predict(given, verbose=0),
            model.predict(given, batch_size=70, verbose=0),
            model.predict_on_batch(given),
            model(given).numpy(),
        ]
        found[name] = [part.tobytes() for part in parts]
    for name, parts in found.items():
        assert parts == found["float32"], name


def test_bool_inputs_are_numbers(rng: Any) -> None:
    x, y = rng.random((40, 20)) < 0.5, np.arange(40) % 3
    found = []
    for given in (x, x.astype(np.float32)):
        model = classifier(shape=(20,))
        model.fit(given, y, verbose=0)
        found.append([w.tobytes() for w in (*model.get_weights(), model.predict(given, verbose=0))])
    assert found[0] == found[1]


@contextlib.contextmanager
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


@pytest.mark.each_value
@pytest.mark.parametrize("kind", [np.uint8, np.float64])
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("shuffle", [True, False])
def test_inputs_are_converted_batch_by_batch(
    kind: Any, optimizer: str, shuffle: bool, rng: Any
) -> None:
    """The peak memory of each call is less than that of a converted copy of all inputs."""
    x = rng.integers(1, 256, (6000, 2000), np.uint8).astype(kind)
    y = np.arange(len(x)) % 3
    model = classifier(shape=(2000,), optimizer=optimizer)
    calls = {
        "fit": lambda: model.fit(x, y, shuffle=shuffle, verbose=0),
        "validation": lambda: model.fit(x[:64], y[:64], validation_data=(x, y), verbose=0),
        "evaluate": lambda: model.evaluate(x, y, verbose=0),
        "predict": lambda: model.predict(x, verbose=0),
    }
    model.fit(x[:64], y[:64], verbose=0)  # compile the kernels before measuring
    with traced():
        for name, call in calls.items():
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            call()
            peak = tracemalloc.get_traced_memory()[1] - before
            assert peak < x.size, name  # a quarter of their size in float32


def test_sparse_inputs_are_compressed_in_parts(rng: Any) -> None:
    x = rng.integers(1, 100, (1200, 3000)) * (rng.random((1200, 3000)) < 0.01)
    expected = CompressedRows(x.astype(np.float32), "float32")
    with traced():
        rows = CompressedRows(x, "float32")
        peak = tracemalloc.get_traced_memory()[1]
    assert rows.indptr.tolist() == expected.indptr.tolist()
    for part in ("indices", "values"):
        found, wanted = (getattr(r, part)[: rows.indptr[-1]] for r in (rows, expected))
        assert found.tolist() == wanted.tolist()
    assert peak < x.size


class PretendDataset:
    """Mock of an infinite tf.data.Dataset."""

    def cardinality(self) -> int:
        return -1

    def __len__(self) -> int:
        raise TypeError("The dataset is infinite.")

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield X, Y


def test_infinite_datasets_need_steps() -> None:
    model = net()
    history = model.fit(PretendDataset(), steps_per_epoch=3, epochs=2, verbose=0).history
    assert len(history["loss"]) == 2
    for call in (model.fit, model.evaluate, model.predict):
        raises_as("steps must be specified for an infinite", call, PretendDataset())


def test_one_dimensional_features_may_be_sparse() -> None:
    model = net(shape=(1,))
    x = np.array([0.0, 2.0, 0.0])
    expected = model.predict(x[:, None], verbose=0)
    np.testing.assert_array_equal(model.predict(scipy.sparse.coo_array(x), verbose=0), expected)
    np.testing.assert_array_equal(model.predict(range(3)).shape, (3, 2))


def test_functional_model_accepts_lists_and_dicts() -> None:
    entry = keras.Input((4,), name="feats")
    output = keras.layers.Dense(2, name="out")(entry)
    models = [keras.Model(*pair) for pair in (([entry], [output]), ({"feats": entry}, output))]
    for model in models:
        np.testing.assert_array_equal(model({"feats": X}), model([X]))


def test_example_bytes_after_conversion() -> None:
    x, y = np.zeros((3, 4, 5), np.uint8), np.zeros(3)
    assert Examples(x, y).example_bytes == 20
    assert Examples(x, y, dtype=np.dtype("float32")).example_bytes == 80
    assert Examples(LazyRows(x, "float32"), y).example_bytes == 80
    dtypes = np.dtype("float32"), np.dtype("int64")
    assert Examples((x, x[:, 0]), y, dtype=dtypes).example_bytes == 80 + 40


def test_threads_evaluate_compressed_rows(threads: int) -> None:
    rng = np.random.default_rng(0)
    x = (rng.random((3000, 50)) * (rng.random((3000, 50)) < 0.1)).astype("float32")
    y = rng.integers(0, 10, 3000)
    model = classifier(shape=(50,), classes=10, metrics=["accuracy"])
    expected = float(np.mean(model.predict(x, verbose=0).argmax(axis=1) == y))
    found = model.evaluate(CompressedRows(x, "float32"), y, verbose=0)[1]
    assert found == pytest.approx(expected)
