"""Losses: Keras' reduction of values to a scalar, and results computed by Keras."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import pytest

import tinynet
from tests import models
from tests.compare import EPS
from tinynet import Sequential, config, layers, losses
from tinynet._core.buffers import Workspace

SCCE = losses.SparseCategoricalCrossentropy
Y = [2, 0]
Z = [[1, 2, 3], [0, -1, 4]]
P = [[0.2, 0.3, 0.5], [0.6, 0.3, 0.3]]
OWN = [0.40760595, 4.02474499]  # loss of each row of Z; both rows of P have loss log 2
W = [2, 0.5]
LN2 = float(np.log(2))
NONE, LOGITS = {"reduction": "none"}, {"from_logits": True}
HOT = [[0, 0, 1], [1, 0, 0]]

# Options, predictions, weights, and the result for the labels Y.
SPARSE = [
    ({**LOGITS, **NONE}, Z, None, OWN),
    ({**LOGITS, "reduction": None}, Z, W, [2 * OWN[0], OWN[1] / 2]),
    (LOGITS, Z, None, 2.21617556),
    ({**LOGITS, "reduction": "mean"}, Z, None, 2.21617556),
    ({**LOGITS, "reduction": "sum"}, Z, None, sum(OWN)),
    ({**LOGITS, "reduction": "sum"}, Z, W, 2 * OWN[0] + OWN[1] / 2),
    (NONE, P, None, [LN2, LN2]),
    ({}, P, W, 0.86643398),
    ({"reduction": "mean_with_sample_weight"}, P, W, LN2),
    ({"reduction": "mean_with_sample_weight"}, P, [0, 0], 0),
    ({"reduction": "mean_with_sample_weight"}, P, 3.0, LN2),  # Keras: 2 * LN2
    ({}, P, 3.0, 3 * LN2),
    ({}, P, [[2], [0.5]], 0.86643398),
    ({"ignore_class": 0}, P, None, LN2),
    ({"ignore_class": 0, **NONE}, P, None, [LN2, 0]),
    ({"ignore_class": 0, "reduction": "sum"}, P, None, LN2),
]
BALANCED = {"apply_class_balancing": True, "gamma": 1.0}
SMOOTH = {**NONE, "label_smoothing": 0.2}
WORKED = [
    *(("SparseCategoricalCrossentropy", o, Y, p, value, w) for o, p, w, value in SPARSE),
    *(
        ("SparseCategoricalCrossentropy", {}, labels, P, LN2)
        for labels in ([[2], [0]], np.float32(Y), np.array(Y, np.uint8), np.array(Y, ">i4"), (2, 0))
    ),
    ("SparseCategoricalCrossentropy", {**LOGITS, **NONE}, [Y, Y], [Z, Z], [OWN, OWN]),
    # One weight for each example.
    ("SparseCategoricalCrossentropy", LOGITS, [Y, [1, 1]], [Z, Z], sum(OWN) / 4, [1, 0]),
    ("SparseCategoricalCrossentropy", {}, [1], [[1, 0, 0]], 16.118095),  # certain and incorrect
    ("SparseCategoricalCrossentropy", {}, [0], [[0, 0, 0]], np.log(3)),
    ("SparseCategoricalCrossentropy", {}, [0], [[2, 2, 2]], np.log(3)),
    ("CategoricalCrossentropy", NONE, HOT, P, [LN2, LN2]),
    ("CategoricalCrossentropy", SMOOTH, HOT, P, [0.78828830, 0.78556681]),
    ("CategoricalCrossentropy", LOGITS, HOT, Z, 2.21617556),
    ("CategoricalCrossentropy", {}, [[1, 0]], [[1.0, 0.0]], 1.1920929e-7),
    ("BinaryCrossentropy", {}, [1, 0, 1], [0.7, 0.4, 1e-9], 5.66186523),
    ("BinaryCrossentropy", LOGITS, [1, 0, 1], [2, -1, 0.5], 0.30475557),
    ("BinaryCrossentropy", {}, [[1]], [[0.0]], 16.118095),
    ("BinaryCrossentropy", {}, [[0]], [[1.0]], 15.942385),
    ("BinaryCrossentropy", {}, [1, 0], [[0.25], [0.5]], 1.5 * LN2),
    ("MeanSquaredError", {}, [[0, 0], [1, 1]], [[1, 3], [1, 1]], 2.5),
    ("MeanSquaredError", {}, [1, 2], [[2], [4]], 2.5),
    ("MeanSquaredError", {}, [[1], [2]], [2, 4], 2.5),
    ("MeanAbsoluteError", {}, [[0, 0]], [[1, -3]], 2),
    ("Huber", {}, [[0, 0]], [[1, -3]], 1.5),
    ("LogCosh", {}, [[0]], [[LN2]], np.log(1.25)),
    ("KLDivergence", {}, [[0.5, 0.5]], [[0.25, 0.75]], (LN2 + np.log(2 / 3)) / 2),
    ("Poisson", {}, [[2, 0]], [[0.5, 3]], (0.5 + 2 * LN2 + 3) / 2),
    ("MeanAbsolutePercentageError", {}, [[4, -2]], [[5, -1]], 37.5),
    ("MeanAbsolutePercentageError", {}, [[0]], [[1e-7]], 100),
    ("MeanSquaredLogarithmicError", {}, [[1, 0]], [[3, -5]], LN2**2 / 2),
    ("CosineSimilarity", NONE, [[0, 1], [1, 1]], [[3, 4], [-2, -2]], [-0.8, 1]),
    ("CosineSimilarity", {}, [[0, 0]], [[3, 4]], 0),
    ("CosineSimilarity", {"axis": 1, **NONE}, [Z], [Z], [[-1, -1, -1]]),
    ("Hinge", NONE, [[1, -1], [0, 1]], [[0.5, -3], [2, 0.5]], [0.25, 0.75]),
    ("Hinge", NONE, [[1, 0], [0, 1]], [[0.5, -3], [2, 0.5]], [0.25, 1.75]),
    ("SquaredHinge", {}, [[1, 0]], [[0.5, 2]], (0.25 + 9) / 2),
    ("CategoricalHinge", {}, [[0, 1], [1, 0]], [[2, 0.5], [3, -1]], 1.25),
    ("BinaryFocalCrossentropy", {}, [[1, 0]], [[0.5, 0.5]], LN2 / 4),
    ("BinaryFocalCrossentropy", {"gamma": 0.0}, [[1, 0]], [[0.25, 0.5]], 1.5 * LN2),
    ("BinaryFocalCrossentropy", BALANCED, [[1], [0]], [[0.5], [0.5]], LN2 / 4),
    ("CategoricalFocalCrossentropy", {}, [[0, 1]], [[0.5, 0.5]], LN2 / 16),
    ("CategoricalFocalCrossentropy", {"alpha": 1.0, "gamma": 0.0}, [[0, 1]], [[3, 1]], 2 * LN2),
]


@pytest.mark.parametrize("row", WORKED, ids=str)
def test_values_match_keras(row: Any) -> None:
    name, options, y, p, expected, *weights = row
    value = getattr(losses, name)(**options)(y, p, *weights)
    assert hasattr(value, "numpy")
    assert value.dtype == np.float32
    # Each result is a sum of few terms; the tolerance is 8 rounding errors. The expected values
    # from Keras have nine digits.
    np.testing.assert_allclose(value, expected, rtol=8 * EPS)


def test_probability_of_one_is_clipped() -> None:
    # -log(1 - 1e-7) in float32, with one rounding error of 1 as the tolerance.
    assert float(SCCE()([0], [[1, 0, 0]])) == pytest.approx(2.384e-7, abs=1.2e-7)


def test_names_and_configurations() -> None:
    function = losses.sparse_categorical_crossentropy
    assert losses.get("sparse_categorical_crossentropy") is function
    assert type(losses.get("SparseCategoricalCrossentropy")) is SCCE
    assert losses.get(None) is None
    assert function(Y, Z, from_logits=True).tolist() == pytest.approx(OWN, rel=1e-6)
    for form in ("sparse_categorical_crossentropy", function, SCCE(), SCCE):
        assert type(losses.as_loss(form)) is SCCE
    assert type(losses.as_loss(losses.serialize(SCCE()))) is SCCE
    assert SCCE().name == "sparse_categorical_crossentropy"
    loss = SCCE(from_logits=True, ignore_class=2, reduction="sum", name="mine")
    again = losses.deserialize(losses.serialize(loss))
    assert again.get_config() == loss.get_config()


PIXELS = np.arange(256).reshape(64, 4)
RANGES = [
    ("BinaryCrossentropy", PIXELS, "divide pixel values by 255"),
    ("BinaryCrossentropy", np.where(PIXELS % 2, 1, -1), r"\(y \+ 1\) / 2"),
    ("BinaryCrossentropy", PIXELS[:, :1] % 10, "sparse_categorical_crossentropy"),
    ("BinaryCrossentropy", [[0.5, 1.1]], r"in the range \[0, 1\];.*targets from 0\.5 to 1\.1"),
    ("BinaryCrossentropy", [[300.0, -4]], "mean_squared_error"),
    ("KLDivergence", PIXELS, "divide pixel values by 255"),
    ("KLDivergence", [[-0.5, 1.5]], r"in the range \[0, 1\]"),
    ("CategoricalCrossentropy", [[-2, 3, -2]], "must be at least 0; .*probabilities"),
]


@pytest.mark.parametrize(("name", "y", "message"), RANGES)
def test_targets_out_of_range_raise(name: str, y: Any, message: str) -> None:
    """Targets are checked before training, for losses and for metrics of the same name."""
    y = np.asarray(y)
    x = np.zeros((len(y), 2), np.float32)
    good = np.eye(y.shape[-1])[np.zeros(len(y), int)]
    with pytest.raises(ValueError, match=message) as caught:
        getattr(losses, name)()(y, np.full(y.shape, 0.5))
    assert "Received: targets from " in str(caught.value)
    function = caught.value.args[0].removeprefix("Targets of ").split()[0]
    with pytest.raises(ValueError, match=message):
        losses.get(function)(y, np.full(y.shape, 0.5))
    for options in ({"loss": function}, {"loss": "mse", "metrics": [losses.get(function)]}):
        model = models.classifier(shape=(2,), classes=y.shape[-1], end="sigmoid", **options)
        before = models.bits(model)
        for use, *data in (
            (model.fit, x, y),
            (model.fit, iter([(x, y)])),
            (functools.partial(model.fit, validation_data=(x, y)), x, good),
            (model.evaluate, x, y),
            (model.train_on_batch, x, y),
            (model.test_on_batch, x, y),
        ):
            with pytest.raises(ValueError, match=message):
                use(*data)
        assert models.bits(model) == before


def test_targets_in_range_are_accepted() -> None:
    for y in ([[0, 1]], [[0.1, 0.9]], [[True, False]], np.float32([[1 + 1e-7, -1e-7]]), [[0, 0]]):
        for name in ("BinaryCrossentropy", "CategoricalCrossentropy", "KLDivergence"):
            assert np.isfinite(getattr(losses, name)()(y, [[0.5, 0.5]]))
    for name in ("MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh"):
        assert float(getattr(losses, name)()([[-1e4, 255]], [[0.5, 0.5]])) > 0


def test_unnormalized_rows_warn_once() -> None:
    model = Sequential([layers.Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    x, several = np.zeros((2, 4)), np.array([[1, 1, 0], [0, 0, 0]])
    model.fit(x, several / 2, verbose=0)  # soft targets, which sum to 1, and a row of zeros
    with pytest.warns(UserWarning, match="binary_crossentropy and a sigmoid.*the sum 2"):
        model.fit(x, several, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.evaluate(x, several, verbose=0)


@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
def test_targets_without_trailing_unit_axis(reduction: Any) -> None:
    """Predictions (N, T, 1) become (N, T) for targets (N, T); the loss is averaged over T."""
    y, p = np.arange(12.0).reshape(4, 3), np.full((4, 3, 1), 2.0, np.float32)
    loss = losses.MeanSquaredError(reduction=reduction)
    rows = np.square(y - 2).mean(axis=1)
    total = rows.sum()
    expected = {"none": rows, None: rows, "sum": total}.get(reduction, total / 4)
    np.testing.assert_allclose(loss(y, p), expected, rtol=8 * EPS)
    np.testing.assert_allclose(loss(y[..., None], p[..., 0]), expected, rtol=8 * EPS)
    weights = np.array([1.0, 0, 2, 0], np.float32)
    weighted = float(np.sum(losses.MeanSquaredError("none")(y, p, weights)))
    assert weighted == pytest.approx(np.sum(weights * rows), rel=8 * EPS)
    with pytest.raises(ValueError, match=r"broadcasts to \(4,\)"):
        loss(y, p, np.ones((4, 3)))
    if reduction in ("none", None):
        return
    value, d_y = loss.step(loss.prepare(y, p.shape), p, None, Workspace())
    assert value == pytest.approx(expected, rel=8 * EPS)
    scale = 1 if reduction == "sum" else 1 / 4
    np.testing.assert_allclose(d_y, scale * 2 / 3 * (p - y[..., None]), rtol=8 * EPS)


def cubic(y_true, y_pred):
    return np.abs(y_true - y_pred).sum(axis=-1) ** 3


WITHOUT_BACKWARD = type("Own", (losses.Loss,), {"call": lambda self, y, p: cubic(y, p)})()


@pytest.mark.parametrize("loss", [cubic, WITHOUT_BACKWARD])
def test_loss_without_backward_is_differentiated(loss: Any) -> None:
    y, p = np.array([[1.0, -2.0], [0.5, 0.0]]), np.array([[0.0, 1.0], [2.0, 1.0]])
    d = losses.as_loss(loss).backward(np.array([1.0, 10.0]), y, p)
    # 3 (sum of |y - p|)^2 sign(p - y), with sums 4 and 2.5.
    np.testing.assert_allclose(d, [[-48, 48], [187.5, 187.5]])


@pytest.mark.parametrize("loss", [lambda t, p: 0.0, lambda t, p: np.asarray(p).sum(axis=-1)])
def test_loss_without_operations_raises(loss: Any) -> None:
    model = models.classifier(loss=loss)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"must compute .* operations.*Received: "):
        model.fit(*models.data(), verbose=0)
    assert all(map(np.array_equal, before, model.get_weights()))


class Absolute:
    """An object with the methods of a loss, but not a subclass of `Loss`."""

    def call(self, y_true, y_pred):
        return np.abs(y_pred - y_true).mean(axis=-1)

    def backward(self, d_values, y_true, y_pred):
        return np.sign(y_pred - y_true) * d_values[..., None] / y_pred.shape[-1]


def test_objects_with_backward_are_losses() -> None:
    def absolute(y_true, y_pred):
        return Absolute().call(y_true, y_pred)

    absolute.backward = Absolute().backward
    y, p = np.float32([[0, 1], [2, 3]]), np.float32([[1, 1], [0, 9]])
    expected = losses.MeanAbsoluteError().step(y, p, None, Workspace())
    for own in (Absolute(), absolute):
        loss = losses.as_loss(own)
        assert loss.name == "absolute"
        assert not loss.is_mean  # a custom loss may not be a mean over examples
        value, d_y = loss.step(y, p, None, Workspace())
        assert value == expected[0]
        np.testing.assert_array_equal(d_y, expected[1])
    own = type("Own", (Absolute, losses.Loss), {})()
    assert float(own([[1.0, 2.0]], [[0.0, 0.0]])) == 1.5
    assert float(own([1.0, 2.0], [[0.0], [4.0]])) == 1.5


def test_wrong_gradient_shape_raises() -> None:
    def wrong(y_true, y_pred):
        return (y_pred - y_true).sum(axis=-1)

    wrong.backward = lambda d_values, y_true, y_pred: d_values
    with pytest.raises(ValueError, match=r"of shape \(2, 2\)\. Received: shape \(2,\)"):
        losses.as_loss(wrong).step(np.zeros((2, 2)), np.ones((2, 2)), None, Workspace())


def test_float64_is_computed_in_float64() -> None:
    config.set_floatx("float64")
    # The clipped probability is 1 - 1e-7, which float32 would round.
    assert float(losses.BinaryCrossentropy()([[0]], [[1.0]])) == pytest.approx(
        -np.log(1 - (1 - 1e-7)), rel=1e-14
    )
    model = Sequential([layers.Dense(3, activation="softmax")])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(np.eye(3), np.eye(3), verbose=0)
    assert {w.dtype for w in model.weights} == {"float64"}
    assert model.predict(np.eye(3), verbose=0).dtype == np.float64


@pytest.mark.parametrize("base", ["MeanSquaredError", "SparseCategoricalCrossentropy"])
def test_compile_rejects_call_without_backward(base: str) -> None:
    """Otherwise, the built-in gradient would be used, or the new call would be ignored."""
    parent = getattr(tinynet.losses, base)
    own = type("Own", (parent,), {"call": lambda self, t, p: 3 * parent.call(self, t, p)})
    with pytest.raises(ValueError, match=r"Own must override backward together with .* Received: "):
        models.classifier(loss=own())
    models.classifier(loss=type("Renamed", (parent,), {})())


TRUE_GRADIENTS: list[tuple[str, dict[str, Any]]] = [
    *(("MeanSquaredError", {}), ("MeanAbsoluteError", {}), ("Huber", {"delta": 0.2})),
    *(("LogCosh", {}), ("KLDivergence", {}), ("CosineSimilarity", {}), ("Poisson", {})),
    *(("CategoricalCrossentropy", {"label_smoothing": 0.1}), ("CategoricalCrossentropy", {})),
    *(("BinaryCrossentropy", {"label_smoothing": 0.1}), ("BinaryCrossentropy", {})),
    *(("CategoricalCrossentropy", {"from_logits": True}), ("MeanSquaredLogarithmicError", {})),
    ("BinaryCrossentropy", {"from_logits": True}),
]


@pytest.mark.parametrize(("name", "options"), TRUE_GRADIENTS)
def test_target_gradient_matches_keras(name: str, options: Any) -> None:
    """The gradient is needed if a trainable model, such as a teacher, computes `y_true`."""
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    from reference.keras_net import keras

    rng = np.random.default_rng(0)
    both = rng.random((2, 5, 3)).astype(np.float32) + 0.1
    y_true, y_pred = both / both.sum(axis=-1, keepdims=True)
    found = []
    for k, tape_of, variable in (
        (keras, tf.GradientTape, tf.Variable),
        (tinynet, tinynet.GradientTape, tinynet.Variable),
    ):
        u, v = variable(y_true), variable(y_pred)
        with tape_of() as tape:
            loss = getattr(k.losses, name)(**options)(u * 1.0, v * 1.0)
        found.append([np.asarray(g) for g in tape.gradient(loss, [u, v])])
        with tape_of() as tape:
            loss = getattr(k.losses, name)(**options)(u * 1.0, y_pred)
        found[-1].append(np.asarray(tape.gradient(loss, u)))
    for theirs, ours in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_loss_between_outputs_trains_both() -> None:
    class Twins(tinynet.Model):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.two = tinynet.layers.Dense(2), tinynet.layers.Dense(2)

        def call(self, x: Any) -> Any:
            a, b = self.one(x), self.two(x)
            self.add_loss(tinynet.ops.mean(losses.mean_squared_error(a, b)))
            return a

    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    model = Twins()
    model.compile("sgd")
    loss, gradients = model.loss_and_gradients(x)
    with tinynet.GradientTape() as tape:
        error = tinynet.ops.mean(tinynet.ops.square(model.one(x) - model.two(x)))
    expected = tape.gradient(error, model.trainable_weights)
    assert loss == pytest.approx(float(error), rel=1e-5)
    for found, wanted in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_missing_target_gradient_is_reported() -> None:
    own = type("Own", (Absolute, losses.Loss), {})()
    v = tinynet.Variable(np.ones((2, 3), np.float32))
    with tinynet.GradientTape() as tape:
        loss = own(v * 1.0, v * 2.0)
    with pytest.raises(ValueError, match=r"y_true of own must not depend .*Received: "):
        tape.gradient(loss, v)


def test_functions_have_short_names() -> None:
    """As in `tf.keras.losses` and `tf.keras.metrics`."""
    for module in (losses, tinynet.metrics):
        assert module.mse is module.MSE is losses.mean_squared_error
        assert module.mae is module.MAE is losses.mean_absolute_error
        assert module.mape is losses.mean_absolute_percentage_error
        assert module.msle is losses.mean_squared_logarithmic_error
        assert module.kld is module.kullback_leibler_divergence is losses.kl_divergence
        assert module.logcosh is losses.log_cosh
    assert losses.MeanSquaredError(losses.Reduction.NONE).reduction == "none"


def test_ignored_class_may_be_set_later() -> None:
    x, y = models.data(100)
    loss = losses.SparseCategoricalCrossentropy()
    loss.ignore_class = 0
    found = [
        models.classifier(loss=each).evaluate(x, y, batch_size=16, verbose=0)
        for each in (loss, losses.SparseCategoricalCrossentropy(ignore_class=0))
    ]
    assert found[0] == found[1]
