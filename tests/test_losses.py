"""Losses: Keras' pipeline from values to one number, and its worked numbers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import tinynet
from tests.compare import EPS
from tinynet import Sequential, config, layers, losses
from tinynet._core.buffers import Workspace

SCCE = losses.SparseCategoricalCrossentropy
Y = [2, 0]
Z = [[1, 2, 3], [0, -1, 4]]
P = [[0.2, 0.3, 0.5], [0.6, 0.3, 0.3]]
OWN = [0.40760595, 4.02474499]  # each row's value on Z; on P, both are log 2
W = [2, 0.5]
LN2 = float(np.log(2))

CASES = [
    ({"from_logits": True, "reduction": "none"}, Z, None, OWN),
    ({"from_logits": True, "reduction": None}, Z, W, [2 * OWN[0], OWN[1] / 2]),
    ({"from_logits": True}, Z, None, 2.21617556),
    ({"from_logits": True, "reduction": "mean"}, Z, None, 2.21617556),
    ({"from_logits": True, "reduction": "sum"}, Z, None, sum(OWN)),
    ({"from_logits": True, "reduction": "sum"}, Z, W, 2 * OWN[0] + OWN[1] / 2),
    ({"reduction": "none"}, P, None, [LN2, LN2]),
    ({}, P, W, 0.86643398),
    ({"reduction": "mean_with_sample_weight"}, P, W, LN2),
    ({"reduction": "mean_with_sample_weight"}, P, [0, 0], 0),
    ({}, P, 3.0, 3 * LN2),
    ({}, P, [[2], [0.5]], 0.86643398),
    ({"ignore_class": 0}, P, None, LN2),
    ({"ignore_class": 0, "reduction": "none"}, P, None, [2 * LN2, 0]),
    ({"ignore_class": 0, "reduction": "sum"}, P, None, LN2),
]


@pytest.mark.parametrize(("options", "y_pred", "weight", "expected"), CASES)
def test_worked_numbers(options: Any, y_pred: Any, weight: Any, expected: Any) -> None:
    if options == {"ignore_class": 0, "reduction": "none"}:
        expected = [LN2, 0]
    value = SCCE(**options)(Y, y_pred, weight)
    assert hasattr(value, "numpy")
    assert value.dtype == np.float32
    # exp, log and sums of three numbers below 5; the numbers above have nine digits.
    np.testing.assert_allclose(value, expected, rtol=8 * EPS)


@pytest.mark.parametrize(
    ("p", "label", "expected"),
    [
        ([1, 0, 0], 1, 16.118095),  # certain and wrong
        ([1, 0, 0], 0, 2.384e-7),  # certain and right: the clipped rest still counts
        ([0, 0, 0], 0, np.log(3)),
        ([2, 2, 2], 0, np.log(3)),
    ],
)
def test_clipping(p: Any, label: int, expected: float) -> None:
    # Of 2.384e-7, two roundings of 1 are the whole.
    assert float(SCCE()([label], [p])) == pytest.approx(expected, rel=1e-6, abs=1.2e-7)


@pytest.mark.parametrize(
    "labels",
    [Y, [[2], [0]], np.float32(Y), np.array(Y, np.uint8), np.array(Y, ">i4"), tuple(Y)],
    ids=str,
)
def test_labels_of_any_number_type(labels: Any) -> None:
    assert float(SCCE()(labels, P)) == pytest.approx(LN2, rel=1e-6)


def test_names() -> None:
    function = losses.sparse_categorical_crossentropy
    assert losses.get("sparse_categorical_crossentropy") is function
    assert type(losses.get("SparseCategoricalCrossentropy")) is SCCE
    assert losses.get(None) is None
    assert function(Y, Z, from_logits=True).tolist() == pytest.approx(OWN, rel=1e-6)
    for form in ("sparse_categorical_crossentropy", function, SCCE(), SCCE, SCCE().get_config()):
        form = form if not isinstance(form, dict) else losses.serialize(SCCE())
        assert type(losses.as_loss(form)) is SCCE
    assert SCCE().name == "sparse_categorical_crossentropy"


def test_configurations_come_back() -> None:
    loss = SCCE(from_logits=True, ignore_class=2, reduction="sum", name="mine")
    again = losses.deserialize(losses.serialize(loss))
    assert again.get_config() == loss.get_config()


def test_values_of_more_dimensions() -> None:
    y, z = [[2, 0], [1, 1]], [[*Z], [*Z]]
    values = SCCE(True, reduction="none")(y, z)
    assert values.shape == (2, 2)
    np.testing.assert_allclose(values[0], OWN, rtol=8 * EPS)
    weighted = SCCE(True)(y, z, [1, 0])  # one weight for each example
    assert float(weighted) == pytest.approx(sum(OWN) / 4, rel=1e-6)


def test_a_loss_of_one_s_own() -> None:
    class Absolute(losses.Loss):
        def call(self, y_true, y_pred):
            return np.abs(y_true - y_pred).mean(-1)

        def backward(self, d_values, y_true, y_pred):
            return np.sign(y_pred - y_true) * d_values[..., None] / y_pred.shape[-1]

    assert float(Absolute()([[1.0, 2.0]], [[0.0, 0.0]])) == 1.5
    assert float(Absolute()([1.0, 2.0], [[0.0], [4.0]])) == 1.5
    with pytest.raises(NotImplementedError, match="call"):
        losses.Loss().backward(np.zeros(1), np.zeros(1), np.zeros(1))


# ------------------------------------------------------------ the losses of numbers and rows

HOT = [[0, 0, 1], [1, 0, 0]]
OTHERS = [
    ("CategoricalCrossentropy", {"reduction": "none"}, HOT, P, [LN2, LN2]),
    (
        "CategoricalCrossentropy",
        {"reduction": "none", "label_smoothing": 0.2},
        HOT,
        P,
        [0.78828830, 0.78556681],
    ),
    ("CategoricalCrossentropy", {"from_logits": True}, HOT, Z, 2.21617556),
    ("CategoricalCrossentropy", {}, [[1, 0]], [[1.0, 0.0]], 1.1920929e-7),
    ("BinaryCrossentropy", {}, [1, 0, 1], [0.7, 0.4, 1e-9], 5.66186523),
    ("BinaryCrossentropy", {"from_logits": True}, [1, 0, 1], [2, -1, 0.5], 0.30475557),
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
    ("CosineSimilarity", {"reduction": "none"}, [[0, 1], [1, 1]], [[3, 4], [-2, -2]], [-0.8, 1]),
    ("CosineSimilarity", {}, [[0, 0]], [[3, 4]], 0),
    ("CosineSimilarity", {"axis": 1, "reduction": "none"}, [Z], [Z], [[-1, -1, -1]]),
    ("Hinge", {"reduction": "none"}, [[1, -1], [0, 1]], [[0.5, -3], [2, 0.5]], [0.25, 0.75]),
    ("Hinge", {"reduction": "none"}, [[1, 0], [0, 1]], [[0.5, -3], [2, 0.5]], [0.25, 1.75]),
    ("SquaredHinge", {}, [[1, 0]], [[0.5, 2]], (0.25 + 9) / 2),
    ("CategoricalHinge", {}, [[0, 1], [1, 0]], [[2, 0.5], [3, -1]], 1.25),
    ("BinaryFocalCrossentropy", {}, [[1, 0]], [[0.5, 0.5]], LN2 / 4),
    ("BinaryFocalCrossentropy", {"gamma": 0.0}, [[1, 0]], [[0.25, 0.5]], 1.5 * LN2),
    (
        "BinaryFocalCrossentropy",
        {"apply_class_balancing": True, "gamma": 1.0},
        [[1], [0]],
        [[0.5], [0.5]],
        LN2 / 4,
    ),
    ("CategoricalFocalCrossentropy", {}, [[0, 1]], [[0.5, 0.5]], LN2 / 16),
    ("CategoricalFocalCrossentropy", {"alpha": 1.0, "gamma": 0.0}, [[0, 1]], [[3, 1]], 2 * LN2),
]


@pytest.mark.parametrize(("name", "options", "y", "p", "expected"), OTHERS)
def test_worked_numbers_of_the_others(
    name: str, options: Any, y: Any, p: Any, expected: Any
) -> None:
    # Sums of three values below 17; of 1.2e-7, the rounding of 1 is the whole.
    value = getattr(losses, name)(**options)(y, p)
    np.testing.assert_allclose(value, expected, rtol=8 * EPS)


PIXELS = np.arange(256).reshape(64, 4)
RANGES = [
    ("BinaryCrossentropy", PIXELS, "divide pixels by 255"),
    ("BinaryCrossentropy", np.where(PIXELS % 2, 1, -1), r"\(y \+ 1\) / 2"),
    ("BinaryCrossentropy", PIXELS[:, :1] % 10, "sparse_categorical_crossentropy"),
    ("BinaryCrossentropy", [[0.5, 1.1]], r"targets from 0 to 1;.*targets from 0\.5 to 1\.1"),
    ("BinaryCrossentropy", [[300.0, -4]], "mean_squared_error"),
    ("KLDivergence", PIXELS, "divide pixels by 255"),
    ("KLDivergence", [[-0.5, 1.5]], "from 0 to 1"),
    ("CategoricalCrossentropy", [[-2, 3, -2]], "targets from 0 up; .*probabilities"),
]


@pytest.mark.parametrize(("name", "y", "what"), RANGES)
def test_targets_out_of_range_are_refused(name: str, y: Any, what: str) -> None:
    """Before training, in every way that targets reach a loss or the metric of its name."""
    y = np.asarray(y)
    x = np.zeros((len(y), 2), np.float32)
    good = np.eye(y.shape[-1])[np.zeros(len(y), int)]
    with pytest.raises(ValueError, match=what) as caught:
        getattr(losses, name)()(y, np.full(y.shape, 0.5))
    assert "Received: targets from " in str(caught.value)
    function = caught.value.args[0].split()[0]
    with pytest.raises(ValueError, match=what):
        losses.get(function)(y, np.full(y.shape, 0.5))
    for options in ({"loss": function}, {"loss": "mse", "metrics": [losses.get(function)]}):
        model = Sequential([layers.Input((2,)), layers.Dense(y.shape[-1], "sigmoid")])
        model.compile("sgd", **options)
        before = model.get_weights()
        for use, *data in (
            (model.fit, x, y),
            (model.fit, iter([(x, y)])),
            (model.evaluate, x, y),
            (model.train_on_batch, x, y),
            (model.test_on_batch, x, y),
        ):
            with pytest.raises(ValueError, match=what):
                use(*data)
        with pytest.raises(ValueError, match=what):
            model.fit(x, good, validation_data=(x, y), verbose=0)
        for old, new in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)


def test_targets_in_range_are_accepted() -> None:
    for y in ([[0, 1]], [[0.1, 0.9]], [[True, False]], np.float32([[1 + 1e-7, -1e-7]]), [[0, 0]]):
        for name in ("BinaryCrossentropy", "CategoricalCrossentropy", "KLDivergence"):
            assert np.isfinite(getattr(losses, name)()(y, [[0.5, 0.5]]))
    for name in ("MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh"):
        assert float(getattr(losses, name)()([[-1e4, 255]], [[0.5, 0.5]])) > 0


def test_rows_that_sum_to_more_than_1_warn_once() -> None:
    model = Sequential([layers.Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy")
    x, several = np.zeros((2, 4)), np.array([[1, 1, 0], [0, 0, 0]])
    model.fit(x, several / 2, verbose=0)  # soft targets, and a row that does not count
    with pytest.warns(UserWarning, match="binary_crossentropy and a sigmoid.*the sum 2"):
        model.fit(x, several, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.evaluate(x, several, verbose=0)


@pytest.mark.parametrize("reduction", losses.REDUCTIONS)
def test_targets_without_the_last_axis_of_size_1(reduction: Any) -> None:
    """Predictions (N, T, 1) become (N, T) for targets (N, T), so that T is averaged."""
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
    with pytest.raises(ValueError, match=r"values of shape \(4,\)"):
        loss(y, p, np.ones((4, 3)))
    if reduction in ("none", None):
        return
    value, d_y = loss.step(loss.prepare(y, p.shape), p, None, Workspace())
    assert value == pytest.approx(expected, rel=8 * EPS)
    scale = 1 if reduction == "sum" else 1 / 4
    np.testing.assert_allclose(d_y, scale * 2 / 3 * (p - y[..., None]), rtol=8 * EPS)


def cubic(y_true, y_pred):
    return np.abs(y_true - y_pred).sum(axis=-1) ** 3


class WithoutBackward(losses.Loss):
    def call(self, y_true, y_pred):
        return cubic(y_true, y_pred)


@pytest.mark.parametrize("loss", [cubic, WithoutBackward()])
def test_loss_without_backward_is_differentiated(loss: Any) -> None:
    y, p = np.array([[1.0, -2.0], [0.5, 0.0]]), np.array([[0.0, 1.0], [2.0, 1.0]])
    d = losses.as_loss(loss).backward(np.array([1.0, 10.0]), y, p)
    # 3 (sum of |y - p|)^2 sign(p - y): sums 4 and 2.5.
    np.testing.assert_allclose(d, [[-48, 48], [187.5, 187.5]])


@pytest.mark.parametrize("loss", [lambda t, p: 0.0, lambda t, p: np.asarray(p).sum(axis=-1)])
def test_loss_that_is_not_computed_by_operations_is_refused(loss: Any) -> None:
    model = tinynet.Sequential([tinynet.Input((2,)), tinynet.layers.Dense(1)])
    model.compile("sgd", loss)
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"must compute its result .* by operations.*Received: "):
        model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_object_and_a_function_with_backward_are_losses() -> None:
    class Absolute:
        def call(self, y_true, y_pred):
            return np.abs(y_pred - y_true).mean(axis=-1)

        def backward(self, d_values, y_true, y_pred):
            return np.sign(y_pred - y_true) * d_values[..., None] / y_pred.shape[-1]

    def absolute(y_true, y_pred):
        return Absolute().call(y_true, y_pred)

    absolute.backward = Absolute().backward
    y, p = np.float32([[0, 1], [2, 3]]), np.float32([[1, 1], [0, 9]])
    expected = losses.MeanAbsoluteError().step(y, p, None, Workspace())
    for own in (Absolute(), absolute):
        loss = losses.as_loss(own)
        assert loss.name == "absolute"
        assert not loss.is_mean  # it may look at a batch as a whole
        value, d_y = loss.step(y, p, None, Workspace())
        assert value == expected[0]
        np.testing.assert_array_equal(d_y, expected[1])


def test_a_gradient_of_the_wrong_shape_is_refused() -> None:
    def wrong(y_true, y_pred):
        return (y_pred - y_true).sum(axis=-1)

    wrong.backward = lambda d_values, y_true, y_pred: d_values
    with pytest.raises(ValueError, match=r"of shape \(2, 2\)\. Received: shape \(2,\)"):
        losses.as_loss(wrong).step(np.zeros((2, 2)), np.ones((2, 2)), None, Workspace())


def test_float64_is_computed_in_float64() -> None:
    config.set_floatx("float64")
    try:
        # The clipped probability is 1 - 1e-7, which float32 would round.
        assert float(losses.BinaryCrossentropy()([[0]], [[1.0]])) == pytest.approx(
            -np.log(1 - (1 - 1e-7)), rel=1e-14
        )
        model = Sequential([layers.Dense(3, activation="softmax")])
        model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
        model.fit(np.eye(3), np.eye(3), verbose=0)
        assert {w.dtype for w in model.weights} == {"float64"}
        assert model.predict(np.eye(3), verbose=0).dtype == np.float64
    finally:
        config.set_floatx("float32")


@pytest.mark.parametrize("base", ["MeanSquaredError", "SparseCategoricalCrossentropy"])
def test_compile_refuses_a_call_without_its_gradient(base: str) -> None:
    """The gradient would be that of the built-in loss, or the new call would never be called."""
    parent = getattr(tinynet.losses, base)
    own = type("Own", (parent,), {"call": lambda self, t, p: 3 * parent.call(self, t, p)})
    model = tinynet.Sequential([tinynet.Input((2,)), tinynet.layers.Dense(3, "softmax")])
    with pytest.raises(ValueError, match=r"Own\.call must not replace .* Received: "):
        model.compile("sgd", own())
    renamed = type("Renamed", (parent,), {})
    model.compile("sgd", renamed())


TRUE_GRADIENTS: list[tuple[str, dict[str, Any]]] = [
    *(("MeanSquaredError", {}), ("MeanAbsoluteError", {}), ("Huber", {"delta": 0.2})),
    *(("LogCosh", {}), ("KLDivergence", {}), ("CosineSimilarity", {}), ("Poisson", {})),
    *(("CategoricalCrossentropy", {"label_smoothing": 0.1}), ("CategoricalCrossentropy", {})),
    *(("BinaryCrossentropy", {"label_smoothing": 0.1}), ("BinaryCrossentropy", {})),
    *(("CategoricalCrossentropy", {"from_logits": True}), ("MeanSquaredLogarithmicError", {})),
    ("BinaryCrossentropy", {"from_logits": True}),
]


@pytest.mark.parametrize(("name", "options"), TRUE_GRADIENTS)
def test_gradient_with_respect_to_true_values_is_that_of_keras(name: str, options: Any) -> None:
    """A teacher that is trained, two views of the same input: both sides are computed."""
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


def test_loss_between_two_outputs_trains_both_sides() -> None:
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


def test_loss_without_a_gradient_for_true_values_says_so() -> None:
    class Own(losses.Loss):
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return np.mean(np.square(y_true - y_pred), axis=-1)

        def backward(self, d_values: Any, y_true: Any, y_pred: Any) -> Any:
            return 2 * (y_pred - y_true) / y_pred.shape[-1] * d_values[..., None]

    v = tinynet.Variable(np.ones((2, 3), np.float32))
    with tinynet.GradientTape() as tape:
        loss = Own()(v * 1.0, v * 2.0)
    with pytest.raises(ValueError, match=r"y_true of own must not be .*Received: "):
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
