"""Merging layers and Lambda layers, compared with Keras."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import RandomNumbers, recorded
from tinynet import layers, ops

RNG = RandomNumbers(0)


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [RNG.normal(size=shape).astype(np.float32) for shape in shapes]


# The layer, and the shapes of its inputs.
MERGES: list[tuple[Callable[[Any], Any], list[tuple[int, ...]]]] = [
    (lambda k: k.layers.Add(), [(3,), (3,), (3,)]),
    (lambda k: k.layers.Add(), [(4, 3), (3,)]),
    (lambda k: k.layers.Subtract(), [(3,), (3,)]),
    (lambda k: k.layers.Multiply(), [(4, 3), (4, 1)]),
    (lambda k: k.layers.Average(), [(3,), (3,), (3,)]),
    (lambda k: k.layers.Maximum(), [(3,), (3,)]),
    (lambda k: k.layers.Minimum(), [(3,), (3,)]),
    (lambda k: k.layers.Concatenate(), [(3,), (2,)]),
    (lambda k: k.layers.Concatenate(axis=1), [(2, 3), (4, 3)]),
    (lambda k: k.layers.Concatenate(axis=-2), [(2, 3), (4, 3)]),
    (lambda k: k.layers.Dot(axes=1), [(3,), (3,)]),
    (lambda k: k.layers.Dot(axes=-1, normalize=True), [(3,), (3,)]),
    (lambda k: k.layers.Dot(axes=2), [(4, 3), (5, 3)]),
    (lambda k: k.layers.Dot(axes=(2, 1)), [(4, 3), (3, 5)]),
    (lambda k: k.layers.Dot(axes=(1, 2)), [(3, 4), (2, 3)]),
]


def trained(k: Any, make: Callable[[Any], Any], shapes: Any, seed: int, start: Any = None) -> Any:
    """Train a model with the layer between dense layers; return all results."""
    inputs = [k.Input(shape, name=f"x{n}") for n, shape in enumerate(shapes)]
    hidden = [k.layers.Dense(shape[-1], "tanh")(x) for x, shape in zip(inputs, shapes, strict=True)]
    merged = make(k)(hidden)
    out = k.layers.Dense(2)(k.layers.Flatten()(merged))
    model = k.Model(inputs, out)
    if start is not None:
        model.set_weights(start)
    start = model.get_weights()
    model.compile(k.optimizers.SGD(0.05), "mse")
    rng = np.random.default_rng(seed)
    *x, y = (rng.normal(size=(8, *shape)).astype(np.float32) for shape in (*shapes, (2,)))
    history = model.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0).history
    return start, history["loss"], model.get_weights(), model.predict(x, verbose=0), merged.shape


NAMES = ("start", "losses", "weights", "predictions", "shape")


def keras_results(case: int) -> dict[str, Any]:
    """Train with a Keras layer; return the results that tinynet must reproduce."""
    from reference.keras_net import keras

    make, shapes = MERGES[case]
    keras.utils.set_random_seed(case)
    found = dict(zip(NAMES, trained(keras, make, shapes, case), strict=True))
    return {**found, "options": sorted({*make(keras).get_config(), "dtype"})}


def assert_same_training(found: Any, expected: dict[str, Any], options: Any) -> None:
    _, losses, weights, predictions, shape = found
    assert [*shape] == [*expected["shape"]]
    np.testing.assert_allclose(losses, expected["losses"], rtol=1e-5)
    for a, b in zip(weights, expected["weights"], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(predictions, expected["predictions"], atol=1e-5)
    assert options <= {*expected["options"]}


@pytest.mark.parametrize("case", range(len(MERGES)))
def test_merging_layer_matches_recorded(case: int) -> None:
    (make, shapes), expected = MERGES[case], recorded.result("merging", case)
    found = trained(tinynet, make, shapes, case, expected["start"])
    assert_same_training(found, expected, make(tinynet).get_config().keys())


@pytest.mark.wide
@pytest.mark.parametrize("case", range(len(MERGES)))
def test_keras_merging_layer_matches_recorded(case: int) -> None:
    pytest.importorskip("tensorflow", reason="needs Keras on TensorFlow")
    theirs, expected = keras_results(case), recorded.result("merging", case)
    assert_same_training([theirs[name] for name in NAMES], expected, {*theirs["options"]})
    for a, b in zip(theirs["start"], expected["start"], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7, err_msg="see tests/recorded.py")


@pytest.mark.parametrize(
    "name", ["add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate"]
)
def test_merging_function_equals_layer(name: str) -> None:
    x, y = arrays((5, 3), (5, 3))
    kind = getattr(layers, name.capitalize())
    np.testing.assert_array_equal(getattr(layers, name)([x, y]), kind()([x, y]))


def test_dot_function_accepts_axes() -> None:
    x, y = arrays((5, 3), (5, 3))
    found, terms = layers.dot([x, y], axes=1)[:, 0], x * y
    # Three rounding errors of at most half an ulp of the sum of absolute values.
    off = 3 * np.finfo(np.float32).eps / 2 * np.abs(terms).sum(axis=1)
    assert (np.abs(found.numpy() - terms.sum(axis=1)) <= 2 * off).all()


def scaled(x: Any, factor: float = 2.0) -> Any:
    return x * factor


def test_lambda_applies_a_function_of_operations() -> None:
    x = tinynet.Input((3,))
    y = layers.Lambda(scaled, arguments={"factor": 3.0})(x)
    y = layers.Lambda(lambda pair: ops.concatenate(pair, axis=-1))([y, x])
    model = tinynet.Model(x, layers.Dense(1, kernel_initializer="ones")(y))
    data = arrays((4, 3))[0]
    np.testing.assert_allclose(
        model.predict(data, verbose=0)[:, 0], 4 * data.sum(axis=1), rtol=1e-5
    )
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(data, np.zeros(4), verbose=0)
    assert not np.array_equal(before[0], model.get_weights()[0])


def test_lambda_receives_training_argument() -> None:
    layer = layers.Lambda(lambda x, training=False: x * (2.0 if training else 1.0))
    x = np.ones((1, 2), np.float32)
    assert layer(x).numpy().tolist() == [[1.0, 1.0]]
    assert layer(x, training=True).numpy().tolist() == [[2.0, 2.0]]


def test_activity_regularization_adds_to_loss() -> None:
    x = arrays((6, 3))[0]
    model = tinynet.Sequential(
        [tinynet.Input((3,)), layers.ActivityRegularization(l1=0.1, l2=0.2), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    error = float(np.mean(np.square(model.predict(x, verbose=0))))
    cost = (0.1 * np.abs(x).sum() + 0.2 * np.square(x).sum()) / len(x)
    assert model.evaluate(x, np.zeros(6), verbose=0) == pytest.approx(error + cost, rel=1e-5)
    again = layers.ActivityRegularization.from_config(model.layers[0].get_config())
    assert (again.l1, again.l2) == (0.1, 0.2)
