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
from tests.compare import EPS, assert_within
from tests.internals import registry
from tinynet import activations, losses, metrics
from tinynet._core.buffers import Workspace

keras, tf = keras_net.keras, keras_net.tf
RNG = np.random.default_rng(11)


def draw(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.eye(classes, dtype=np.float32)[labels]


# ------------------------------------------------------------ activations

CORNERS = np.float32([-100, -6, -3, -1e-4, -0.0, 0, 1e-4, 0.5, 1, 3, 4, 6, 20, 80])
# 0.5, 1, 4 and 6 are kinks of relu with the options below; all functions are tested at these.
X = np.concatenate([CORNERS, 4 * draw(50)]).reshape(8, 8)
ACTIVATIONS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in sorted(registry.names(activations))),
    *(("relu", {name: v}) for name, v in (("negative_slope", 0.1), ("threshold", 1.0))),
    *(("relu", {"max_value": v}) for v in (4.0, 6.0)),
    ("relu", {"negative_slope": 0.1, "max_value": 4.0, "threshold": 0.5}),
    ("leaky_relu", {"negative_slope": 0.3}),
    ("elu", {"alpha": 0.5}),
    ("gelu", {"approximate": True}),
    ("softmax", {"axis": 0}),
    ("log_softmax", {"axis": 0}),
]


def with_gradient(function: Any, x: np.ndarray, upstream: Any = None) -> Any:
    """Compute a function and its gradient with Keras."""
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = function(variable)
        total = tf.reduce_sum(y) if upstream is None else y
    d_x = tape.gradient(total, variable, output_gradients=upstream)
    return y.numpy(), np.asarray(d_x)


@pytest.mark.parametrize(("name", "options"), ACTIVATIONS, ids=str)
def test_activations(name: str, options: dict[str, Any]) -> None:
    upstream = draw(8, 8)
    theirs = getattr(keras.activations, name, keras.activations.get(name))
    y, d_x = with_gradient(lambda x: theirs(x, **options), X, upstream)
    ours = activations.get(name).with_options(**options)
    found = ours.forward(X)
    # Each activation is composed of a few functions with one or two rounding errors each, of values
    # no larger than |x| + 1. Keras' gelu has a similar error, from 1 + erf(x) for erf(x) near -1.
    room = 8 * EPS * (1 + np.abs(X) + np.abs(y))
    if "softmax" in name:
        room = 8 * EPS * 8 * (1 + np.abs(y).max())
    assert_within(found, y, room, "y")
    slope = 1 + np.abs(y if name == "exponential" else X)
    room_d = 8 * EPS * slope * np.abs(upstream)
    if "softmax" in name:  # sums of 8 terms
        room_d = 8 * EPS * np.sqrt(8) * np.abs(upstream).sum()
    assert_within(ours.backward(upstream.copy(), X, found), d_x, room_d, "d_x")
    assert getattr(activations, name)(X.tolist(), **options).numpy().shape == X.shape


# ------------------------------------------------------------ losses

LABELS = np.array([2, 0, 1, 1, 0, 2])
LOGITS = draw(6, 3)
LOGITS[0], LOGITS[1] = [100, 0, 0], [0, 0, 0]  # saturated and incorrect; a tie
P = tinynet.functional.softmax(LOGITS)
P[2], P[3] = [0, 1, 0], [0.9, 0.9, 0.9]  # certain and correct; not normalized
SOFT = RNG.dirichlet([1, 1, 1], 6).astype(np.float32)
HOT = one_hot(LABELS, 3)
YES = np.float32([[1], [0], [1], [1], [0], [0]])
BINARY = np.float32([[0.7], [0.4], [1e-9], [1], [1], [0]])
NUMBERS, GUESSES = 2 * draw(6, 3), 2 * draw(6, 3)
GUESSES[0] = NUMBERS[0]
GUESSES[1] = NUMBERS[1] + [1, -1, 40]
LOSSES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("SparseCategoricalCrossentropy", {}, LABELS, P),
    ("SparseCategoricalCrossentropy", {}, LABELS[:, None], P),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, LOGITS),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, LABELS, P),
    ("SparseCategoricalCrossentropy", {"ignore_class": -1}, np.where(LABELS == 1, -1, LABELS), P),
    ("CategoricalCrossentropy", {}, HOT, P),
    ("CategoricalCrossentropy", {}, SOFT, P),
    ("CategoricalCrossentropy", {"label_smoothing": 0.2}, HOT, P),
    ("CategoricalCrossentropy", {"from_logits": True}, SOFT, LOGITS),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, HOT, LOGITS),
    ("BinaryCrossentropy", {}, YES, BINARY),
    ("BinaryCrossentropy", {}, YES[:, 0], BINARY),
    ("BinaryCrossentropy", {}, HOT, P),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, YES, BINARY),
    ("BinaryCrossentropy", {"from_logits": True}, HOT, LOGITS),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, YES, LOGITS[:, :1]),
    ("MeanSquaredError", {}, NUMBERS, GUESSES),
    ("MeanSquaredError", {}, NUMBERS[:, 0], GUESSES[:, :1]),
    ("MeanAbsoluteError", {}, NUMBERS, GUESSES),
    ("Huber", {}, NUMBERS, GUESSES),
    ("Huber", {"delta": 0.5}, NUMBERS, GUESSES),
    ("LogCosh", {}, NUMBERS, GUESSES),
    ("KLDivergence", {}, SOFT, P),
    ("KLDivergence", {}, HOT, P),
    ("Poisson", {}, np.abs(NUMBERS), np.abs(GUESSES)),
    ("Poisson", {}, YES, BINARY),
    ("MeanAbsolutePercentageError", {}, NUMBERS, GUESSES),
    ("MeanAbsolutePercentageError", {}, NUMBERS[:, 0], GUESSES[:, :1]),
    ("MeanSquaredLogarithmicError", {}, np.abs(NUMBERS), np.abs(GUESSES)),
    ("MeanSquaredLogarithmicError", {}, NUMBERS, GUESSES),
    ("CosineSimilarity", {}, NUMBERS, GUESSES),
    ("CosineSimilarity", {"axis": 1}, NUMBERS, GUESSES),
    ("Hinge", {}, 2 * HOT - 1, GUESSES),
    ("Hinge", {}, HOT, GUESSES),
    ("Hinge", {}, YES[:, 0], GUESSES[:, :1]),
    ("Hinge", {}, NUMBERS, GUESSES),
    ("SquaredHinge", {}, HOT, GUESSES),
    ("SquaredHinge", {}, 2 * YES - 1, GUESSES[:, :1]),
    ("CategoricalHinge", {}, HOT, GUESSES),
    ("CategoricalHinge", {}, HOT, P),
    ("BinaryFocalCrossentropy", {}, YES, BINARY),
    ("BinaryFocalCrossentropy", {"gamma": 1.5, "label_smoothing": 0.2}, HOT, P),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.7}, SOFT, P),
    ("BinaryFocalCrossentropy", {"from_logits": True}, HOT, LOGITS),
    ("CategoricalFocalCrossentropy", {}, HOT, P),
    ("CategoricalFocalCrossentropy", {"alpha": 0.7, "gamma": 1.5}, SOFT, P),
    ("CategoricalFocalCrossentropy", {"from_logits": True}, HOT, LOGITS),
    ("CategoricalFocalCrossentropy", {"label_smoothing": 0.2, "from_logits": True}, SOFT, LOGITS),
]
REDUCTIONS = ["sum_over_batch_size", "sum", "none", "mean_with_sample_weight"]
WEIGHT = np.float32([2, 0, 0.5, 1, 3, 0])


IDS = [f"{name}{options}" for name, options, *_ in LOSSES]
RUNS = [
    *((row, "sum_over_batch_size", None) for row in range(len(LOSSES))),
    *((row, "mean_with_sample_weight", WEIGHT) for row in range(0, len(LOSSES), 3)),
    *((0, reduction, w) for reduction in REDUCTIONS for w in (None, WEIGHT, WEIGHT[:, None])),
]


def loss_of_both(name: str, options: Any, y_true: Any, y_pred: Any, weight: Any) -> Any:
    """Compute a loss with both libraries, and its gradients if the loss is a scalar."""
    theirs, ours = (getattr(k.losses, name)(**options) for k in (keras, tinynet))
    expected, gradient = with_gradient(lambda p: theirs(y_true, p, weight), y_pred)
    found = ours(y_true, y_pred, weight)
    if options["reduction"] == "none":  # Keras returns a column if the weights are a column
        return found, expected.reshape(found.shape), None, gradient
    labels = ours.prepare(y_true, y_pred.shape)
    if weight is not None:
        weight = losses.fit_weights(weight, ours.values_shape(labels, y_pred.shape))
    value, d_y = ours.step(labels, y_pred, weight, Workspace())
    assert value == pytest.approx(float(found), rel=8 * EPS, abs=8 * EPS)
    return found, expected, d_y, gradient


@pytest.mark.parametrize(("row", "reduction", "weight"), RUNS, ids=[IDS[r[0]] for r in RUNS])
def test_losses(row: int, reduction: str, weight: Any) -> None:
    name, options, y_true, y_pred = LOSSES[row]
    options = {**options, "reduction": reduction}
    found, expected, d_y, gradient = loss_of_both(name, options, y_true, y_pred, weight)
    # The losses are sums over three classes with a few rounding errors each, then over six
    # examples. Values of SparseCategoricalCrossentropy may be as small as 2e-7, but have an
    # absolute error of two rounding errors of 1.
    most = float(np.abs(expected).max()) + 100 * (reduction != "none")
    assert_within(found, expected, 8 * EPS * (1 + most), "values")
    if d_y is not None:
        largest = np.abs(gradient).max(axis=1, keepdims=True)
        assert_within(d_y, gradient, 16 * EPS * (1 + largest), "gradient")


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

FIVE = draw(6, 5)
FIVE[3, [1, 2]] = FIVE[3, [0]]  # a three-way tie
LABELS_5 = np.array([4, 0, 1, 2, 1, 3])
CUBE = np.random.default_rng(7).standard_normal((6, 2, 3)).astype(np.float32)
METRICS: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("Accuracy", {}, LABELS, np.array([2, 1, 1, 0, 0, 2])),
    ("Accuracy", {}, HOT, one_hot(LABELS[::-1], 3)),
    ("SparseCategoricalAccuracy", {}, LABELS_5, FIVE),
    ("SparseCategoricalAccuracy", {}, LABELS_5[:, None], FIVE),
    ("CategoricalAccuracy", {}, one_hot(LABELS_5, 5), FIVE),
    ("BinaryAccuracy", {}, YES, BINARY),
    ("BinaryAccuracy", {"threshold": 0.3}, YES[:, 0], BINARY),
    ("BinaryAccuracy", {}, HOT, P),
    *(("SparseTopKCategoricalAccuracy", {"k": k}, LABELS_5, FIVE) for k in (1, 2, 5, 9)),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, np.array([9, 0, 1, 2, 1, 3]), FIVE),
    *(("TopKCategoricalAccuracy", {"k": k}, one_hot(LABELS_5, 5), FIVE) for k in (1, 3)),
    ("Precision", {}, HOT, P),
    ("Precision", {"thresholds": 0.2}, HOT, P),
    ("Recall", {}, HOT, P),
    ("Recall", {"thresholds": 1.0}, HOT, P),
    ("MeanSquaredError", {}, NUMBERS, GUESSES),
    ("RootMeanSquaredError", {}, NUMBERS, GUESSES),
    ("MeanAbsoluteError", {}, NUMBERS, GUESSES),
    ("SparseCategoricalCrossentropy", {}, LABELS, P),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, LABELS, LOGITS),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, LABELS, P),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, HOT, P),
    ("BinaryCrossentropy", {}, HOT, P),
    ("MeanAbsolutePercentageError", {}, NUMBERS, GUESSES),
    ("MeanSquaredLogarithmicError", {}, NUMBERS, GUESSES),
    ("LogCoshError", {}, NUMBERS, GUESSES),
    ("CosineSimilarity", {}, NUMBERS, GUESSES),
    ("CosineSimilarity", {}, CUBE, -CUBE[::-1]),
    ("Poisson", {}, np.abs(NUMBERS), np.abs(GUESSES)),
    ("Poisson", {}, np.abs(CUBE), np.abs(CUBE[::-1])),
    ("KLDivergence", {}, SOFT, P),
    ("Hinge", {}, HOT, GUESSES),
    ("SquaredHinge", {}, 2 * HOT - 1, GUESSES),
    ("SquaredHinge", {}, np.sign(CUBE), CUBE[::-1]),
    ("CategoricalHinge", {}, HOT, GUESSES),
    ("TruePositives", {}, HOT, P),
    ("TrueNegatives", {}, YES, BINARY),
    ("FalsePositives", {}, YES[:, 0], BINARY),
    ("FalseNegatives", {"thresholds": 0.3}, HOT, P),
    ("AUC", {}, YES, BINARY),
    ("AUC", {}, HOT, P),
    ("AUC", {"curve": "PR", "multi_label": True, "num_labels": 3}, HOT, P),
    ("AUC", {"from_logits": True, "summation_method": "majoring"}, YES, LOGITS[:, :1]),
    ("SensitivityAtSpecificity", {"specificity": 0.5}, YES, BINARY),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5}, YES, BINARY),
    ("PrecisionAtRecall", {"recall": 0.5}, YES, BINARY),
    ("RecallAtPrecision", {"precision": 0.5, "class_id": 1}, HOT, P),
    ("F1Score", {"average": "micro"}, HOT, P),
    ("FBetaScore", {"average": "weighted", "beta": 2.0, "threshold": 0.3}, HOT, P),
    ("R2Score", {}, NUMBERS, GUESSES),
    ("R2Score", {"class_aggregation": "variance_weighted_average"}, NUMBERS, GUESSES),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("row", range(len(METRICS)), ids=[f"{n}{o}" for n, o, *_ in METRICS])
def test_metrics(row: int, weighted: bool) -> None:
    name, options, y_true, y_pred = METRICS[row]
    theirs, ours = getattr(keras.metrics, name)(**options), getattr(metrics, name)(**options)
    assert ours.name == theirs.name.rstrip("_0123456789")  # both libraries number some names
    scores = "Score" in name  # Keras creates the state of these metrics in the first update
    if not scores:
        assert float(ours.result()) == float(theirs.result()) == 0
    for part in (slice(4), slice(4, 6)):
        weight = WEIGHT[part] if weighted else None
        if weighted and name in ("Precision", "Recall"):
            weight = weight[:, None]
        theirs.update_state(y_true[part], y_pred[part], weight)
        ours.update_state(y_true[part], y_pred[part], weight)
        # Sums of up to 18 values, in float32 in Keras.
        expected = float(theirs.result())
        assert float(ours.result()) == pytest.approx(expected, rel=16 * EPS, abs=8 * EPS)
    ours.reset_state()
    theirs.reset_state()
    np.testing.assert_array_equal(ours.result(), theirs.result())
    config = ours.get_config()
    assert set(config) <= set(theirs.get_config())
    assert getattr(keras.metrics, name).from_config(config).name == ours.name


def test_cosine_similarity_along_other_axis() -> None:
    """Keras supports other axes, but `get_config` omits the axis."""
    for kind in ("losses", "metrics"):
        theirs, ours = (getattr(k, kind).CosineSimilarity(axis=1) for k in (keras, tinynet))
        found = [float(again(CUBE, CUBE[::-1])) for again in (theirs, ours)]
        assert found[1] == pytest.approx(found[0], abs=8 * EPS)
        again = type(ours).from_config(ours.get_config())
        assert float(again(CUBE, CUBE[::-1])) == found[1]


def test_mean_metrics() -> None:
    for name in ("Mean", "Sum"):
        theirs, ours = getattr(keras.metrics, name)(), getattr(metrics, name)()
        for values, weight in [(3.0, None), ([1.0, 5.0], [2.0, 0.5]), (NUMBERS, WEIGHT)]:
            theirs.update_state(values, weight)
            ours.update_state(values, weight)
            assert float(ours.result()) == pytest.approx(float(theirs.result()), rel=8 * EPS)


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
