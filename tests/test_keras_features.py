"""Activations, losses and metrics compared with Keras on TensorFlow: values and gradients.

Each new function needs a row in one of the tables. The data is random and includes edge cases.
"""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")

import tinynet
from reference import keras_net
from tests import RandomNumbers
from tests.compare import EPS, assert_all_within, assert_within
from tests.internals import registry
from tests.parity.cases import (
    ACTIVATIONS,
    FIVE,
    LABELS_5,
    LOGITS,
    LOSSES,
    METRICS,
    SOFT,
    Case,
    X,
    label,
    label_of,
    made,
    of,
    one_hot,
)
from tinynet import activations, losses, metrics
from tinynet._core.buffers import Workspace

keras, tf = keras_net.keras, keras_net.tf
RNG = RandomNumbers(11)


def draw(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


# ------------------------------------------------------------ activations, losses, metrics


@pytest.mark.parametrize("case", [*of("activations"), *of("losses"), *of("metrics")], ids=label)
def test_values_and_gradients(case: Case) -> None:
    assert_all_within(case.compare(case.run(tinynet), case.run(keras)))


@pytest.mark.parametrize(("name", "options"), ACTIVATIONS, ids=str)
def test_activations_accept_lists(name: str, options: dict[str, Any]) -> None:
    assert getattr(activations, name)(X.tolist(), **options).numpy().shape == X.shape


# ------------------------------------------------------------ losses

IDS = [f"{name}{options}" for name, options, *_ in LOSSES]


def test_gradients_of_unnormalized_labels() -> None:
    # TensorFlow assumes that rows are probabilities and omits the factor sum(y_true).
    loss = losses.CategoricalCrossentropy(from_logits=True, reduction="sum")
    _, d_y = loss.step(2 * SOFT, LOGITS, None, Workspace())
    once = loss.step(SOFT, LOGITS, None, Workspace())[1]
    assert_within(d_y, 2 * once, 8 * EPS, "gradient")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("row", [*dict.fromkeys(IDS)])
def test_loss_functions(row: str, dtype: Any) -> None:
    kind, options, y_true, y_pred = LOSSES[IDS.index(row)]
    name = getattr(losses, kind)().name.removesuffix("_loss")
    theirs, ours = (getattr(k.losses, name) for k in (keras, tinynet))
    parameters = inspect.signature(theirs).parameters.values()
    in_order = [options.get(p.name, p.default) for p in parameters][2:]
    expected = theirs(y_true, y_pred.astype(dtype), *in_order).numpy()
    found = ours(y_true, y_pred.astype(dtype), *in_order)
    assert found.dtype == expected.dtype
    assert_within(found, expected, 8 * EPS * (1 + np.abs(expected)), name)
    assert (name in dir(metrics)) == hasattr(keras.metrics, name)
    assert vars(metrics).get(name, losses.get(name)) is ours


@pytest.mark.parametrize("name", sorted(keras.src.losses.ALL_OBJECTS_DICT))
def test_loss_names_match_keras(name: str) -> None:
    entry = keras.src.losses.ALL_OBJECTS_DICT[name]
    if entry.__name__ in set(dir(losses)) - {"Loss"}:
        ours = losses.get(name)
        assert getattr(ours, "__name__", type(ours).__name__) == entry.__name__
        if isinstance(entry, type) and name != "Huber":
            assert ours.get_config() == entry().get_config()


# ------------------------------------------------------------ metrics

CUBE = np.random.default_rng(7).standard_normal((6, 2, 3)).astype(np.float32)


@pytest.mark.parametrize("row", range(len(METRICS)), ids=[label_of(n, o) for n, o, *_ in METRICS])
def test_metric_names_and_configurations(row: int) -> None:
    name, options, y_true, y_pred = METRICS[row]
    theirs, ours = (made(k, k.metrics, name, options) for k in (keras, tinynet))
    assert ours.name == theirs.name.rstrip("_0123456789")  # both libraries number some names
    if "Score" not in name:  # Keras creates the state of these metrics in the first update
        assert float(ours.result()) == float(theirs.result()) == 0
    data = [y_pred] if y_true is None else [y_true, y_pred]
    for metric in (theirs, ours):
        metric.update_state(*data)
        metric.reset_state()
    np.testing.assert_array_equal(ours.result(), theirs.result())
    config = ours.get_config()
    assert set(config) <= set(theirs.get_config())
    if name != "MeanMetricWrapper":
        assert getattr(keras.metrics, name).from_config(config).name == ours.name


def test_cosine_similarity_along_other_axis() -> None:
    """Keras supports other axes, but `get_config` omits the axis."""
    for kind in ("losses", "metrics"):
        theirs, ours = (getattr(k, kind).CosineSimilarity(axis=1) for k in (keras, tinynet))
        found = [float(again(CUBE, CUBE[::-1])) for again in (theirs, ours)]
        assert found[1] == pytest.approx(found[0], abs=8 * EPS)
        again = type(ours).from_config(ours.get_config())
        assert float(again(CUBE, CUBE[::-1])) == found[1]


@pytest.mark.parametrize("name", sorted(keras.src.metrics.ALL_OBJECTS_DICT))
def test_metric_names_match_keras(name: str) -> None:
    entry = keras.src.metrics.ALL_OBJECTS_DICT[name]
    if entry.__name__ in set(dir(metrics)) - {"Metric", "MeanMetricWrapper"}:
        if "At" in entry.__name__:  # these have a required argument
            assert name in registry.names(metrics.metric)
            return
        ours, theirs = metrics.get(name), entry()
        assert type(ours).__name__ == entry.__name__
        for config in (configs := [ours.get_config(), theirs.get_config()]):
            config["name"] = config["name"].rstrip("_0123456789")
            config.pop("axis", None)  # tinynet supports only the last axis
        assert configs[0] == configs[1]


@pytest.mark.parametrize("kind", ["", "categorical_", "sparse_categorical_"])
def test_accuracy_functions(kind: str) -> None:
    y_true = LABELS_5 if "sparse" in kind else one_hot(LABELS_5, 5)
    calls = [lambda k: getattr(k.metrics, f"{kind or 'binary_'}accuracy")(y_true, FIVE)]
    if kind:
        top_k = f"{kind.replace('categorical_', 'top_k_categorical_')}accuracy"
        calls.append(lambda k: getattr(k.metrics, top_k)(y_true, FIVE, 2))
    for call in calls:
        np.testing.assert_array_equal(call(tinynet).numpy(), call(keras).numpy())


# ------------------------------------------------------------ training steps of a small network

LONG = RNG.integers(0, 3, 40)
BATCHES = RNG.uniform(0, 1, (40, 4)).astype(np.float32)
Y = {
    "labels": LONG,
    "hot": one_hot(LONG, 3),
    "yes": (LONG[:, None] == 1).astype(np.float32),
    "number": BATCHES.sum(axis=1),
}
SCCE, CCE, BCE = (
    f"{kind}_crossentropy" for kind in ("sparse_categorical", "categorical", "binary")
)


def error(y_true: Any, y_pred: Any) -> Any:
    return (y_true - y_pred) ** 2


def compiled(k: Any, *rows: Any, width: int = 4, optimizer: Any = "sgd", **options: Any) -> Any:
    """Build and compile a model; Keras runs eagerly, as tracing takes longer than three steps."""
    model = k.Sequential([k.Input((width,)), *rows])
    eagerly = {"run_eagerly": True} if k is keras else {}
    model.compile(optimizer, **options, **eagerly)
    return model


# Units and activation of the output, targets, loss, metrics; every other row has weights.
STEPS: list[tuple[int, str | None, str, Any, list[Any]]] = [
    (3, "softmax", "labels", SCCE, ["acc", SCCE, "sparse_top_k_categorical_accuracy"]),
    (3, "softmax", "hot", CCE, ["accuracy", CCE, "mse", "mae"]),
    (3, "softmax", "hot", lambda k: k.losses.CategoricalCrossentropy(label_smoothing=0.1), ["acc"]),
    (3, None, "hot", lambda k: k.losses.CategoricalCrossentropy(from_logits=True), ["accuracy"]),
    (3, "softmax", "hot", "bce", ["accuracy", "binary_crossentropy"]),
    (3, "sigmoid", "hot", CCE, [CCE]),
    (3, "sigmoid", "hot", BCE, ["accuracy", "Precision", "Recall"]),
    (1, "sigmoid", "yes", BCE, ["accuracy", "bce", error]),
    (1, None, "yes", lambda k: k.losses.BinaryCrossentropy(from_logits=True), ["BinaryAccuracy"]),
    (1, None, "number", "mse", ["mae", lambda k: k.metrics.RootMeanSquaredError(name="rmse")]),
    (1, "relu", "number", "MeanAbsoluteError", ["mse", "MSE"]),
    (1, None, "number", "huber", [lambda k: k.losses.log_cosh]),
    (3, "softmax", "hot", "mse", ["accuracy", CCE]),
    (3, "softmax", "hot", "kld", ["categorical_accuracy"]),
    (3, "softplus", "hot", "poisson", ["poisson"]),
    (1, "softplus", "number", "mape", ["mae"]),
    (1, "softplus", "number", "MSLE", ["msle"]),
    (3, None, "hot", "cosine_similarity", ["cosine_similarity"]),
    (1, "tanh", "yes", "hinge", ["accuracy", "hinge"]),
    (3, None, "hot", lambda k: k.losses.SquaredHinge(), ["squared_hinge"]),
    (3, None, "hot", "categorical_hinge", ["CategoricalHinge"]),
    (1, "sigmoid", "yes", "binary_focal_crossentropy", ["accuracy"]),
    (1, None, "yes", lambda k: k.losses.BinaryFocalCrossentropy(from_logits=True), ["mse"]),
    (3, "softmax", "hot", "CategoricalFocalCrossentropy", ["accuracy"]),
    (3, "sigmoid", "hot", "categorical_focal_crossentropy", ["accuracy"]),
    (1, "sigmoid", "yes", BCE, ["AUC", "auc", "TruePositives", "false_positives"]),
    (3, "softmax", "hot", CCE, [lambda k: k.metrics.F1Score("macro"), "AUC", "TrueNegatives"]),
    (1, None, "number", "mse", ["R2Score", lambda k: k.metrics.R2Score(num_regressors=4)]),
    (
        *(1, None, "yes", lambda k: k.losses.BinaryCrossentropy(True)),
        [lambda k: k.metrics.AUC(from_logits=True, name="auc"), "FalseNegatives"],
    ),
]


@pytest.mark.parametrize("row", range(len(STEPS)), ids=[f"{f[1]}-{f[2]}" for f in STEPS])
def test_steps(row: int) -> None:
    weighted = row % 2 == 1
    units, activation, kind, loss, named = STEPS[row]
    keras.utils.set_random_seed(row)  # a percentage of a small value magnifies rounding errors
    logs: list[list[dict[str, float]]] = []
    weights: list[list[np.ndarray]] = [[]]
    for k in (keras, tinynet):
        listed = [m(k) if getattr(m, "__name__", "") == "<lambda>" else m for m in named]
        options = {"weighted_metrics" if weighted else "metrics": listed}
        hidden, end = k.layers.Dense(5, "tanh"), k.layers.Dense(units, activation)
        made = loss(k) if callable(loss) else loss
        net = compiled(k, hidden, end, optimizer=k.optimizers.SGD(0.1), loss=made, **options)
        if weights[0]:
            net.set_weights(weights[0])
        weights[0] = net.get_weights()
        figures = []
        for part in (slice(0, 16), slice(16, 32), slice(32, 40)):
            w = np.linspace(0, 2, 40, dtype=np.float32)[part] if weighted else None
            figures += [
                method(BATCHES[part], Y[kind][part], w, return_dict=True)
                for method in (net.train_on_batch, net.test_on_batch)
            ]
        logs.append(figures)
        weights.append(net.get_weights())
    # Three steps of a well-conditioned network: each changes the weights by a tenth of a
    # gradient, a sum of 16 terms of at most a few units.
    atol = 3 * 2 * EPS * np.sqrt(16) * 4
    for theirs, ours in zip(*logs, strict=True):
        assert list(ours) == sorted(theirs)
        assert ours == pytest.approx({n: float(v) for n, v in theirs.items()}, rel=atol, abs=atol)
    for a, b in zip(weights[2], weights[1], strict=True):
        # Gradients of percentages are in the hundreds.
        np.testing.assert_allclose(a, b, rtol=0, atol=atol * max(np.abs(b).max() / 4, 1))


class Largest:
    """Mixin that implements the same custom metric for both libraries."""

    def __init__(self, name: str = "largest", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.largest = self.add_weight(name="largest", initializer="zeros")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.largest.assign(np.maximum(np.max(y_pred), self.largest))

    def result(self) -> Any:
        return self.largest


def test_custom_metric_matches_keras() -> None:
    logs = []
    for k in (keras, tinynet):
        own = type("Own", (Largest, k.metrics.Metric), {})
        dense = k.layers.Dense(1, kernel_initializer="ones")
        net = compiled(k, dense, loss="mse", metrics=[own()])
        figures = net.test_on_batch(BATCHES, Y["number"], return_dict=True)
        logs.append(float(figures["largest"]))
    assert logs[1] == pytest.approx(logs[0], rel=4 * EPS)


def test_metric_subclass_with_own_update() -> None:
    """The overridden `update_state` selects the predictions of one class.

    Class labels are then valid targets.
    """
    figures = []
    for k in (keras, tinynet):

        class OfOneClass(k.metrics.AUC):  # type: ignore[name-defined, misc]
            def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
                super().update_state(y_true, y_pred[:, 1], sample_weight)

        class Regression(k.metrics.R2Score):  # type: ignore[name-defined, misc]
            def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
                super().update_state(y_true, y_pred[:, :1], sample_weight)

        own = [OfOneClass(name="auc"), Regression()]
        net = compiled(k, k.layers.Dense(2, "softmax"), loss=SCCE, metrics=own)
        net.set_weights([BATCHES[:4, :2] - BATCHES[4:8, :2], np.zeros(2)])
        history = net.fit(BATCHES, LONG % 2, batch_size=16, shuffle=False, verbose=0).history
        figures.append([history[name][0] for name in ("auc", "r2_score", "loss")])
    np.testing.assert_allclose(figures[1], figures[0], rtol=100 * EPS)


# ------------------------------------------------------------ saturated outputs


FOCAL = "categorical_focal_crossentropy"
ENDS = [(a, loss) for a in ("softmax", "sigmoid") for loss in (SCCE, CCE, BCE, "mse", FOCAL)]


@pytest.mark.parametrize(("activation", "loss"), [*ENDS, ("sigmoid", "binary_focal_crossentropy")])
def test_saturated_outputs_use_logits(activation: str, loss: str) -> None:
    x, y = np.float32([[100, 0, 0], [1, 2, 3]]), np.array([1, 2])
    y_true, named = (y, [SCCE]) if loss == SCCE else (one_hot(y, 3), [CCE, BCE])
    figures = []
    for k in (keras, tinynet):
        end = k.layers.Activation(activation)
        net = compiled(k, end, width=3, loss=loss, metrics=named)
        figures.append(net.test_on_batch(x, y_true, return_dict=True))
    expected = {name: float(value) for name, value in figures[0].items()}
    assert figures[1] == pytest.approx(expected, rel=8 * EPS, abs=8 * EPS)


def test_from_logits_on_softmax_warns() -> None:
    net = tinynet.Sequential([tinynet.layers.Dense(3, "softmax")])
    net.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    with pytest.warns(
        UserWarning, match=r"last layer applies softmax.* Received: from_logits=True"
    ):
        net.fit(BATCHES, LONG, verbose=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.fit(BATCHES, LONG, verbose=0)  # the warning appears once


# ------------------------------------------------------------ utilities


@pytest.mark.parametrize(
    ("x", "classes"),
    [
        ([0, 2, 1], None),
        ([[0], [2]], 4),
        (np.array([[0, 1], [1, 0]], np.uint8), None),
        ([], 3),
        (np.zeros((0, 1), np.uint8), 3),
        (1, 3),
        ([2.0, 0.0], 0),
    ],
)
def test_to_categorical(x: Any, classes: int | None) -> None:
    theirs = keras.utils.to_categorical(x, classes)
    ours = tinynet.utils.to_categorical(x, classes)
    assert (ours.dtype, type(ours)) == (theirs.dtype, type(theirs))
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("axis", [-1, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_normalize(dtype: Any, axis: int, order: int) -> None:
    x = (50 * np.abs(draw(4, 3, 2))).astype(dtype)
    x[1] = 0
    theirs = keras.utils.normalize(x, axis, order)
    ours = tinynet.utils.normalize(x, axis, order)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, theirs)


# ------------------------------------------------------------ errors


def test_activation_layer_is_an_activation() -> None:
    found = activations.get(tinynet.layers.LeakyReLU(negative_slope=0.1))
    assert found.options["negative_slope"] == 0.1
