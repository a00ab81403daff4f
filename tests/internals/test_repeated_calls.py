"""Repeated calls with small batches skip validation, but take every change into account."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests import RandomNumbers, models
from tinynet import GradientTape, Sequential, Variable, config, layers
from tinynet.models import Model
from tinynet.program.tensor import Tensor

RNG = RandomNumbers(7)
X = RNG.normal(size=(60, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 60)


def net() -> Any:
    return models.classifier(layers.BatchNormalization(), shape=(6,), seed=None)


def layer_by_layer(model: Any, x: Any) -> Any:
    for layer in model.layers:
        x = layer(x)
    return np.asarray(x)


def both(model: Any, x: Any) -> list[bytes]:
    """Return the outputs of the model and of `predict` for a batch shape that was used before."""
    assert x.shape in [shape for shape, _ in model._repeated]
    return [np.asarray(y).tobytes() for y in (model(x), model.predict(x, verbose=0))]


def replace_array(model: Sequential) -> None:
    variable = model.layers[0].kernel
    variable.array = np.ascontiguousarray(variable.array * 3)


def replace_variable(model: Sequential) -> None:
    model.layers[0].kernel = Variable(np.ones((6, 5)), dtype="float32", name="kernel")


OLD = layers.Activation("tanh")

CHANGES: dict[str, Callable[[Sequential], Any]] = {
    "nothing": lambda model: None,
    "weights set": lambda model: model.set_weights([2 * w for w in model.get_weights()]),
    "weights assigned": lambda model: model.layers[0].kernel.assign(np.ones((6, 5))),
    "weights in place": lambda model: model.layers[0].kernel.array.fill(0.5),
    "array replaced": replace_array,
    "variable replaced": replace_variable,
    "activation": lambda model: setattr(model.layers[0], "activation", np.tanh),
    "epsilon": lambda model: setattr(model.layers[1], "epsilon", 0.5),
    "frozen": lambda model: setattr(model.layers[1], "trainable", False),
    "layer added": lambda model: model.add(layers.Dense(2)),
    "old layer added": lambda model: model.add(OLD),
    "layer removed": lambda model: model.pop(),
    "trained": lambda model: model.fit(X, Y, verbose=0),
    "compiled": lambda model: model.compile("sgd", "mse"),
    "numpy": lambda model: config.set_backend("numpy"),
    "threads": lambda model: config.set_num_threads(2),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changes_affect_repeated_calls(change: str) -> None:
    model, x = net(), X[:1]
    for _ in range(3):
        first = np.asarray(model(x))
    np.testing.assert_allclose(first, layer_by_layer(model, x), 1e-5, 1e-7)
    CHANGES[change](model)
    expected = layer_by_layer(model, x)
    same = np.shape(expected) == np.shape(first) and np.allclose(expected, first, 1e-5)
    assert same == (change in ("nothing", "frozen", "compiled", "numpy", "threads"))
    for _ in range(3):
        for y in (model(x), model.predict(x, verbose=0), model.predict_on_batch(x)):
            np.testing.assert_allclose(np.asarray(y), expected, 1e-5, 1e-7)


@pytest.mark.each_value
@pytest.mark.parametrize("n", [1, 2, 31, 33])
@pytest.mark.parametrize("kind", ["float32", "float64", "float16", "uint8", "int64", "bool"])
@pytest.mark.parametrize("order", ["C", "F", "strided", "read-only"])
def test_repeated_call_accepts_any_array(n: int, kind: str, order: str) -> None:
    x = np.abs(X[:n] * 3).astype(kind)
    if order == "strided":
        x = np.repeat(x, 2, axis=1)[:, ::2]
    elif order == "F":
        x = np.asfortranarray(x)
    x.flags.writeable = order != "read-only"
    model, before = net(), x.copy()
    first = np.asarray(model(x)).tobytes()
    assert both(model, x) == [first, first]
    assert np.array_equal(x, before)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -0.0])
def test_repeated_call_with_unusual_values(value: float) -> None:
    model, x = net(), X[:1].astype(float)
    model(x)
    x[0, 2] = value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = both(model, x)
    assert got == [np.asarray(net_like(model)(x)).tobytes()] * 2


def net_like(model: Sequential) -> Sequential:
    """Return a model with the same weights that has not been called yet."""
    other = net()
    other.set_weights(model.get_weights())
    return other


def test_repeated_call_reshapes_like_first() -> None:
    flat = Sequential([layers.Input((4,)), layers.Flatten(), layers.Dense(2)])
    column = Sequential([layers.Input((1,)), layers.Dense(2)])
    for model, x in ((flat, X[:3, :4]), (column, X[:3, 0])):
        first = np.asarray(model(x))
        assert both(model, x) == [first.tobytes()] * 2


def test_repeated_outputs_are_new_arrays() -> None:
    model, x = net(), X[:1]
    first = model.predict(x, verbose=0).copy()
    outputs = [model.predict(x, verbose=0) for _ in range(3)]
    for y in outputs:
        assert type(y) is np.ndarray
        assert np.array_equal(y, first)
        y.fill(9)
    assert type(model(x)) is Tensor
    assert not np.shares_memory(np.asarray(model(x)), np.asarray(model(x)))


def test_repeated_call_rejects_invalid_inputs() -> None:
    model, x = net(), X[:1]
    for _ in range(2):
        model(x)
    masked = np.ma.MaskedArray(x, np.ones((1, 6), bool))
    for message, tried in {
        "shape": lambda: model(x[:, :5]),
        "masked": lambda: model.predict(masked, verbose=0),
        "verbose": lambda: model.predict(x, verbose=7),
        "batch_size": lambda: model.predict(x, batch_size=0),
    }.items():
        with pytest.raises(ValueError, match=message):
            tried()


def test_repeated_call_warns_of_unscaled_inputs() -> None:
    model = net()
    model.fit(X, Y, verbose=0)
    x = X[:1].copy()
    model(x)
    model(x)
    x.fill(1000)
    with pytest.warns(UserWarning, match="scaled as in training"):
        model(x)


def test_recorded_calls_are_not_repeated() -> None:
    model = Sequential([layers.Input((6,)), layers.Dropout(0.5), layers.Dense(2)])
    x = np.ones((1, 6), np.float32)
    plain = [np.asarray(model(x)) for _ in range(2)][1]
    with GradientTape() as tape:
        y = model(x)
    assert tape.gradient(y, model.layers[-1].bias) is not None
    assert len({np.asarray(model(x, training=True)).tobytes() for _ in range(9)}) > 1
    assert np.array_equal(model(x, training=False), plain)
    outer = Model(inputs := layers.Input((6,)), model(inputs))
    assert np.array_equal(outer(x), plain)


def test_override_affects_repeated_predict() -> None:
    class Own(Sequential):
        pass

    model = Own([layers.Input((6,)), layers.Dense(2)])
    for _ in range(3):
        model.predict(X[:1], verbose=0)
    Own.predict_step = lambda self, data: np.full((1, 1), 5.0)  # type: ignore[assignment]
    assert model.predict(X[:1], verbose=0).tolist() == [[5.0]]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copy_repeats_with_own_weights(copied: Any) -> None:
    model, x = net(), X[:1]
    first = np.asarray(model(x))
    other = copied(model)
    other.layers[0].kernel.assign(np.ones((6, 5)))
    for _ in range(3):
        assert np.array_equal(model(x), first)
        np.testing.assert_allclose(other(x), layer_by_layer(other, x), 1e-5)
    assert not np.allclose(other(x), first)


def test_multiple_inputs_or_outputs_not_repeated() -> None:
    a, b = layers.Input((2,)), layers.Input((3,))
    joined = Model([a, b], layers.Dense(2)(layers.Concatenate()([a, b])))
    split = Model(a, [layers.Dense(2)(a), layers.Dense(1)(a)])
    x = [X[:1, :2], X[:1, 2:5]]
    for model, given in ((joined, x), (split, x[0])):
        first = model.predict(given, verbose=0)
        assert not model._repeated
        for y, z in zip(model.predict(given, verbose=0), first, strict=True):
            assert np.array_equal(y, z)


def test_threads_repeat_calls_of_one_model() -> None:
    model = net()
    expected = [np.asarray(model(X[i : i + 1])).tobytes() for i in range(60)]
    wrong: list[int] = []

    def run() -> None:
        for i in [*range(60)] * 20:
            if np.asarray(model(X[i : i + 1])).tobytes() != expected[i]:
                wrong.append(i)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
