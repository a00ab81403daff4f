"""Compare random losses, metrics, activations and optimizers with Keras.

Each session uses a new seed.
A failure prints its seed and its case. Add the case to a table of another test file, so that every
session tests it.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow", reason="needs TensorFlow: pip install -e '.[test]'")

import tinynet
from reference import keras_net
from tests.compare import EPS
from tests.internals import registry
from tinynet import activations, losses
from tinynet._core.buffers import Workspace

keras, tf = keras_net.keras, keras_net.tf

REDUCTIONS = ["sum_over_batch_size", "mean", "sum", "none", "mean_with_sample_weight"]


def with_gradient(function: Any, x: np.ndarray, upstream: Any = None) -> Any:
    """Compute a function and its gradient with Keras."""
    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = function(variable)
        total = tf.reduce_sum(y) if upstream is None else y
    d_x = tape.gradient(total, variable, output_gradients=upstream)
    return y.numpy(), np.asarray(d_x)


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


def pick(rng: np.random.Generator, *choices: Any) -> Any:
    return choices[rng.integers(len(choices))]


def probabilities(rng: np.random.Generator, *shape: int) -> np.ndarray:
    rows = rng.uniform(0.02, 1, shape)
    return (rows / rows.sum(axis=-1, keepdims=True)).astype(np.float32)


def random_data(
    rng: np.random.Generator, name: str, options: dict[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw predictions, and targets in the loss's range and in every shape that Keras accepts."""
    n, t, c = rng.integers(1, 6), rng.integers(2, 4), rng.integers(2, 5)
    shape = pick(rng, (n, c), (n, t, c), (n, 1), (n, t, 1))
    if "Categorical" in name and shape[-1] == 1:
        shape = (n, c)
    p = rng.standard_normal(shape) if options.get("from_logits") else probabilities(rng, *shape)
    if shape[-1] == 1 and not options.get("from_logits"):
        p = rng.uniform(0.02, 0.98, shape)
    if name.startswith("Sparse"):
        y: np.ndarray = rng.integers(0, shape[-1], shape[:-1])
        return (y[..., None] if rng.random() < 0.3 else y), p.astype(np.float32)
    if "Categorical" in name:
        y = pick(rng, probabilities(rng, *shape), np.eye(shape[-1])[rng.integers(0, c, shape[:-1])])
        return y, p.astype(np.float32)
    of_probabilities = name in ("KLDivergence", "BinaryCrossentropy", "BinaryFocalCrossentropy")
    y = rng.random(shape) if of_probabilities or "Hinge" in name else 3 * rng.standard_normal(shape)
    if "Hinge" in name or (name.startswith("Binary") and rng.random() < 0.5):
        y = np.rint(y)
    if "Hinge" in name and rng.random() < 0.5:
        y = 2 * y - 1
    p = p if of_probabilities else 3 * rng.standard_normal(shape)
    if name in ("Poisson", "MeanSquaredLogarithmicError", "MeanAbsolutePercentageError"):
        y, p = abs(y) + 0.1, abs(p) + 0.1  # away from poles, which magnify rounding errors
    if shape[-1] == 1 and rng.random() < 0.5:
        y = y[..., 0]  # Keras drops the predictions' last axis, or adds one to the targets
    elif len(shape) > 1 and shape[-1] > 1 and rng.random() < 0.2:
        y = y[..., None]
    return y, p.astype(np.float32)


def random_weights(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray | None:
    """Draw sample weights in a random shape that Keras accepts for these values."""
    if not shape or rng.random() < 0.4:
        return None
    weights = rng.uniform(0, 2, pick(rng, shape, shape[:1] if len(shape) == 1 else shape))
    if len(shape) == 1 and rng.random() < 0.3:
        weights = weights[:, None]
    return weights.astype(np.float32)


def random_loss(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    name = pick(
        rng,
        *("SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy"),
        *("MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh", "KLDivergence"),
        *("Poisson", "CosineSimilarity", "Hinge", "SquaredHinge", "CategoricalHinge"),
        *("MeanAbsolutePercentageError", "MeanSquaredLogarithmicError"),
        *("BinaryFocalCrossentropy", "CategoricalFocalCrossentropy"),
    )
    options: dict[str, Any] = {}
    if "Focal" in name:
        options = {"alpha": rng.uniform(0.1, 0.9), "gamma": pick(rng, 1.0, 2.0, 3.5)}
        if name.startswith("Binary"):
            options["apply_class_balancing"] = bool(rng.random() < 0.5)
    if name.endswith("Crossentropy"):
        options["from_logits"] = bool(rng.random() < 0.5)
        if name.startswith("Sparse"):
            options["ignore_class"] = pick(rng, None, 0, 1, -1)
        else:
            options["label_smoothing"] = pick(rng, 0.0, 0.1, 1.0, rng.random())
    if name == "Huber":
        options["delta"] = float(rng.uniform(0.1, 3))
    return name, options


@pytest.mark.parametrize("case", range(60))
def test_losses_against_keras(case: int, any_seed: int) -> None:
    rng = np.random.default_rng([any_seed, 1, case])
    name, options = random_loss(rng)
    y, p = random_data(rng, name, options)
    values = getattr(keras.losses, name)(**options, reduction="none")(y, p)
    options["reduction"] = pick(rng, *REDUCTIONS)
    weights = random_weights(rng, tuple(values.shape))
    what = f"{name}({options}), y {y.shape}, p {p.shape}, weights {np.shape(weights)}"
    found, expected, d_y, gradient = loss_of_both(name, options, y, p, weights)
    # Sums of up to 75 values of size 10, and logarithms of values above 0.02.
    np.testing.assert_allclose(found, expected, rtol=100 * EPS, atol=20 * EPS, err_msg=what)
    if d_y is not None:
        room = 200 * EPS * (float(np.abs(d_y).max()) + 1)
        np.testing.assert_allclose(d_y, gradient, rtol=200 * EPS, atol=room, err_msg=what)


def random_metric(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    name, options = random_loss(rng)
    if name in ("Huber", "LogCosh") or "Focal" in name:
        name, options = pick(
            rng,
            ("RootMeanSquaredError", {}),
            ("LogCoshError", {}),
            ("BinaryAccuracy", {"threshold": float(rng.uniform(0.1, 0.9))}),
            ("CategoricalAccuracy", {}),
            ("SparseCategoricalAccuracy", {}),
            ("TopKCategoricalAccuracy", {"k": int(rng.integers(1, 4))}),
            ("SparseTopKCategoricalAccuracy", {"k": int(rng.integers(1, 4))}),
        )
    return name, options


@pytest.mark.parametrize("case", range(60))
def test_metrics_against_keras(case: int, any_seed: int) -> None:
    rng = np.random.default_rng([any_seed, 2, case])
    name, options = random_metric(rng)
    theirs, ours = (getattr(k.metrics, name)(**options) for k in (keras, tinynet))
    for _ in range(2):
        y, p = random_data(rng, "BinaryCrossentropy" if name == "BinaryAccuracy" else name, options)
        if name.startswith(("Binary", "KLD", "Poisson")) or "Hinge" in name:
            y = y.reshape(p.shape)  # Keras' metric does not change the rank
        shape = p.shape[:-1]
        weights = random_weights(rng, shape)
        # In this case, Keras reduces the values to shape (N,), but expects sample weights of shape
        # (N, T), so the metrics are compared without weights.
        if np.ndim(y) == p.ndim - 1 == 2 and p.shape[-1] == 1:
            weights = None
        what = f"{name}({options}), y {y.shape}, p {p.shape}, weights {np.shape(weights)}"
        theirs.update_state(y, p, weights)
        ours.update_state(y, p, weights)
        results = ours.result(), theirs.result()
        np.testing.assert_allclose(*results, rtol=100 * EPS, atol=20 * EPS, err_msg=what)


def confusion_options(rng: np.random.Generator, name: str, classes: int) -> dict[str, Any]:
    """Draw the options of a confusion metric."""
    even = np.linspace(0, 1, 11)[1:-1]
    limits = pick(rng, even, rng.uniform(0.1, 0.9, rng.integers(1, 5)).round(1)).tolist()
    if name in ("Precision", "Recall"):
        return {
            "thresholds": pick(rng, None, limits[0], limits),
            "top_k": pick(rng, None, int(rng.integers(1, classes + 1))),
            "class_id": pick(rng, None, int(rng.integers(0, classes))),
        }
    if name.startswith(("True", "False")):
        return {"thresholds": pick(rng, None, limits[0], limits)}
    if name == "R2Score":
        return {
            "class_aggregation": pick(rng, None, "uniform_average", "variance_weighted_average"),
            "num_regressors": int(pick(rng, 0, 2)),
        }
    if "Score" in name:
        options = {
            "average": pick(rng, None, "micro", "macro", "weighted"),
            "threshold": pick(rng, None, limits[0]),
        }
        return options | ({} if name == "F1Score" else {"beta": float(rng.uniform(0.5, 2))})
    if name == "AUC":
        multi_label = bool(rng.random() < 0.5)
        return {
            "num_thresholds": int(pick(rng, 3, 11, 200)),
            "curve": pick(rng, "ROC", "PR", "PRGAIN", "pr"),
            "summation_method": pick(rng, "interpolation", "minoring", "majoring"),
            "thresholds": pick(rng, None, None, limits),
            "multi_label": multi_label,
            "num_labels": pick(rng, None, classes) if multi_label else None,
            "label_weights": pick(rng, None, rng.uniform(0.5, 2, classes).round(1).tolist()),
            "from_logits": bool(rng.random() < 0.3),
        }
    given = {"SensitivityAtSpecificity": "specificity", "SpecificityAtSensitivity": "sensitivity"}
    return {
        given.get(name, name.split("At")[1].lower()): round(rng.uniform(0.1, 0.9), 1),
        "num_thresholds": int(pick(rng, 1, 3, 11, 200)),
        "class_id": pick(rng, None, int(rng.integers(0, classes))),
    }


COUNTING = [
    *("TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives", "AUC"),
    *("SensitivityAtSpecificity", "SpecificityAtSensitivity", "PrecisionAtRecall"),
    *("RecallAtPrecision", "FBetaScore", "F1Score", "R2Score", "Precision", "Recall"),
]
DRAWS = [(n, k) for n in COUNTING for k in range(40 if n in ("Precision", "Recall") else 20)]


@pytest.mark.parametrize(("name", "case"), DRAWS)
def test_counting_metrics_against_keras(name: str, case: int, any_seed: int) -> None:
    """Some predictions equal a threshold, and some are out of range."""
    rng = np.random.default_rng([any_seed, 7, case])
    c = int(rng.integers(2, 6))
    options = confusion_options(rng, name, c)
    theirs, ours = (getattr(k.metrics, name)(**options) for k in (keras, tinynet))
    columns_count = options.get("class_id") is not None or options.get("top_k") is not None
    free = "Score" not in name and name != "AUC" and not columns_count
    cube = free or (name == "AUC" and not options["multi_label"])
    for _ in range(3):
        columns = pick(rng, (c,), () if free else (c,), (2, c) if cube else (c,))
        shape = (int(rng.integers(3, 9)), *columns)
        y = (rng.random(shape) < 0.4).astype(pick(rng, "int64", "float32", "bool"))
        p = pick(rng, rng.random(shape), rng.random(shape).round(1), rng.normal(0.5, 0.4, shape))
        p = (2 * p - 1 if options.get("from_logits") else p).astype("float32")
        if name == "R2Score":
            y = rng.standard_normal(shape).astype("float32")
        weights = pick(rng, None, rng.uniform(0, 2, shape[:1]).astype("float32"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # both libraries warn about R2Score's fallback
            weights = weights if len(shape) < 3 else None
            theirs.update_state(y, p, weights)
            column = weights is not None and "Score" not in name and rng.random() < 0.3
            ours.update_state(y, p, weights[:, None] if column else weights)
            expected, found = np.asarray(theirs.result()), ours.result()
        assert np.shape(found) == expected.shape
        # Keras sums up to 150 float32 values; areas and R2 are differences of such sums.
        what = f"{options}, y {y.shape} {y.dtype}, weights {np.shape(weights)}"
        atol = 1e-5 * (1 + float(np.abs(expected).max()) ** 2 * (name == "R2Score"))
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=atol, err_msg=what)
    config = ours.get_config()
    assert config.keys() == theirs.get_config().keys()
    again = tinynet.metrics.deserialize(tinynet.metrics.serialize(ours))
    assert again.get_config() == config
    assert getattr(keras.metrics, name).from_config(config).name == ours.name
    ours.reset_state()
    again.update_state(y, p)
    ours.update_state(y, p)
    np.testing.assert_array_equal(again.result(), ours.result())


@pytest.mark.parametrize("case", range(40))
def test_models_against_keras(case: int, any_seed: int) -> None:
    """One step of SGD with sample or class weights, for every form of targets."""
    rng = np.random.default_rng([any_seed, 4, case])
    n, t = int(rng.integers(2, 7)), int(rng.integers(2, 4))
    name, head, c = pick(
        rng,
        ("sparse_categorical_crossentropy", "softmax", 3),
        ("categorical_crossentropy", "softmax", 3),
        ("binary_crossentropy", "sigmoid", pick(rng, 1, 3)),
        ("mean_squared_error", None, pick(rng, 1, 3)),
    )
    long = bool(rng.random() < 0.4)
    lead = (n, t) if long else (n,)
    x = rng.standard_normal((*lead, 4)).astype("float32")
    if name.startswith("sparse"):
        y = rng.integers(0, c, lead)
    elif name.startswith("cat"):
        y = np.eye(c)[rng.integers(0, c, lead)]
    else:
        y = rng.random((*lead, c))
        y = y if name.startswith("mean") else pick(rng, y, np.rint(y))
        y = 3 * y if name.startswith("mean") else y
    if y.shape[-1] == 1 and not long and rng.random() < 0.5:
        y = y[..., 0]
    options: dict[str, Any] = {}
    weights = pick(rng, None, "sample", "class")
    if weights == "sample":
        options["sample_weight"] = rng.uniform(0, 2, pick(rng, lead, lead)).astype("float32")
    if weights == "class" and not long:
        options["class_weight"] = {k: float(rng.uniform(0, 3)) for k in pick(rng, [0], [0, 1, 7])}
    initial = [rng.standard_normal(s).astype("float32") for s in ((4, c), (c,))]
    results = []
    for k in (keras, tinynet):
        net = k.Sequential([k.Input(x.shape[1:]), k.layers.Dense(c, activation=head)])
        net.compile(k.optimizers.SGD(0.5), name, **({"jit_compile": False} if k is keras else {}))
        net.set_weights(initial)
        results.append([net.train_on_batch(x, y, **options), *net.get_weights()])
    what = f"{name}, c={c}, y {y.shape}, {options}"
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=100 * EPS, atol=100 * EPS, err_msg=what)


@pytest.mark.parametrize("case", range(40))
def test_activations_against_keras(case: int, any_seed: int) -> None:
    """Compare values and gradients, also at kinks, for all valid options."""
    rng = np.random.default_rng([any_seed, 5, case])
    number = float(pick(rng, 0, 0.5, 1, 6, rng.uniform(0, 3)))
    options = {
        "negative_slope": float(pick(rng, 0, 0.1, 2, rng.uniform(0, 1))),
        "max_value": pick(rng, None, 0.0, 0.5, 6.0, float(rng.uniform(0, 3))),
        "threshold": number,
    }
    below = {**options, "threshold": -number}
    layers, own, name = tinynet.layers, activations, pick(rng, *sorted(registry.names(activations)))
    theirs, ours = pick(
        rng,
        (keras.layers.ReLU(**options), layers.ReLU(**options).activation),
        (lambda x: keras.activations.relu(x, **below), own.relu.with_options(**below)),
        (keras.layers.LeakyReLU(number), layers.LeakyReLU(number).activation),
        (lambda x: keras.activations.elu(x, number), own.elu.with_options(alpha=number)),
        (getattr(keras.activations, name), getattr(own, name)),
    )
    corners = [0.0, 3.0, -3.0, 6.0, number, -number, options["max_value"] or 0.0]
    x = np.array([[*corners, *5 * rng.standard_normal(33)]], np.float32)
    upstream = rng.standard_normal(x.shape).astype("float32")
    y, gradient = with_gradient(theirs, x, upstream)
    found = ours.forward(x)
    what = f"{ours}, {ours.options}, {x}"
    # The tails of gelu and mish are differences of values of order 1.
    np.testing.assert_allclose(found, y, rtol=100 * EPS, atol=20 * EPS, err_msg=what)
    d_x = ours.backward(upstream, x, found)
    np.testing.assert_allclose(d_x, gradient, rtol=200 * EPS, atol=50 * EPS, err_msg=what)


def random_optimizer(rng: np.random.Generator) -> tuple[str, dict[str, Any]]:
    rate = float(10 ** rng.uniform(-3, -1))
    moments = {
        "beta_1": pick(rng, 0.0, 0.9, float(rng.uniform(0, 0.99))),
        "beta_2": pick(rng, 0.0, 0.999, float(rng.uniform(0, 0.999))),
        "epsilon": float(10 ** rng.uniform(-7, -2)),
    }
    momentum = pick(rng, 0.0, 0.9, 1.0)
    root = {"rho": pick(rng, 0.5, 0.9), "epsilon": 1e-3}
    name, options = pick(
        rng,
        ("SGD", {"momentum": momentum, "nesterov": bool(rng.random() < 0.5)}),
        ("Adam", {**moments, "amsgrad": bool(rng.random() < 0.5)}),
        ("AdamW", {**moments, "weight_decay": float(rng.uniform(0, 0.1))}),
        ("Nadam", moments),
        ("Adagrad", {"initial_accumulator_value": float(rng.uniform(0, 1)), "epsilon": 1e-3}),
        ("RMSprop", {**root, "momentum": momentum, "centered": bool(rng.random() < 0.3)}),
    )
    options = {"learning_rate": rate, **options}
    if name != "AdamW":
        options["weight_decay"] = pick(rng, None, 0.0, 0.1)
    clip = pick(rng, None, "clipnorm", "clipvalue", "global_clipnorm")
    if clip:
        options[clip] = float(rng.uniform(0.1, 2))
    if rng.random() < 0.3:
        options.update(use_ema=True, ema_momentum=pick(rng, 0.0, 0.5, 1.0))
        options["ema_overwrite_frequency"] = pick(rng, None, 2)
    if rng.random() < 0.3:
        options["gradient_accumulation_steps"] = 2
    return name, options


@pytest.mark.parametrize("case", range(40))
def test_optimizers_against_keras(case: int, any_seed: int) -> None:
    rng = np.random.default_rng([any_seed, 6, case])
    name, options = random_optimizer(rng)
    excluded = pick(rng, None, {"var_names": ["bias"]}, {"var_names": ["k.r", "gamma"]})
    initial = [rng.standard_normal(s).astype("float32") for s in ((3, 2), (2,))]
    steps = [[rng.standard_normal(w.shape).astype("float32") for w in initial] for _ in range(5)]
    results = []
    for k in (keras, tinynet):
        net = k.Sequential([k.Input((3,)), k.layers.Dense(2)])
        net.set_weights(initial)
        optimizer = getattr(k.optimizers, name)(**options)
        if excluded:
            optimizer.exclude_from_weight_decay(**excluded)
        for gradients in steps:
            tensors = map(k.ops.convert_to_tensor, gradients)
            optimizer.apply_gradients(zip(tensors, net.trainable_variables, strict=True))
        optimizer.finalize_variable_values(net.trainable_variables)
        results.append(net.get_weights())
    what = f"{name}({options}), {excluded}"
    for theirs, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4, err_msg=what)
