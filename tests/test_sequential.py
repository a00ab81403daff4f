"""Sequential models: layers, shapes, weights, copies and summaries."""

from __future__ import annotations

import copy
import io
import pickle
import re
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import newer_keras
from tests.models import GRAPHS, bits, classifier
from tinynet import Input, Sequential, layers
from tinynet.program.variable import join, runs

L = layers
SCCE = "sparse_categorical_crossentropy"


def small() -> Sequential:
    return Sequential([L.Input((4,)), L.Dense(5, "relu", name="hidden"), L.Dense(3, name="out")])


# ------------------------------------------------------------ adding, building, removing


def test_layers_are_built_when_added() -> None:
    model = Sequential()
    model.add(Input((28, 28)))
    assert (model.built, model.layers, model.weights) == (False, [], [])
    model.add(L.Flatten())
    model.add(L.Dense(3))
    assert model.built
    assert (model.input_shape, model.output_shape) == ((None, 28, 28), (None, 3))
    kernel = model.weights[0].numpy()
    model.add(L.Dense(2))
    np.testing.assert_array_equal(model.weights[0], kernel)
    assert model.output_shape == (None, 2)
    removed = model.pop()
    assert isinstance(removed, L.Dense)
    assert model.output_shape == (None, 3)
    assert model.count_params() == 784 * 3 + 3


@pytest.mark.parametrize(
    "first",
    [
        lambda: [Input((4,)), L.Dense(3)],
        lambda: [L.InputLayer(shape=(4,)), L.Dense(3)],
        lambda: [L.Dense(3, input_shape=(4,))],
        lambda: [L.Dense(3, input_dim=4)],
    ],
)
def test_ways_to_specify_input_shape(first: Any) -> None:
    model = Sequential(first())
    assert model.built
    assert model.input_shape == (None, 4)
    assert len(model.layers) == 1
    assert [t.shape for t in (*model.inputs, *model.outputs)] == [(None, 4), (None, 3)]


@pytest.mark.parametrize(
    "build",
    [
        lambda m: m.build((None, 4)),
        lambda m: m(np.zeros((2, 4))),
        lambda m: m.predict(np.zeros((2, 4)), verbose=0),
        lambda m: m.fit(np.zeros((2, 4)), [0, 1], verbose=0),
        lambda m: m.evaluate(np.zeros((2, 4)), [0, 1], verbose=0),
    ],
)
def test_lazy_building(build: Any) -> None:
    model = Sequential([L.Dense(5), L.Dense(3)])
    model.compile("adam", SCCE)
    assert (model.built, model.weights, model.get_weights()) == (False, [], [])
    for name in ("input_shape", "output_shape", "inputs", "outputs"):
        assert not hasattr(model, name)
    with pytest.raises(ValueError, match=r"Received: built=False$"):
        model.count_params()
    build(model)
    assert model.built
    paths = ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"]
    assert [w.path for w in model.weights] == paths
    assert model.input_shape[1:] == (4,)


def test_weights_are_views_of_vector() -> None:
    model = small()
    arrays = [w.array for w in model.weights]
    assert runs(arrays) == [(0, 4)]
    flat = join(arrays)
    assert flat.size == model.count_params()
    model.layers[0].kernel.assign(np.ones((4, 5)))
    assert (flat[:20] == 1).all()


def test_mismatched_layer_is_not_added() -> None:
    model = small()
    with pytest.raises(ValueError, match="must be a valid axis"):
        model.add(L.Softmax(axis=4))
    assert [layer.name for layer in model.layers] == ["hidden", "out"]
    assert model.built
    model.predict(np.zeros((1, 4)), verbose=0)


def test_get_layer() -> None:
    model = small()
    assert model.get_layer("out") is model.layers[1]
    assert model.get_layer(index=-2) is model.layers[0]


def test_set_weights_accepts_arrays_and_variables() -> None:
    model = small()
    for weights in (model.get_weights(), model.weights):
        other = small()
        other.set_weights(weights)
        np.testing.assert_array_equal(model(np.ones((2, 4))), other(np.ones((2, 4))))


# ------------------------------------------------------------ nested models


def test_nested_model() -> None:
    inner = Sequential([L.Dense(5, "relu"), L.Dense(4, "relu")], name="inner")
    model = Sequential([Input((4,)), inner, L.Dense(3, "softmax")])
    assert len(model.weights) == 6
    assert model.get_layer("inner") is inner
    model.compile(tinynet.optimizers.Adam(0.05), SCCE)
    assert runs([w.array for w in model.weights]) == [(0, 6)]
    x, y = np.eye(4), [0, 1, 2, 0]
    before = [w.copy() for w in inner.get_weights()]
    losses = model.fit(x, y, epochs=80, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 3
    assert all((a != b).any() for a, b in zip(inner.get_weights(), before, strict=True))
    inner.trainable = False
    assert len(model.trainable_weights) == 2
    plain = Sequential([*inner.layers, model.layers[1]])
    np.testing.assert_array_equal(plain(x), model(x))


def test_layers_can_be_called_and_reused() -> None:
    model = small()
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(model.layers[1](model.layers[0](x)), model(x))
    front = Sequential([model.layers[0]])
    # A layer computes with NumPy and a model with the compiled runner, which may round differently.
    np.testing.assert_allclose(front(x), model.layers[0](x), rtol=1e-6, atol=1e-7)
    # The layer is shared by two models; training updates the same weights.
    model.compile("adam", "sparse_categorical_crossentropy")
    before = model.layers[0].kernel.numpy()
    model.fit(x, [0, 1], verbose=0)
    np.testing.assert_allclose(front(x), model.layers[0](x), rtol=1e-6, atol=1e-7)
    assert (model.layers[0].kernel.numpy() != before).any()


# ------------------------------------------------------------ copies


@pytest.mark.parametrize(
    "duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"]
)
def test_copies_are_independent(duplicate: Any) -> None:
    model = classifier(metrics=["accuracy"])
    model.fit(np.eye(4), [0, 1, 2, 0], epochs=2, verbose=0)
    other = duplicate(model)
    before = bits(model)
    assert bits(other) == before
    for a, b in zip(model.weights, other.weights, strict=True):
        assert not np.shares_memory(a.array, b.array)
    history = [m.fit(np.eye(4), [0, 1, 2, 0], epochs=3, verbose=0).history for m in (other, model)]
    assert history[0] == history[1]
    assert bits(other) == bits(model) != before
    assert runs([w.array for w in other.weights]) == [(0, 4)]
    for name in ("momentum", "velocity"):
        slots = [v.array for v in other.optimizer.variables if v.name.endswith(name)]
        assert runs(slots) == [(0, 4)]


def test_configurations_round_trip() -> None:
    for model in (small(), Sequential([L.Dense(3)])):
        again = Sequential.from_config(model.get_config())
        assert again.get_config() == model.get_config()
        assert again.built is model.built
    assert Sequential.from_config(small().get_config()).input_shape == (None, 4)


# ------------------------------------------------------------ summary


def printed(model: Any, **options: Any) -> str:
    lines: list[str] = []
    model.summary(print_fn=lambda text, **_: lines.append(text), **options)
    return "\n".join(lines)


def table(text: str) -> tuple[list[list[str]], list[str]]:
    """Return the rows of a summary as lists of cells, and the text below the table."""
    text = re.sub(r"\033\[[\d;]*m", "", text)
    rows = [
        [cell.strip() for cell in re.split("[│┃|]", line)[1:-1]]
        for line in text.splitlines()
        if line[:1] in ("│", "┃", "|")
    ]
    # Keras wraps long cells.
    joined: list[list[str]] = []
    for row in rows:
        if row[-1] == "" and joined:
            joined[-1] = [a + b for a, b in zip(joined[-1], row, strict=True)]
        else:
            joined.append(row)
    below = [line.strip() for line in text.splitlines() if "params:" in line]
    return joined, below


def test_summary_of_original_program() -> None:
    model = Sequential([Input((28, 28)), L.Flatten(), L.Dense(128, "relu"), L.Dense(10, "softmax")])
    assert printed(model) == (
        'Model: "sequential"\n'
        "┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━┓\n"
        "┃ Layer (type)                    ┃ Output Shape           ┃       Param # ┃\n"
        "┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━┩\n"
        "│ flatten (Flatten)               │ (None, 784)            │             0 │\n"
        "├─────────────────────────────────┼────────────────────────┼───────────────┤\n"
        "│ dense (Dense)                   │ (None, 128)            │       100,480 │\n"
        "├─────────────────────────────────┼────────────────────────┼───────────────┤\n"
        "│ dense_1 (Dense)                 │ (None, 10)             │         1,290 │\n"
        "└─────────────────────────────────┴────────────────────────┴───────────────┘\n"
        " Total params: 101,770 (397.54 KB)\n"
        " Trainable params: 101,770 (397.54 KB)\n"
        " Non-trainable params: 0 (0.00 B)"
    )


def test_summary_in_ascii(monkeypatch: Any) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr("sys.stdout", stream)
    small().summary()
    stream.flush()
    text = stream.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]  # BytesIO
    assert "?" not in text
    rows, below = table(text)
    assert rows[1:] == [["hidden (Dense)", "(None, 5)", "25"], ["out (Dense)", "(None, 3)", "18"]]
    assert len(below) == 3


def test_summary_line_length() -> None:
    for width in (60, 90, 120):
        lines = printed(small(), line_length=width).splitlines()
        assert {len(line) for line in lines if line[0] in "┏┃┡│├└"} == {width}


NETS = {
    "built": lambda k: k.Sequential([k.Input((4,)), k.layers.Dense(5), k.layers.Dense(3)]),
    "unbuilt": lambda k: k.Sequential([k.layers.Flatten(), k.layers.Dense(5)]),
    "images": lambda k: k.Sequential(
        [k.Input((28, 28)), k.layers.Flatten(), k.layers.Dense(512, "relu"), k.layers.Softmax()],
        name="net",
    ),
    "frozen": lambda k: k.Sequential(
        [k.Input((4,)), k.layers.Dense(5, trainable=False, name="still"), k.layers.Dense(2)]
    ),
    "nested model": lambda k: k.Sequential(
        [k.Input((4,)), k.Sequential([k.layers.Dense(2)], name="inner"), k.layers.Dense(3)]
    ),
    "batch size": lambda k: k.Sequential([k.Input((4,), batch_size=7), k.layers.Dense(3)]),
}


@pytest.fixture(scope="module")
def keras() -> Any:
    pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")
    from reference.keras_net import keras

    return keras


@pytest.mark.parametrize("compiled", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("name", NETS)
def test_summary_matches_keras(name: str, compiled: bool, keras: Any) -> None:
    keras.backend.clear_session(free_memory=False)
    tables, trainable = [], []
    for k in (keras, tinynet):
        model = NETS[name](k)
        if compiled:
            model.compile("adam", SCCE)
            if model.built:
                model.optimizer.build(model.trainable_variables)
        tables.append(table(printed(model)))
        rows, _ = table(printed(model, show_trainable=True))
        trainable.append([row[-1] for row in rows[1:]])
    assert tables[1] == tables[0]
    assert trainable[1] == trainable[0]


def model_in_a_model(k: Any) -> Any:
    x, h = k.Input((4,), name="x"), k.Input((3,), name="h")
    inner = k.Model(h, k.layers.Dense(3, name="deep")(h), name="inner")
    y = k.layers.Dense(3, name="first")(x)
    return k.Model(x, k.layers.Add(name="sum")([y, inner(y)]), name="net")


NAMED = ("residual", "siamese", "two_outputs", "repeated", "mixed", "experts")


@newer_keras
@pytest.mark.each_value
@pytest.mark.parametrize("options", [{}, {"expand_nested": True, "show_trainable": True}])
@pytest.mark.parametrize("net", [model_in_a_model, *(GRAPHS[name] for name in NAMED)])
def test_graph_summary_matches_keras(net: Any, options: Any, keras: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    keras.backend.clear_session(free_memory=False)
    theirs, ours = (table(printed(net(k), line_length=250, **options)) for k in (keras, tinynet))
    assert ours == theirs


def test_names_match_keras(keras: Any) -> None:
    keras.backend.clear_session(free_memory=False)
    named = []
    for k in (keras, tinynet):
        first, second = (
            k.Sequential([k.layers.Dense(2), k.layers.ReLU(), k.layers.Dense(2)]) for _ in range(2)
        )
        first.build((None, 3))
        names = [second.name, *(layer.name for layer in (*first.layers, *second.layers))]
        named.append(names + [w.path.split("/")[-1] for w in first.weights])
    assert named[1] == named[0]


def test_adding_layers_takes_linear_time() -> None:
    """Adding a layer calls it on zeros, and does not call previous layers again."""

    class Counts(L.Layer):
        calls = 0

        def call(self, x: Any) -> Any:
            Counts.calls += 1
            return x

    model = Sequential([L.Input((2,))])
    for _ in range(30):
        model.add(Counts())
        model.add(L.Dense(2))
    assert Counts.calls == 2 * 30  # each new layer is called with two batch sizes
    kernels = [layer.kernel.array for layer in model.layers[1::2]]
    assert all(kernel.base is kernels[0].base for kernel in kernels)
