"""Every gradient compared with central differences of its function.

The comparison uses float64 and random upstream gradients; with an upstream gradient of ones, errors
in softmax would cancel. A new activation, layer or loss needs a new row in a table here; a test
fails if a row is missing.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.compare import gradients
from tinynet import GradientTape, Sequential, activations, config, functional, layers, losses
from tinynet._core.buffers import Workspace
from tinynet.program.tensor import as_tensors

H = 1e-5
RTOL, ATOL = 1e-6, 1e-8
# (f(x + h) - f(x - h)) / 2h differs from f' by h^2 f'''/6, about 1e-11, and by the rounding error
# of f, about 1, over h: 2.2e-16 / 1e-5, about 2e-11. Sums of up to 100 terms add a factor of 100.


@pytest.fixture(autouse=True)
def _double_precision():
    config.set_floatx("float64")


def numeric_gradient(f: Callable[[], float], array: np.ndarray) -> np.ndarray:
    """Compute central differences by changing each element of an array in place."""
    result = np.empty_like(array)
    for i in np.ndindex(array.shape):
        kept = array[i]
        array[i] = kept + H
        above = f()
        array[i] = kept - H
        below = f()
        array[i] = kept
        result[i] = (above - below) / (2 * H)
    return result


def check(f: Callable[[], float], array: np.ndarray, analytic: np.ndarray, what: str) -> None:
    np.testing.assert_allclose(
        analytic, numeric_gradient(f, array), rtol=RTOL, atol=ATOL, err_msg=what
    )
    assert np.abs(analytic).max() > 100 * ATOL, f"{what}: all gradients are nearly 0"


# ------------------------------------------------------------ activations


def square(x):
    return x * x


square.backward = lambda d_y, x, y: 2 * x * d_y

ACTIVATIONS = {
    **{
        name: activation
        for name, activation in vars(activations).items()
        if isinstance(activation, activations.Activation)
    },
    "rectifier": activations.Rectifier(negative_slope=0.3, max_value=1.5, threshold=0.5),
    "max below threshold": activations.Rectifier(negative_slope=0.3, max_value=0.4, threshold=0.6),
    "elu with alpha=0.3": activations.elu.with_options(alpha=0.3),
    "approximate gelu": activations.gelu.with_options(approximate=True),
    "softmax along another axis": activations.softmax.with_options(axis=0),
    "log_softmax along another axis": activations.log_softmax.with_options(axis=0),
    "custom function": activations.get(square),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, rng: np.random.Generator) -> None:
    activation = ACTIVATIONS[name]
    x, upstream = 2 * rng.standard_normal((2, 5, 4))
    analytic = activation.backward(upstream.copy(), x, activation.forward(x))
    check(lambda: np.sum(upstream * activation.forward(x)), x, analytic, name)


# ------------------------------------------------------------ layers

IMAGE, ROW, SEQUENCE = (4, 3, 2), (4, 5), (3, 2, 5)
LAYERS = [
    (layers.Flatten, IMAGE),
    (lambda: layers.Dense(3), ROW),
    (lambda: layers.Dense(3, use_bias=False), ROW),
    (lambda: layers.Dense(3, activation="softmax"), ROW),
    (lambda: layers.Dense(3, activation="tanh", bias_initializer="ones"), SEQUENCE),
    (lambda: layers.Activation("linear"), ROW),
    (lambda: layers.Activation("tanh"), IMAGE),
    (layers.ReLU, ROW),
    (lambda: layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2), ROW),
    (layers.Softmax, ROW),
    (lambda: layers.Softmax(axis=1), IMAGE),
    (lambda: layers.LeakyReLU(0.3), ROW),
    (lambda: layers.Reshape((2, -1)), IMAGE),
    (lambda: layers.Rescaling(0.5, offset=2.0), ROW),
    (lambda: layers.Dropout(0.5), ROW),
    (lambda: layers.Dropout(0.5, noise_shape=(None, 1, 2)), IMAGE),
    (layers.BatchNormalization, ROW),
    (lambda: layers.BatchNormalization(axis=1, gamma_initializer="he_normal"), IMAGE),
    (lambda: layers.BatchNormalization(center=False, scale=False), ROW),
    (lambda: layers.BatchNormalization(trainable=False), ROW),
    (layers.LayerNormalization, ROW),
    (lambda: layers.LayerNormalization(axis=[2, 1], beta_initializer="ones"), SEQUENCE),
    (lambda: layers.LayerNormalization(axis=1, center=False, scale=False), SEQUENCE),
    (layers.UnitNormalization, ROW),
    (lambda: layers.UnitNormalization(axis=[1, 2]), SEQUENCE),
    (lambda: layers.Normalization(mean=[0.5], variance=[4.0]), ROW),
    (lambda: layers.Normalization(axis=(1, 2), invert=True), SEQUENCE),
    (lambda: layers.PReLU(alpha_initializer="he_normal"), ROW),
    (lambda: layers.PReLU(alpha_initializer="ones", shared_axes=1), SEQUENCE),
    (lambda: layers.ELU(0.7), ROW),
    (lambda: layers.GaussianNoise(0.5), ROW),
    (lambda: layers.GaussianDropout(0.5), ROW),
    (lambda: layers.Permute((2, 1)), SEQUENCE),
    (lambda: layers.RepeatVector(3), ROW),
    (lambda: layers.TimeDistributed(layers.Dense(3, "tanh")), SEQUENCE),
    (lambda: layers.TimeDistributed(layers.LayerNormalization()), SEQUENCE),
    (lambda: Sequential([layers.Dense(4, "relu"), layers.Dense(3, "sigmoid")]), ROW),
    (lambda: layers.Lambda(lambda x: x * x), ROW),
    (lambda: layers.ActivityRegularization(0.1, 0.2), ROW),
]
MERGING = [
    (layers.Add, [ROW, ROW, ROW]),
    (layers.Subtract, [SEQUENCE, (3, 1, 5)]),
    (layers.Multiply, [ROW, (4, 1), ROW]),
    (layers.Average, [ROW, ROW, ROW]),
    (layers.Maximum, [ROW, ROW]),
    (layers.Minimum, [ROW, ROW]),
    (layers.Concatenate, [ROW, (4, 2)]),
    (lambda: layers.Concatenate(axis=1), [SEQUENCE, (3, 4, 5)]),
    (lambda: layers.Dot(axes=1), [ROW, ROW]),
    (lambda: layers.Dot(axes=(2, 1), normalize=True), [SEQUENCE, (3, 5, 2)]),
]


def of(cls: type, module: Any) -> set[type]:
    """Return the classes of a module that are subclasses of `cls`."""
    classes = filter(inspect.isclass, vars(module).values())
    return {c for c in classes if issubclass(c, cls) and c is not cls}


def test_table_covers_every_layer() -> None:
    checked = {type(make()) for make, _ in (*LAYERS, *MERGING)}
    assert of(layers.Layer, layers) <= checked | {layers.Embedding, layers.InputLayer}


def test_embedding(rng: np.random.Generator) -> None:
    """The gradient of an embedding vector is the sum over all its uses; inputs have no gradient."""
    layer = layers.Embedding(5, 3)
    x, upstream = np.array([[2.0, 0.0], [2.0, 4.0]]), rng.random((2, 2, 3))
    layer.build((None, 2))
    d_x, found = layer_gradients(layer, x, upstream)
    assert d_x is None
    np.testing.assert_array_equal(found[2], upstream[0, 0] + upstream[1, 0])
    check(lambda: of_outputs(layer, x, upstream), layer.embeddings.array, found, "embeddings")


def of_outputs(layer: Any, x: Any, upstream: np.ndarray) -> float:
    """Return the sum of outputs times upstream gradients, with the same dropout in every call."""
    return float(np.sum(upstream * np.asarray(copy.deepcopy(layer)(x, training=True))))


def layer_gradients(layer: Any, x: Any, upstream: np.ndarray) -> list[Any]:
    """Return the gradients with respect to the input or inputs, and to the weights."""
    tensors, layer = as_tensors(x), copy.deepcopy(layer)
    with GradientTape() as tape:
        tape.watch(tensors)
        y = layer(tensors, training=True)
    several = tensors if isinstance(tensors, list) else [tensors]
    found = tape.gradient(y, [*several, *layer.trainable_weights], upstream.copy())
    return [None if d is None else np.array(d) for d in found]


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_layers(make: Callable[[], Any], shape: tuple[int, ...], rng: np.random.Generator) -> None:
    layer = make()
    layer.build((None, *shape[1:]))
    x = rng.standard_normal(shape)
    upstream = rng.standard_normal(copy.deepcopy(layer)(x, training=True).shape)
    d_x, *found = layer_gradients(layer, x, upstream)
    check(lambda: of_outputs(layer, x, upstream), x, d_x, "the input")
    for weight, gradient in zip(layer.trainable_weights, found, strict=True):
        check(lambda: of_outputs(layer, x, upstream), weight.array, gradient, weight.path)


@pytest.mark.parametrize(("make", "shapes"), MERGING)
def test_merging_layers(
    make: Callable[[], Any], shapes: list[tuple[int, ...]], rng: np.random.Generator
) -> None:
    layer, x = make(), [rng.standard_normal(shape) for shape in shapes]
    upstream = rng.standard_normal(layer(x).shape)
    for k, (array, d_x) in enumerate(zip(x, layer_gradients(layer, x, upstream), strict=True)):
        check(lambda: of_outputs(layer, x, upstream), array, d_x, f"input {k}")


# ------------------------------------------------------------ losses

LABELS = np.array([2, 0, 1, 1])
SOFT = np.array([[0.2, 0.5, 0.3], [1, 0, 0], [0.6, 0.4, 0], [0, 0, 1]])


def quartic(y_true, y_pred):
    return ((y_pred - y_true) ** 4).sum(axis=-1)


quartic.backward = lambda d, y_true, y_pred: 4 * (y_pred - y_true) ** 3 * d[..., None]

SCCE = losses.SparseCategoricalCrossentropy
LOSSES = [
    (lambda: SCCE(from_logits=True), LABELS),
    (SCCE, LABELS),
    (lambda: SCCE(ignore_class=1), LABELS),
    (lambda: SCCE(True, ignore_class=1), LABELS),
    (lambda: SCCE(reduction="sum"), LABELS),
    (lambda: SCCE(True, reduction="sum"), LABELS),
    (lambda: SCCE(True, reduction="mean_with_sample_weight"), LABELS),
    (lambda: SCCE(True), LABELS.reshape(2, 2)),
    (losses.CategoricalCrossentropy, SOFT),
    (lambda: losses.CategoricalCrossentropy(True, 0.2), SOFT),
    (lambda: losses.CategoricalCrossentropy(True, reduction="sum"), 3 * SOFT),
    (losses.BinaryCrossentropy, SOFT),
    (lambda: losses.BinaryCrossentropy(True, 0.2), SOFT),
    (losses.MeanSquaredError, SOFT),
    (lambda: losses.MeanSquaredError("mean_with_sample_weight"), SOFT.reshape(2, 2, 3)),
    (losses.MeanAbsoluteError, SOFT),
    (losses.LogCosh, 3 * SOFT),
    (lambda: losses.Huber(0.3), SOFT),
    (losses.KLDivergence, SOFT),
    (losses.Poisson, 3 * SOFT),
    (losses.MeanAbsolutePercentageError, 1 + SOFT),
    (losses.MeanSquaredLogarithmicError, 3 * SOFT),
    (losses.CosineSimilarity, SOFT),
    (lambda: losses.CosineSimilarity(axis=1), SOFT.reshape(2, 3, 2)),
    (losses.Hinge, 2 * np.rint(SOFT) - 1),
    (losses.SquaredHinge, np.rint(SOFT)),
    (losses.CategoricalHinge, np.eye(3)[LABELS]),
    (losses.BinaryFocalCrossentropy, SOFT),
    (lambda: losses.BinaryFocalCrossentropy(True, 0.7, 1.5, True, 0.1), SOFT),
    (losses.CategoricalFocalCrossentropy, SOFT),
    (lambda: losses.CategoricalFocalCrossentropy(0.7, 1.5, True, 0.1), SOFT),
    (lambda: losses.as_loss(quartic), SOFT),
]


def test_table_covers_every_loss() -> None:
    assert of(losses.Loss, losses) - {losses.DenseLoss} <= {type(make()) for make, _ in LOSSES}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("make", "y_true"), LOSSES)
def test_losses(
    make: Callable[[], Any], y_true: np.ndarray, weighted: bool, rng: np.random.Generator
) -> None:
    loss = make()
    sparse = y_true.dtype.kind == "i"
    y_pred = rng.uniform(0.1, 0.9, (*y_true.shape, 3) if sparse else y_true.shape)
    labels = loss.prepare(y_true, y_pred.shape)
    weights = rng.uniform(0.5, 2, loss.values_shape(labels, y_pred.shape)) if weighted else None
    value, d_y = loss.step(labels, y_pred, weights, Workspace())
    # The training loop and the public call must give the same value.
    assert value == pytest.approx(float(loss(y_true, y_pred, weights)), rel=1e-14)
    check(lambda: loss.step(labels, y_pred, weights, Workspace())[0], y_pred, d_y, "y_pred")


def test_clipped_probabilities_have_zero_gradient() -> None:
    loss = losses.SparseCategoricalCrossentropy()
    y_pred = np.array([[1.0, 0.0, 0.0]])
    _, d_y = loss.step(np.array([1]), y_pred, None, Workspace())
    assert not d_y.any()


# ------------------------------------------------------------ networks

L = layers
END = functools.partial(layers.Dense, 3, "softmax")
NETS: dict[str, tuple[Callable[[], list[Any]], Any]] = {
    "softmax": (lambda: [L.Dense(4, "relu"), END()], SCCE),
    "images": (lambda: [L.Flatten(), L.Dense(4, "tanh"), END()], SCCE),
    "softmax layer": (lambda: [L.Dense(3), L.Softmax()], SCCE),
    "softmax over another axis": (lambda: [L.Dense(3), L.Softmax(axis=0)], SCCE),
    "softmax followed by activation": (lambda: [END(), L.Activation("relu")], SCCE),
    "logits": (lambda: [L.Dense(4, "sigmoid"), L.ReLU(), L.Dense(3)], lambda: SCCE(True)),
    "sigmoid": (lambda: [L.Dense(3, "sigmoid")], SCCE),
    "nested model": (lambda: [L.Dense(4), Sequential([L.Dense(4, "tanh"), END()])], SCCE),
    "frozen layer": (lambda: [L.Dense(4, "tanh", trainable=False), END()], SCCE),
    "ignored class": (lambda: [END()], lambda: SCCE(ignore_class=1)),
}


@pytest.mark.each_value
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NETS)
def test_nets(name: str, weighted: bool, rng: np.random.Generator) -> None:
    make, loss = NETS[name]
    model = Sequential(make())
    model.compile("adam", loss())
    x = rng.standard_normal((6, 2, 2) if name == "images" else (6, 4))
    y = np.array([0, 1, 2, 1, 0, 2])
    sample_weight = rng.uniform(0.2, 3, 6) if weighted else None
    _, found, d_x = gradients(model, x, y, sample_weight)

    def f() -> float:
        return model.loss_and_gradients(x, y, sample_weight)[0]

    check(f, x, d_x, "the input")
    assert len(found) == len(model.trainable_weights) > 0
    for weight, gradient in zip(model.trainable_weights, found, strict=True):
        check(f, weight.array, gradient, weight.path)


def test_check_detects_wrong_gradient(monkeypatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(functional, "tanh_backward", lambda d_y, x, y, out=None: d_y * (1 - y))
    before = config.backend()
    config.set_backend("numpy")  # clears the cached functions
    with pytest.raises(AssertionError, match="Mismatch"):
        test_activations("tanh", rng)
    monkeypatch.undo()
    config.set_backend(before)
