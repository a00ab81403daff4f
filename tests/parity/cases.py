"""Cases of layers, activations, losses, metrics and optimizers, for tinynet and Keras.

A case is written once, as a function of the library ``k``, and runs with tinynet and with Keras on
TensorFlow, JAX or NumPy. The tests and the report of ``make parity`` use the same cases. A new
class or function needs a row in one of the tables.
"""

from __future__ import annotations

import functools
import json
import zlib
from collections.abc import Callable
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

import tinynet
from tests.compare import EPS, Comparison, compare
from tests.internals import registry
from tinynet import activations, losses
from tinynet._core.buffers import Workspace
from tinynet.program.tensor import as_tensors

Values = dict[str, np.ndarray]
Row = tuple[Any, ...]


class Case(NamedTuple):
    """A use of a layer, function or optimizer, and the bounds of its results."""

    kind: str
    name: str
    label: str
    run: Callable[[Any], Values]
    bounds: Callable[[Values], dict[str, Any]]

    def compare(self, found: Values, expected: Values, partial: bool = False) -> list[Comparison]:
        """Compare all results with those of Keras on TensorFlow, including those of `predict`.

        Only `partial` results may lack some: Keras on NumPy has no gradients.
        """
        off, missing = self.bounds(expected), expected.keys() - found.keys()
        assert partial or not missing, f"{self.label}: {missing} were not computed"
        right = {name: name.removesuffix(" of predict") for name in found}
        return [
            compare(
                value, expected[right[name]], off.get(name, off.get(name.split()[0])),
                f"{self.label}: {name}",
            )
            for name, value in found.items()
        ]  # fmt: skip


def platform(k: Any) -> str:
    """Return "tinynet", or the backend of Keras."""
    return "tinynet" if k is tinynet else str(k.backend.backend())


def generator(label: str) -> np.random.Generator:
    """Return a generator for the data of a case."""
    return np.random.default_rng(zlib.crc32(label.encode()))


def normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Draw normally distributed float32 numbers."""
    return rng.standard_normal(shape).astype(np.float32)


def label_of(name: str, options: dict[str, Any], *more: Any) -> str:
    """Return the text that identifies a case."""
    shown = {key: "..." if callable(value) else value for key, value in options.items()}
    return " ".join([name, *(f"{key}={value}" for key, value in shown.items()), *map(str, more)])


def arrays(value: Any) -> list[np.ndarray]:
    """Convert a tensor or a list of tensors, on any backend, to arrays."""
    several = value if isinstance(value, list | tuple) else [value]
    return [np.asarray(v.numpy() if hasattr(v, "numpy") else v) for v in several]


def differentiate(
    k: Any, function: Callable[..., Any], x: list[np.ndarray], upstream: Any = None
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the value of a function, and its gradients with respect to its arguments.

    Without an upstream gradient, it is 1. Keras on NumPy returns no gradients.
    """
    where = platform(k)
    if where == "numpy":
        return arrays(function(*x))[0], []
    if where == "jax":
        import jax

        y, backward = jax.vjp(function, *map(jax.numpy.asarray, x))
        found = backward(
            jax.numpy.ones_like(y) if upstream is None else jax.numpy.asarray(upstream)
        )
        return np.asarray(y), arrays(found)
    if where == "tensorflow":
        import tensorflow as tf

        tape, given, made = tf.GradientTape(), [*map(tf.constant, x)], tf.constant
    else:
        tape, given, made = tinynet.GradientTape(), as_tensors(x), np.array
    with tape:
        tape.watch(given)
        y = function(*given)
    options = {} if upstream is None else {"output_gradients": made(upstream)}
    return arrays(y)[0], arrays(tape.gradient(y, given, **options))


# ------------------------------------------------------------ activations

CORNERS = np.float32([-100, -6, -3, -1e-4, -0.0, 0, 1e-4, 0.5, 1, 3, 4, 6, 20, 80])
# 0.5, 1, 4 and 6 are kinks of relu with the options below; all functions are tested at these.
X = np.concatenate([CORNERS, 4 * normal(generator("x"), 50)]).reshape(8, 8)
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


def activation_case(name: str, options: dict[str, Any]) -> Case:
    """Compare the value and the gradient of an activation."""
    text = label_of(name, options)
    upstream = normal(generator(text), 8, 8)

    def run(k: Any) -> Values:
        function = getattr(k.activations, name, None) or k.activations.get(name)
        y, d_x = differentiate(k, lambda x: function(x, **options), [X], upstream)
        if k is tinynet and not options:  # compiled, with the numba backend
            net = tinynet.Sequential([tinynet.Input((8,)), tinynet.layers.Activation(name)])
            return {"y": y, "d_x": d_x[0], "y of predict": net.predict(X, verbose=0)}
        return {"y": y, **dict(zip(["d_x"], d_x, strict=False))}

    def bounds(expected: Values) -> dict[str, Any]:
        # Each activation is composed of a few functions with one or two rounding errors each, of
        # values no larger than |x| + 1. Keras' gelu has a similar error, from 1 + erf(x) for erf(x)
        # near -1.
        y = np.abs(expected["y"])
        if "softmax" in name:  # sums of 8 terms
            return {
                "y": 8 * EPS * 8 * (1 + y.max()),
                "d_x": 8 * EPS * np.sqrt(8) * np.abs(upstream).sum(),
            }
        slope = 1 + (y if name == "exponential" else np.abs(X))
        return {"y": 8 * EPS * (1 + np.abs(X) + y), "d_x": 8 * EPS * slope * np.abs(upstream)}

    return Case("activations", name, text, run, bounds)


# ------------------------------------------------------------ losses


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return one-hot rows."""
    return np.eye(classes, dtype=np.float32)[labels]


RNG = np.random.default_rng(11)
LABELS = np.array([2, 0, 1, 1, 0, 2])
LOGITS = normal(RNG, 6, 3)
LOGITS[0], LOGITS[1] = [100, 0, 0], [0, 0, 0]  # saturated and incorrect; a tie
P = tinynet.functional.softmax(LOGITS)
P[2], P[3] = [0, 1, 0], [0.9, 0.9, 0.9]  # certain and correct; not normalized
SOFT = RNG.dirichlet([1, 1, 1], 6).astype(np.float32)
HOT = one_hot(LABELS, 3)
YES = np.float32([[1], [0], [1], [1], [0], [0]])
BINARY = np.float32([[0.7], [0.4], [1e-9], [1], [1], [0]])
NUMBERS, GUESSES = 2 * normal(RNG, 6, 3), 2 * normal(RNG, 6, 3)
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


def loss_case(row: Row, reduction: str, weight: Any) -> Case:
    """Compare the values of a loss, and the gradient with respect to the predictions."""
    name, options, y_true, y_pred = row
    options = {**options, "reduction": reduction}
    weights = None if weight is None else f"weights {weight.shape}"
    text = label_of(name, options, *([weights] if weights else []))

    def run(k: Any) -> Values:
        loss = getattr(k.losses, name)(**options)
        if k is not tinynet or reduction == "none":
            values, d = differentiate(k, lambda p: loss(y_true, p, weight), [y_pred])
            values = values.reshape(values.shape[:1])  # a column if the weights are a column
            return {"values": values, **dict(zip(["gradient"], d, strict=False))}
        values = np.asarray(loss(y_true, y_pred, weight))
        labels = loss.prepare(y_true, y_pred.shape)
        fitted = weight
        if weight is not None:
            fitted = losses.fit_weights(weight, loss.values_shape(labels, y_pred.shape))
        value, d_y = loss.step(labels, y_pred, fitted, Workspace())  # as in training
        np.testing.assert_allclose(value, values, rtol=8 * EPS, atol=8 * EPS)
        return {"values": values, "gradient": d_y}

    def bounds(expected: Values) -> dict[str, Any]:
        # Sums over three classes with a few rounding errors each, then over six examples. Values of
        # SparseCategoricalCrossentropy may be as small as 2e-7, but have an absolute error of two
        # rounding errors of 1.
        off = {
            "values": 8 * EPS * (1 + np.abs(expected["values"]).max() + 100 * (reduction != "none"))
        }
        if "gradient" in expected:
            largest = np.abs(expected["gradient"]).max(axis=1, keepdims=True)
            off["gradient"] = 16 * EPS * (1 + largest)
        return off

    return Case("losses", name, text, run, bounds)


REDUCTIONS = ["sum_over_batch_size", "sum", "none", "mean_with_sample_weight"]
WEIGHT = np.float32([2, 0, 0.5, 1, 3, 0])
LOSS_RUNS = [
    *((row, "sum_over_batch_size", None) for row in LOSSES),
    *((row, "mean_with_sample_weight", WEIGHT) for row in LOSSES[::3]),
    *(
        (LOSSES[0], reduction, w)
        for reduction in REDUCTIONS
        for w in (None, WEIGHT, WEIGHT[:, None])
    ),
]

# ------------------------------------------------------------ metrics

FIVE = normal(RNG, 6, 5)
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
    ("MeanMetricWrapper", {"fn": lambda k: k.losses.mean_squared_error}, NUMBERS, GUESSES),
    ("Mean", {}, None, NUMBERS),
    ("Sum", {}, None, NUMBERS),
]


def made(k: Any, group: Any, name: str, options: dict[str, Any]) -> Any:
    """Create an object; options that are functions receive the library."""
    return getattr(group, name)(
        **{key: value(k) if callable(value) else value for key, value in options.items()}
    )


def metric_case(row: Row, weighted: bool) -> Case:
    """Compare the results of a metric after each of two batches."""
    name, options, y_true, y_pred = row
    text = label_of(name, options, *(["weighted"] if weighted else []))

    def run(k: Any) -> Values:
        metric, found = made(k, k.metrics, name, options), {}
        for batch, part in enumerate((slice(4), slice(4, 6)), 1):
            weight = WEIGHT[part] if weighted else None
            if weighted and name in ("Precision", "Recall"):
                weight = weight[:, None]
            data = [y_pred[part]] if y_true is None else [y_true[part], y_pred[part]]
            metric.update_state(*data, weight)
            found[f"result after batch {batch}"] = arrays(metric.result())[0]
        return found

    def bounds(expected: Values) -> dict[str, Any]:
        # Sums of up to 18 values, in float32 in Keras.
        largest = max(float(np.abs(value).max()) for value in expected.values())
        return {"result": max(16 * EPS * largest, 8 * EPS)}

    return Case("metrics", name, text, run, bounds)


# ------------------------------------------------------------ optimizers

FTRL = {
    **{"l2_regularization_strength": 0.1, "l2_shrinkage_regularization_strength": 0.2},
    "gradient_accumulation_steps": 2,
}
OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("SGD", {"nesterov": True}),
    ("SGD", {"clipnorm": 0.5}),
    ("SGD", {"clipvalue": 0.3}),
    ("SGD", {"global_clipnorm": 0.5}),
    ("SGD", {"weight_decay": 0.1}),
    ("SGD", {"momentum": 0.5, "weight_decay": 0.1, "clipnorm": 1.0}),
    ("Adam", {}),
    ("Adam", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
    ("Adam", {"amsgrad": True}),
    ("Adam", {"weight_decay": 0.01}),
    ("Adam", {"clipnorm": 0.5}),
    ("Adam", {"clipvalue": 0.3}),
    ("Adam", {"global_clipnorm": 0.5}),
    ("Adam", {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}),
    ("Adam", {"use_ema": True}),
    ("Adam", {"gradient_accumulation_steps": 2}),
    ("AdamW", {}),
    ("AdamW", {"weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {"use_ema": True, "gradient_accumulation_steps": 3}),
    ("Nadam", {}),
    ("Nadam", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3}),
    ("RMSprop", {}),
    ("RMSprop", {"rho": 0.5, "epsilon": 1e-3}),
    ("RMSprop", {"momentum": 0.5}),
    ("RMSprop", {"centered": True, "epsilon": 1e-3}),
    ("RMSprop", {"momentum": 0.5, "centered": True, "epsilon": 1e-3, "clipvalue": 1.0}),
    ("Adagrad", {}),
    ("Adagrad", {"initial_accumulator_value": 0.5, "epsilon": 1e-3}),
    ("Adamax", {}),
    ("Adamax", {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3, "weight_decay": 0.1}),
    ("Adadelta", {}),
    ("Adadelta", {"learning_rate": 1.0, "rho": 0.5, "epsilon": 1e-3, "clipnorm": 1.0}),
    ("Ftrl", {}),
    ("Ftrl", {"learning_rate": 0.1, "l1_regularization_strength": 0.1, "beta": 0.5}),
    ("Ftrl", {"learning_rate": 0.1, "learning_rate_power": -0.8, "clipvalue": 2.0}),
    ("Ftrl", {"learning_rate": 0.1, "learning_rate_power": 0.0}),
    ("Ftrl", {"learning_rate": 0.1, "initial_accumulator_value": 1.0, **FTRL}),
    ("Lion", {}),
    ("Lion", {"beta_1": 0.5, "beta_2": 0.9, "use_ema": True, "weight_decay": 0.1}),
]
SHAPES = ((3, 2), (2,), ())
SIZES = (1.0, 1e-3, 0.0, 30.0, 1.0, 1e-6, 0.5)


def optimizer_case(name: str, options: dict[str, Any], make: Any = None, steps: int = 7) -> Case:
    """Apply the same large and small gradients, and compare the weights and the state."""
    text = label_of(name, options)
    rng = generator(text)
    start = [normal(rng, *shape) for shape in SHAPES]
    gradients = [[np.float32(size) * normal(rng, *s) for s in SHAPES] for size in SIZES[:steps]]

    def run(k: Any) -> Values:
        optimizer = make(k) if make else getattr(k.optimizers, name)(**options)
        weights = [k.Variable(w, dtype="float32") for w in start]
        found = {}
        for n, step in enumerate(gradients, 1):
            optimizer.apply([k.ops.convert_to_tensor(g) for g in step], weights)
            for i, value in enumerate(arrays(weights)):
                found[f"weight{i} after step {n}"] = value
        state = arrays([*optimizer.variables])
        return {**found, **{f"state{i} at the end": value for i, value in enumerate(state)}}

    def bounds(expected: Values) -> dict[str, Any]:
        # A step rounds the weight once. The step size is computed with about ten operations, of
        # which powers, square roots and the float32 learning rate have the largest errors. Moment
        # estimates retain these errors, so the bound accumulates them over the steps.
        off: dict[str, Any] = {}
        for i, before in enumerate(start):
            reach = 1e-30
            for n in range(1, steps + 1):
                after = expected[f"weight{i} after step {n}"]
                moved, size = np.abs(after - before).max(), np.abs(before).max()
                reach, before = reach + EPS * size + 32 * EPS * moved, after
                off[f"weight{i} after step {n}"] = reach
        for key, value in expected.items():
            if key.startswith("state"):
                off[key] = 64 * EPS * (np.abs(value) + np.abs(value).max())
        return off

    return Case("optimizers", name, text, run, bounds)


# ------------------------------------------------------------ layers


class Inner(NamedTuple):
    """A layer within a layer, for both libraries."""

    name: str
    options: dict[str, Any]

    def __call__(self, k: Any) -> Any:
        return getattr(k.layers, self.name)(**self.options)


# Layers that are composed of operations.
COMPOSED: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("LayerNormalization", {}, (6, 5)),
    ("LayerNormalization", {"axis": [2, 1], "epsilon": 0.1}, (4, 2, 3)),
    ("LayerNormalization", {"axis": 1, "center": False, "gamma_regularizer": "l2"}, (4, 3, 2)),
    ("LayerNormalization", {"scale": False, "beta_constraint": "non_neg"}, (6, 5)),
    ("UnitNormalization", {}, (6, 5)),
    ("UnitNormalization", {"axis": [1, 2]}, (4, 3, 2)),
    ("Normalization", {}, (6, 5)),
    ("Normalization", {"axis": None, "invert": True}, (6, 5)),
    ("Normalization", {"axis": (1, 2)}, (4, 3, 2)),
    ("Normalization", {"mean": [0.1, 0.2, 0.3], "variance": [1.0, 2.0, 0.0]}, (4, 3)),
    ("Normalization", {"axis": [1, -1], "mean": 0.1, "variance": 3}, (4, 3, 2)),
    ("Embedding", {"input_dim": 7, "output_dim": 3}, (6, 5)),
    ("Embedding", {"input_dim": 4, "output_dim": 2, "embeddings_regularizer": "l2"}, (6, 2, 2)),
    ("Embedding", {"input_dim": 9, "output_dim": 2, "embeddings_constraint": "unit_norm"}, (6, 2)),
    ("PReLU", {}, (6, 5)),
    ("PReLU", {"shared_axes": 1, "alpha_initializer": "ones"}, (4, 3, 2)),
    ("PReLU", {"shared_axes": [1, 2], "alpha_constraint": "max_norm"}, (4, 3, 2)),
    ("ELU", {}, (6, 5)),
    ("ELU", {"alpha": 0.3}, (4, 3, 2)),
    ("GaussianNoise", {"stddev": 0.0}, (6, 5)),
    ("GaussianDropout", {"rate": 0.0, "seed": 3}, (6, 5)),
    ("Permute", {"dims": (2, 1)}, (4, 3, 2)),
    ("Permute", {"dims": (3, 1, 2)}, (4, 3, 2, 2)),
    ("RepeatVector", {"n": 3}, (6, 5)),
    ("TimeDistributed", {"layer": Inner("Dense", {"units": 3, "activation": "relu"})}, (4, 3, 2)),
    ("TimeDistributed", {"layer": Inner("BatchNormalization", {})}, (6, 3, 2)),
    ("TimeDistributed", {"layer": Inner("Permute", {"dims": (2, 1)})}, (4, 3, 2, 2)),
]
LAYERS: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("Dense", {"units": 4}, (6, 5)),
    ("Dense", {"units": 4, "activation": "relu"}, (6, 5)),
    ("Dense", {"units": 4, "use_bias": False, "activation": "tanh"}, (6, 5)),
    ("Dense", {"units": 3, "activation": "softmax"}, (4, 2, 5)),
    ("BatchNormalization", {}, (8, 5)),
    ("BatchNormalization", {"momentum": 0.5, "epsilon": 0.1}, (8, 5)),
    ("BatchNormalization", {"center": False}, (8, 5)),
    ("BatchNormalization", {"scale": False}, (8, 5)),
    ("BatchNormalization", {"axis": 1}, (8, 3, 4)),
    ("BatchNormalization", {}, (8, 3, 4)),
    ("BatchNormalization", {"trainable": False}, (8, 5)),
    ("Dropout", {"rate": 0.0}, (6, 5)),
    ("Dropout", {"rate": 1.0}, (6, 5)),
    ("Rescaling", {"scale": 1 / 255}, (6, 5)),
    ("Rescaling", {"scale": 2.0, "offset": -1.0}, (6, 2, 3)),
    ("Reshape", {"target_shape": (2, 3)}, (4, 6)),
    ("Reshape", {"target_shape": (-1, 2)}, (4, 6)),
    ("Flatten", {}, (4, 2, 3)),
    ("Activation", {"activation": "gelu"}, (6, 5)),
    ("ReLU", {}, (6, 5)),
    ("ReLU", {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.5}, (6, 5)),
    ("LeakyReLU", {}, (6, 5)),
    ("LeakyReLU", {"negative_slope": 0.1}, (6, 5)),
    ("Softmax", {}, (6, 5)),
    ("Softmax", {"axis": 1}, (6, 3, 2)),
    *COMPOSED,
    ("ActivityRegularization", {"l1": 0.1}, (6, 5)),
    ("InputLayer", {"shape": (5,)}, (6, 5)),
    ("Lambda", {"function": lambda k: lambda x: x * x}, (6, 5)),
]
MERGING: list[tuple[str, dict[str, Any], list[tuple[int, ...]]]] = [
    ("Add", {}, [(6, 5)] * 3),
    ("Subtract", {}, [(6, 2, 5), (6, 1, 5)]),
    ("Multiply", {}, [(6, 5), (6, 1), (6, 5)]),
    ("Average", {}, [(6, 5)] * 3),
    ("Maximum", {}, [(6, 5)] * 2),
    ("Minimum", {}, [(6, 5)] * 3),
    ("Concatenate", {}, [(6, 5), (6, 2)]),
    ("Concatenate", {"axis": 1}, [(6, 2, 5), (6, 3, 5)]),
    ("Dot", {"axes": 1}, [(6, 5)] * 2),
    ("Dot", {"axes": (2, 1), "normalize": True}, [(6, 2, 5), (6, 5, 3)]),
]


def open_shape(shape: Any) -> Any:
    """Return a shape, or each shape of a list, with a None batch size."""
    if isinstance(shape, list):
        return [open_shape(s) for s in shape]
    return (None, *shape[1:])


def make_layer(k: Any, row: Row) -> Any:
    """Build the layer of a row of the table."""
    layer = made(k, k.layers, *row[:2])
    return k.Sequential([layer, k.layers.ReLU()]) if row[0] == "InputLayer" else layer


def inputs_of(row: Row, rng: np.random.Generator) -> Any:
    """Draw inputs for a row of the table."""
    name, options, shape = row
    if name == "Embedding":
        return rng.integers(0, options["input_dim"], shape).astype(np.float32)
    if isinstance(shape, list):
        return [2 * normal(rng, *s) for s in shape]
    return 2 * normal(rng, *shape)


def layer_case(row: Row, training: bool) -> Case:
    """Compare the output of a layer, its gradients, and its weights after the call."""
    name, options, shape = row
    text = label_of(name, options, shape, "training" if training else "inference")
    rng = generator(text)
    x = inputs_of(row, rng)
    several = x if isinstance(x, list) else [x]
    like = make_layer(tinynet, row)
    like.build(open_shape(shape))
    start = [(0.5 + np.abs(normal(rng, *w.shape))).astype(w.dtype) for w in like.weights]
    upstream = normal(rng, *like(x).shape)

    def run(k: Any) -> Values:
        layer = make_layer(k, row)
        layer.build(open_shape(shape))
        layer.set_weights(start)
        if name == "Normalization" and k is not tinynet:
            layer.finalize_state()
        y, found = called(k, layer, several, training, upstream)
        result = {"y": y}
        if k is tinynet and not training:  # compiled, with the numba backend
            inputs = [tinynet.Input(a.shape[1:]) for a in several]
            net = tinynet.Model(inputs, layer(inputs if isinstance(x, list) else inputs[0]))
            result["y of predict"] = net.predict(several, verbose=0)
        result |= {f"gradient {i}": d for i, d in enumerate(found)}
        return result | {f"weight {i}": w for i, w in enumerate(arrays(layer.weights))}

    def bounds(expected: Values) -> dict[str, Any]:
        # Sums of at most 24 terms of a few units, each the result of a few functions.
        largest = max(np.abs(a).max() for a in several)
        room = 8 * EPS * np.sqrt(24) * (1 + largest) * (1 + float(np.abs(expected["y"]).max()))
        return {"y": room, "weight": room, "gradient": room * np.abs(upstream).max()}

    return Case("layers", name, text, run, bounds)


def called(k: Any, layer: Any, x: list[np.ndarray], training: bool, upstream: np.ndarray) -> Any:
    """Call a layer; return its output, and the gradients of its inputs and trainable weights."""
    where = platform(k)

    def inputs(given: Any) -> Any:
        return list(given) if len(x) > 1 else given[0]

    if where == "numpy":
        return np.asarray(layer(inputs(x), training=training)), []
    if where == "jax":
        import jax

        fixed = [v.value for v in layer.non_trainable_variables]
        options = {"training": training} if "training" in signature(layer.call).parameters else {}

        def function(given: Any, weights: Any) -> Any:
            return layer.stateless_call(weights, fixed, inputs(given), **options)

        weights = [v.value for v in layer.trainable_variables]
        y, backward, state = jax.vjp(function, [*map(jax.numpy.asarray, x)], weights, has_aux=True)
        for variable, value in zip(layer.non_trainable_variables, state, strict=True):
            variable.assign(value)
        d_x, d_w = backward(jax.numpy.asarray(upstream))
        return np.asarray(y), arrays([*d_x, *d_w])
    if where == "tensorflow":
        import tensorflow as tf

        tape, given, output_gradients = tf.GradientTape(), [*map(tf.constant, x)], tf.constant
        weights = [w.value for w in layer.trainable_weights]
    else:
        tape, given, output_gradients = tinynet.GradientTape(), as_tensors(x), np.array
        weights = layer.trainable_weights
    with tape:
        tape.watch(given)
        y = layer(inputs(given), training=training)
    found = tape.gradient(
        y, [*given, *weights], output_gradients(upstream), unconnected_gradients="zero"
    )
    if where == "tensorflow":  # a gradient of rows that are looked up is sparse
        found = [tf.convert_to_tensor(d) for d in found]
    return arrays(y)[0], arrays(found)


@functools.cache
def cases() -> list[Case]:
    """Return all cases."""
    return [
        *(activation_case(*row) for row in ACTIVATIONS),
        *(loss_case(*run) for run in LOSS_RUNS),
        *(metric_case(row, weighted) for row in METRICS for weighted in (False, True)),
        *(optimizer_case(*row) for row in OPTIMIZERS),
        *(layer_case(row, training) for row in (*LAYERS, *MERGING) for training in (False, True)),
    ]


def label(case: Case) -> str:
    """Return the name of a case."""
    return case.label


def of(kind: str) -> list[Case]:
    """Return the cases of a kind."""
    return [case for case in cases() if case.kind == kind]


def main(path: str) -> None:
    """Run all cases with Keras on another backend, and write the results to a file."""
    import keras

    found, failed = {}, {}
    for i, case in enumerate(cases()):
        if case.kind == "optimizers" and platform(keras) == "numpy":
            continue  # Keras on NumPy does not train
        try:
            results = case.run(keras)
        except Exception as error:  # the report names it
            failed[case.name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        found |= {f"{i}: {name}": value for name, value in results.items()}
    np.savez(path, **found, failed=json.dumps(failed))
