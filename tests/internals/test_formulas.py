"""Compiled training steps compute the same results as `functional` on the numpy backend.

Steps of correctly rounded operations only (arithmetic, square roots, comparisons) must be
bit-identical. Sums in a different order, `exp`, `log` and `tanh` may round differently.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from tests.internals import registry as registered
from tinynet import config, constraints, layers, losses, ops, optimizers, regularizers
from tinynet._core import registry
from tinynet.optimizers import schedules
from tinynet.program.nested import flattened

L = layers
Build = Callable[[], Any]
N, BATCH = 37, 16  # the final partial batch has 5 examples
EPS = float(np.finfo(np.float32).eps)


@pytest.fixture(autouse=True)
def _backends() -> None:
    if config.backend() != "numba":
        pytest.skip("requires the numba backend")


class Run:
    """A model that was trained on a backend, and its results."""

    def __init__(
        self, backend: str, build: Build, x: Any, y: Any, weights: Any, batch_size: int
    ) -> None:
        config.set_backend(backend)
        registry.clear_names()
        keras.utils.set_random_seed(3)
        self.model = model = build()
        options = {"batch_size": batch_size, "verbose": 0}
        history = model.fit(x, y, sample_weight=weights, epochs=2, shuffle=False, **options)
        self.history = history.history
        results = model.evaluate(x, y, sample_weight=weights, return_dict=True, **options)
        self.values = {f"history {name}": np.array(v) for name, v in self.history.items()}
        self.values |= {f"evaluate {name}": np.array(v) for name, v in results.items()}
        variables = [*model.weights, *model.optimizer.variables]
        self.values |= {f"{k} {v.path}": v.array.copy() for k, v in enumerate(variables)}
        for k, y_pred in enumerate(flattened(model.predict(x, **options))):
            self.values[f"predict {k}"] = y_pred


def compare(
    build: Build, x: Any, y: Any, weights: Any = None, roundings: float = 0, batch_size: int = BATCH
) -> Run:
    """Train on both backends and compare all results.

    `roundings` is the tolerance in units of eps times the maximum of an array.
    The compiled program runs a fused training loop. Losses and metrics are sums, which may
    always round differently.
    """
    reference, found = (Run(b, build, x, y, weights, batch_size) for b in ("numpy", "numba"))
    for kind in ("train", "test"):
        program = next(p for (own, *_), p in found.model._programs.items() if own == kind)
        assert program._compiled is not None
        assert program._compiled[-1] is not None, program.why
    assert found.values.keys() == reference.values.keys()
    for name, wanted in reference.values.items():
        got = found.values[name]
        if wanted.dtype.kind != "f" or not wanted.size:
            np.testing.assert_array_equal(got, wanted, err_msg=name)
            continue
        allowed = max(roundings, 8) if name.startswith(("history", "evaluate")) else roundings
        assert np.isfinite(wanted).all(), name
        error = np.abs(got.astype(float) - wanted).max() / (EPS * np.abs(wanted).max() or 1)
        assert error <= allowed, f"{name}: {error:.1f} rounding errors"
    return found


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def other(*shape: int) -> np.ndarray:
    return normal(*shape, seed=1)


def sequential(*rows: Any, optimizer: Any = "sgd", loss: Any = "mse", **options: Any) -> Any:
    model = keras.Sequential([*rows])
    model.compile(optimizer, loss, **options)
    return model


# ------------------------------------------------------------ exact


class Scale(L.Layer):
    """Multiply each column by a weight and add another weight."""

    def build(self, shape: Any) -> None:
        start = keras.initializers.RandomNormal(stddev=1.0)
        self.w = self.add_weight(shape[1:], start, name="w", **self.options)
        self.b = self.add_weight(shape[1:], "zeros", name="b")

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.options = options

    def call(self, x: Any) -> Any:
        return x * self.w + self.b


def exactly(build: Build, columns: int = 5, **options: Any) -> Run:
    """Compare on batches of one example, whose gradients contain no sums."""
    return compare(build, normal(9, columns), other(9, columns), batch_size=1, **options)


PENALTIES = {
    "l1_regularization_strength": 0.01,
    "l2_regularization_strength": 0.1,
    "l2_shrinkage_regularization_strength": 0.01,
    "beta": 0.1,
}
OPTIMIZERS: dict[str, Callable[[], Any]] = {
    "SGD": lambda: optimizers.SGD(0.05),
    "SGD momentum": lambda: optimizers.SGD(0.05, momentum=0.9),
    "SGD nesterov": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "RMSprop": lambda: optimizers.RMSprop(0.01),
    "RMSprop momentum": lambda: optimizers.RMSprop(0.01, momentum=0.5),
    "RMSprop centered": lambda: optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "Adam": lambda: optimizers.Adam(0.01),
    "Adam amsgrad": lambda: optimizers.Adam(0.01, 0.8, 0.9, 1e-3, amsgrad=True),
    "AdamW": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
    "AdamW amsgrad": lambda: optimizers.AdamW(0.01, weight_decay=0.1, amsgrad=True),
    "Adamax": lambda: optimizers.Adamax(0.01),
    "Nadam": lambda: optimizers.Nadam(0.01),
    "Adadelta": lambda: optimizers.Adadelta(1.0, 0.9),
    "Adagrad": lambda: optimizers.Adagrad(0.1),
    "Ftrl": lambda: optimizers.Ftrl(0.1),
    "Ftrl penalties": lambda: optimizers.Ftrl(0.1, **PENALTIES),
    "Lion": lambda: optimizers.Lion(0.01),
}
# Options that apply to the update of every optimizer.
AROUND: dict[str, dict[str, Any]] = {
    "clipvalue": {"clipvalue": 0.1},
    "weight decay": {"weight_decay": 0.05},
    "average": {"use_ema": True, "ema_momentum": 0.9},
    "use_ema with overwrite": {"use_ema": True, "ema_overwrite_frequency": 2},
    "all": {"clipvalue": 0.2, "weight_decay": 0.01, "use_ema": True},
}
NORMS: dict[str, dict[str, Any]] = {
    "clipnorm": {"clipnorm": 0.1},
    "global_clipnorm": {"global_clipnorm": 0.1},
}
SCHEDULES: dict[str, Callable[[], Any]] = {
    "exponential": lambda: schedules.ExponentialDecay(0.1, 3, 0.5),
    "staircase": lambda: schedules.ExponentialDecay(0.1, 3, 0.5, staircase=True),
    "piecewise": lambda: schedules.PiecewiseConstantDecay([2, 5], [0.1, 0.05, 0.01]),
    "polynomial": lambda: schedules.PolynomialDecay(0.1, 7, 0.01, power=2.0),
    "inverse time": lambda: schedules.InverseTimeDecay(0.1, 2, 0.5),
    "cosine": lambda: schedules.CosineDecay(0.1, 6, warmup_target=0.2, warmup_steps=2),
}


def test_every_class_is_tested() -> None:
    for table, module in ((OPTIMIZERS, optimizers.optimizer), (LOSSES, losses.loss)):
        assert {name.partition(" ")[0] for name in table} == {*registered.classes(module)}
    assert {*registered.names(keras.activations)} <= {*ACTIVATIONS}
    known = registered.classes(schedules.learning_rate_schedule)
    assert {type(make()).__name__ for make in SCHEDULES.values()} == {*known}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_steps_of_optimizers_are_exact(name: str) -> None:
    # NumPy adds the penalties of Ftrl in double precision.
    most = 1 if name == "Ftrl penalties" else 0
    exactly(lambda: sequential(Scale(), optimizer=OPTIMIZERS[name](), loss="mae"), roundings=most)
    exactly(lambda: sequential(Scale(), optimizer=OPTIMIZERS[name]()), 17, roundings=most)


def surrounded(name: str, options: dict[str, Any]) -> Any:
    optimizer = OPTIMIZERS[name]()
    return type(optimizer).from_config({**optimizer.get_config(), **options})


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("name", ["SGD momentum", "Adam", "RMSprop centered"])
def test_update_options_are_exact(name: str, around: str) -> None:
    exactly(lambda: sequential(Scale(), optimizer=surrounded(name, AROUND[around])))


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_are_exact(name: str) -> None:
    exactly(lambda: sequential(Scale(), optimizer=optimizers.SGD(SCHEDULES[name]())))


REGULARIZERS: dict[str, Callable[[], Any]] = {
    "L1": lambda: regularizers.L1(0.01),
    "L2": lambda: regularizers.L2(0.02),
    "L1L2": lambda: regularizers.L1L2(0.01, 0.02),
}


@pytest.mark.parametrize("name", REGULARIZERS)
def test_regularizers_are_exact(name: str) -> None:
    exactly(lambda: sequential(Scale(regularizer=REGULARIZERS[name]())))


def test_sign_constraint_is_exact() -> None:
    run = exactly(lambda: sequential(Scale(constraint="non_neg")))
    assert (run.model.layers[0].w.array >= 0).all()


def activations(*names: str) -> dict[str, Callable[[], Any]]:
    return {name: functools.partial(L.Activation, name) for name in names}


# Activations that use arithmetic only.
EXACT: dict[str, Callable[[], Any]] = {
    **activations("linear", "relu", "leaky_relu", "relu6", "softsign"),
    "ReLU max_value": lambda: L.ReLU(max_value=0.5),
    "ReLU slope": lambda: L.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.25),
    "LeakyReLU": lambda: L.LeakyReLU(0.3),
    "PReLU": lambda: L.PReLU("ones"),
    "Rescaling": lambda: L.Rescaling(0.3, offset=-0.2),
}


@pytest.mark.wide
@pytest.mark.parametrize("loss", ["mse", "mae"])
@pytest.mark.parametrize("name", EXACT)
def test_arithmetic_activations_are_exact(name: str, loss: str) -> None:
    exactly(lambda: sequential(Scale(), EXACT[name](), Scale(), loss=loss))


MERGES = (L.Add, L.Average, L.Maximum, L.Minimum, L.Multiply)


def functional(x: Any, *outputs: Any) -> Any:
    model = keras.Model(x, *outputs)
    model.compile("sgd", "mse")
    return model


@pytest.mark.parametrize("merge", [*MERGES, L.Subtract])
def test_merges_are_exact(merge: Any) -> None:
    def build() -> Any:
        x = L.Input((5,))
        rows = [Scale()(x), Scale()(x)] + [x] * (merge is not L.Subtract)
        return functional(x, Scale()(merge()(rows)))

    exactly(build)


def test_dropout_is_exact() -> None:
    """The random numbers and the generator's final state are equal."""
    exactly(lambda: sequential(Scale(), L.Dropout(0.4, seed=5), Scale()))


def custom(y: Any, p: Any) -> Any:
    return ops.mean(ops.where(ops.abs(y - p) < 0.5, ops.square(y - p), ops.abs(y - p)), axis=-1)


def test_arithmetic_custom_loss_is_exact() -> None:
    exactly(lambda: sequential(Scale(), loss=custom))


# ------------------------------------------------------------ sums, exponentials, logarithms


ACTIVATIONS: dict[str, Callable[[], Any]] = {
    **EXACT,
    **activations("sigmoid", "tanh", "softmax", "log_softmax", "elu", "selu", "softplus", "silu"),
    **activations("swish", "gelu", "exponential", "hard_sigmoid", "hard_silu", "hard_swish"),
    **activations("mish"),
    "gelu approximate": lambda: L.Activation(lambda x: keras.activations.gelu(x, approximate=True)),
    "ELU": lambda: L.ELU(0.5),
    "Softmax": L.Softmax,
    "UnitNormalization": L.UnitNormalization,
    "ops": lambda: L.Lambda(lambda x: ops.tanh(x) * ops.sqrt(ops.abs(x) + 1.0) - ops.exp(-x * x)),
}


@pytest.mark.wide
@pytest.mark.parametrize("units", [1, 7, 33])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, units: int) -> None:
    if units == 1 and name.lower() in ("softmax", "log_softmax", "unitnormalization"):
        units = 2  # with a single unit, they are constant

    def build() -> Any:
        return sequential(L.Dense(units), ACTIVATIONS[name](), L.Dense(3, bias_initializer="ones"))

    compare(build, normal(N, 6), other(N, 3), roundings=16)


DENSE = [(1, 1, 1), (1, 5, 3), (6, 17, 1), (33, 16, 15), (17, 70, 9)]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("sizes", DENSE, ids=str)
def test_dense_layers(sizes: Any, bias: bool) -> None:
    d, hidden, units = sizes

    def build() -> Any:
        rows = [L.Dense(hidden, "relu", use_bias=bias), L.Dense(units, use_bias=bias)]
        return sequential(*rows, optimizer="adam")

    compare(build, normal(N, d), other(N, units), roundings=32)


def ones(n: int, c: int) -> Any:
    return np.random.default_rng(2).integers(0, 2, (n, c)).astype(np.float32)


def signs(n: int, c: int) -> Any:
    return 2 * ones(n, c) - 1


def shares(n: int, c: int) -> Any:
    p = np.random.default_rng(2).random((n, c)).astype(np.float32)
    return p / p.sum(axis=1, keepdims=True)


def one_hot(n: int, c: int) -> Any:
    return np.eye(c, dtype=np.float32)[np.random.default_rng(2).integers(0, c, n)]


def labels(n: int, c: int) -> Any:
    return np.random.default_rng(2).integers(0, c, n)


def positive(n: int, c: int) -> Any:
    return np.random.default_rng(2).random((n, c)).astype(np.float32) + 0.1


with_options = functools.partial
LOGITS = {"from_logits": True}
BALANCED = {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5, **LOGITS}
# Output activation, loss (with a reduction) and targets.
LOSSES: dict[str, tuple[Any, Any, Any]] = {
    "MeanSquaredError": (None, losses.MeanSquaredError, other),
    "MeanAbsoluteError": (None, losses.MeanAbsoluteError, other),
    "MeanAbsolutePercentageError": ("sigmoid", losses.MeanAbsolutePercentageError, positive),
    "MeanSquaredLogarithmicError": ("softplus", losses.MeanSquaredLogarithmicError, positive),
    "Huber": (None, with_options(losses.Huber, 0.5), other),
    "LogCosh": (None, losses.LogCosh, other),
    "Poisson": ("softplus", losses.Poisson, positive),
    "KLDivergence": ("softmax", losses.KLDivergence, shares),
    "CosineSimilarity": (None, losses.CosineSimilarity, other),
    "Hinge": ("tanh", losses.Hinge, signs),
    "SquaredHinge": ("tanh", losses.SquaredHinge, signs),
    "CategoricalHinge": ("softmax", losses.CategoricalHinge, one_hot),
    "BinaryCrossentropy": ("sigmoid", losses.BinaryCrossentropy, ones),
    "BinaryFocalCrossentropy": ("sigmoid", losses.BinaryFocalCrossentropy, ones),
    "CategoricalCrossentropy": ("softmax", losses.CategoricalCrossentropy, one_hot),
    "CategoricalFocalCrossentropy": ("softmax", losses.CategoricalFocalCrossentropy, one_hot),
    "SparseCategoricalCrossentropy": ("softmax", losses.SparseCategoricalCrossentropy, labels),
    **{
        f"{name} {options}": (head, with_options(getattr(losses, name), **options), targets)
        for name, head, options, targets in (
            ("BinaryCrossentropy", None, LOGITS, ones),
            ("BinaryCrossentropy", "sigmoid", {"label_smoothing": 0.1}, ones),
            ("BinaryFocalCrossentropy", None, BALANCED, ones),
            ("CategoricalCrossentropy", None, LOGITS, shares),
            ("CategoricalCrossentropy", "softmax", {"label_smoothing": 0.1}, one_hot),
            ("CategoricalFocalCrossentropy", None, {"alpha": 0.5, "gamma": 1.5, **LOGITS}, one_hot),
            ("SparseCategoricalCrossentropy", None, LOGITS, labels),
        )
    },
}


@pytest.mark.wide
@pytest.mark.each_value
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("units", [2, 17])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, units: int, weighted: bool, reduction: str) -> None:
    head, make, targets = LOSSES[name]

    def build() -> Any:
        rows = [L.Dense(5, "tanh"), L.Dense(units, head)]
        rate = optimizers.SGD(0.01 if reduction == "sum" else 0.1)
        return sequential(*rows, optimizer=rate, loss=make(reduction=reduction))

    weights = np.random.default_rng(3).random(N).astype(np.float32) if weighted else None
    # These losses amplify rounding errors: the terms of a cosine cancel, and percentage errors
    # divide by small targets.
    cancels = name in ("CosineSimilarity", "MeanAbsolutePercentageError")
    compare(build, normal(N, 6), targets(N, units), weights, roundings=50 if cancels else 8)


@pytest.mark.wide
@pytest.mark.parametrize("name", [n for n in LOSSES if LOSSES[n][2] in (ones, positive)])
def test_single_unit_losses(name: str) -> None:
    head, make, targets = LOSSES[name]

    def build() -> Any:
        return sequential(L.Dense(5, "tanh"), L.Dense(1, head), loss=make())

    compare(build, normal(N, 6), targets(N, 1), roundings=12)
    compare(build, normal(N, 6), targets(N, 1)[:, 0], roundings=12)


@pytest.mark.wide
@pytest.mark.parametrize("around", [*NORMS, *AROUND])
@pytest.mark.parametrize("name", ["SGD nesterov", "Adam", "RMSprop momentum", "Adagrad"])
def test_optimizers_of_dense_layers(name: str, around: str) -> None:
    def build() -> Any:
        made = surrounded(name, {**NORMS, **AROUND}[around])
        return sequential(L.Dense(7, "relu"), L.Dense(3), optimizer=made)

    compare(build, normal(N, 6), other(N, 3), roundings=8)


@pytest.mark.parametrize("name", ["max_norm", "unit_norm", "min_max_norm", "non_neg"])
@pytest.mark.parametrize("axis", [0, 1])
def test_constraints(name: str, axis: int) -> None:
    kinds = {
        "max_norm": lambda: constraints.MaxNorm(0.7, axis=axis),
        "unit_norm": lambda: constraints.UnitNorm(axis=axis),
        "min_max_norm": lambda: constraints.MinMaxNorm(0.5, 0.9, rate=0.5, axis=axis),
        "non_neg": constraints.NonNeg,
    }

    def build() -> Any:
        dense = L.Dense(7, "relu", kernel_constraint=kinds[name]())
        return sequential(dense, L.Dense(3), optimizer="adam")

    compare(build, normal(N, 6), other(N, 3), roundings=12)


@pytest.mark.parametrize("name", [*REGULARIZERS, "activity_regularizer"])
def test_regularizers_of_dense_layers(name: str) -> None:
    def build() -> Any:
        if name not in REGULARIZERS:
            return sequential(L.Dense(7, "relu", activity_regularizer="l2"), L.Dense(3))
        own = REGULARIZERS[name]
        dense = L.Dense(7, "relu", kernel_regularizer=own(), bias_regularizer=own())
        return sequential(dense, L.Dense(3, kernel_regularizer=own()))

    compare(build, normal(N, 6), other(N, 3), roundings=12)


NORMALIZATIONS: dict[str, Callable[[], Any]] = {
    "batch": lambda: L.BatchNormalization(momentum=0.8),
    "batch plain": lambda: L.BatchNormalization(center=False, scale=False, epsilon=0.1),
    "batch center": lambda: L.BatchNormalization(scale=False),
    "layer": L.LayerNormalization,
    "layer plain": lambda: L.LayerNormalization(center=False, scale=False),
    "layer center": lambda: L.LayerNormalization(scale=False, epsilon=0.1),
    "unit": L.UnitNormalization,
    "dropout": lambda: L.Dropout(0.3, seed=2),
}


@pytest.mark.wide
@pytest.mark.parametrize("width", [2, 7, 33])
@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_normalizations(name: str, width: int) -> None:
    def build() -> Any:
        # A bias before batch normalization has a zero gradient, apart from rounding error.
        dense = L.Dense(width, use_bias="batch" not in name)
        return sequential(dense, NORMALIZATIONS[name](), L.ReLU(), L.Dense(3))

    # Layer normalization of two values divides by their difference, which may be small.
    most = 100 if width == 2 and "layer" in name else 12
    compare(build, normal(N, 6), other(N, 3), roundings=most)


@pytest.mark.parametrize("name", ["batch", "layer", "dropout"])
def test_normalizations_of_several_rows(name: str) -> None:
    def build() -> Any:
        rows = [L.Dense(5, "tanh"), NORMALIZATIONS[name](), L.Flatten(), L.Dense(3)]
        return sequential(L.Input((4, 6)), *rows)

    compare(build, normal(N, 4, 6), other(N, 3), roundings=12)


@pytest.mark.parametrize("merge", MERGES)
def test_merges_of_dense_layers(merge: Any) -> None:
    def build() -> Any:
        x = L.Input((6,))
        shared = L.Dense(5, "tanh")
        rows = [shared(x), L.Dense(5)(x), shared(L.Rescaling(0.5)(x))]
        return functional(x, L.Dense(3)(merge()(rows)))

    compare(build, normal(N, 6), other(N, 3), roundings=12)


OF_ROWS = ["accuracy", "categorical_hinge", "kl_divergence"]
METRICS: list[tuple[Any, str, Any, list[str]]] = [
    (None, "mse", other, ["mae", "mse", "msle", "cosine_similarity"]),
    ("sigmoid", "binary_crossentropy", ones, ["accuracy", "binary_crossentropy", "mape"]),
    ("softmax", "categorical_crossentropy", one_hot, OF_ROWS),
    ("softmax", "sparse_categorical_crossentropy", labels, ["accuracy", "crossentropy"]),
]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", range(len(METRICS)))
def test_metrics(k: int, weighted: bool) -> None:
    head, loss, targets, names = METRICS[k]

    def build() -> Any:
        own = {"weighted_metrics" if weighted else "metrics": [*names]}
        return sequential(L.Dense(5, "tanh"), L.Dense(3, head), loss=loss, **own)

    weights = np.random.default_rng(3).random(N).astype(np.float32) if weighted else None
    compare(build, normal(N, 6), targets(N, 3), weights, roundings=12)


def test_several_outputs_with_weights() -> None:
    def build() -> Any:
        x = L.Input((6,))
        h = L.Dense(7, "tanh")(x)
        model = keras.Model(x, [L.Dense(3, "softmax")(h), L.Dense(2)(h)])
        own = ["sparse_categorical_crossentropy", "mse"]
        model.compile("adam", own, loss_weights=[0.3, 2.0], metrics=[["accuracy"], ["mae"]])
        return model

    compare(build, normal(N, 6), [labels(N, 3), other(N, 2)], roundings=12)
