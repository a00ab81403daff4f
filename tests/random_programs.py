"""Random programs: a network, loss, optimizer, metrics, data and options, drawn from a seed.

A program is written once, as functions of ``k``, and runs with ``k = keras`` and
``k = tinynet``. `draw` returns the same program for the same seed; ``print(program)`` shows it.

``python -m tests.random_programs --kind keras --programs 1000`` compares many programs, prints the
seed and the text of each failure, and adds the result to ``tests/fuzzing.json``; with
``--resume``, a run continues one that was interrupted. Add a program that failed to
`failed_programs`, because seeds mean other programs after a change of the grammar.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import importlib
import itertools
import secrets
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import tinynet
from benchmarks.result_files import positive
from tests.fuzz import results

Spec = tuple[str, dict[str, Any]]
Named = str | Spec
CLASSES = 4

# The grammar. An option that is a list has these choices, of which ... leaves it out. Not in a
# `Sequential`: merging layers, which are in `random_graphs`. Code instead of data: Lambda, and
# metrics that wrap a function; `test_custom_programs` covers these. Without targets: the metrics
# Mean and Sum. Not a single number, as training requires: losses with the reduction "none".
ACTIVATIONS = [
    *("relu", "tanh", "sigmoid", "linear", "elu", "selu", "softplus", "gelu", "silu", "mish"),
    *("softsign", "leaky_relu", "hard_sigmoid", "relu6", "exponential", "swish", "hard_silu"),
    *("hard_swish", "softmax", "log_softmax"),
]
# Not 1 unit, whose softmax or normalization is constant: then classes have the same probability,
# and gradients are rounding errors.
DENSE: Spec = (
    "Dense",
    {"units": [2, 3, 6, 17], "activation": ACTIVATIONS, "use_bias": [..., False]},
)
FIRST: list[Spec] = [
    ("Rescaling", {"scale": 0.5, "offset": [..., 0.1]}),
    ("Normalization", {"axis": None, "mean": 0.1, "variance": 2.0, "invert": [..., True]}),
]
EMBEDDING: Spec = ("Embedding", {"input_dim": 7, "output_dim": [1, 3]})
# If a row is looked up several times, these use the sum of its gradients, unlike Keras (see
# docs/keras.md).
NO_EMBEDDING = {"Adadelta", "Adamax", "Ftrl", "clipvalue"}
# Keras does not support these for the gradients of an embedding, and raises errors.
NO_EMBEDDING |= {"loss_scale_factor", "centered"}
# Layers for any inputs, and blocks of layers for rows of one axis.
HIDDEN: list[Spec] = [
    ("Activation", {"activation": ACTIVATIONS}),
    ("ActivityRegularization", {"l1": [..., 0.01], "l2": [..., 0.02]}),
    *2 * [("BatchNormalization", {"momentum": 0.8, "epsilon": [..., 0.1], "scale": [..., False]})],
    ("BatchNormalization", {"momentum": [..., 0.5], "center": [..., False]}),
    ("Dropout", {"rate": 0.4}),
    ("ELU", {"alpha": [..., 0.3]}),
    ("GaussianDropout", {"rate": 0.3}),
    ("GaussianNoise", {"stddev": 0.2}),
    ("LayerNormalization", {"epsilon": [..., 0.1], "center": [..., False], "scale": [..., False]}),
    ("LeakyReLU", {"negative_slope": [..., 0.2]}),
    ("PReLU", {"shared_axes": [..., 1]}),
    ("ReLU", {"negative_slope": [..., 0.1], "threshold": [..., 0.1], "max_value": [..., 1.5]}),
    ("Softmax", {"axis": [..., 1]}),
    ("UnitNormalization", {}),
]
BLOCKS: list[list[Spec]] = [
    [("Dense", {"units": 1, "activation": [None, "tanh", "gelu"], "use_bias": [..., False]})],
    [("RepeatVector", {"n": [2, 3]}), ("Permute", {"dims": [(1, 2), (2, 1)]}), ("Flatten", {})],
    [("RepeatVector", {"n": 2}), ("TimeDistributed", {"layer": DENSE}), ("Flatten", {})],
    [("Reshape", {"target_shape": [(-1, 1), (1, -1)]}), DENSE, ("Flatten", {})],
]
WEIGHTS = {
    **{"Dense": ("kernel", "bias"), "Embedding": ("embeddings",), "PReLU": ("alpha",)},
    **dict.fromkeys(("BatchNormalization", "LayerNormalization"), ("gamma", "beta")),
}
REGULARIZERS: list[Spec] = [
    *(("L2", {"l2": 0.01}), ("L1", {"l1": 0.01}), ("L1L2", {"l1": 0.001, "l2": 0.02})),
]
CONSTRAINTS: list[Spec] = [
    *(("MaxNorm", {"max_value": [..., 0.8]}), ("NonNeg", {}), ("UnitNorm", {"axis": [..., -1]})),
    ("MinMaxNorm", {"min_value": 0.2, "max_value": 0.9, "rate": [..., 0.5], "axis": [..., -1]}),
]
# Only the shapes and scales: each library draws its own numbers.
INITIALIZERS: list[Spec] = [
    *(
        (f"{name}{kind}", {})
        for name in ("Glorot", "He", "Lecun")
        for kind in ("Normal", "Uniform")
    ),
    *(("Zeros", {}), ("Ones", {}), ("Constant", {"value": 0.3}), ("RandomNormal", {"stddev": 0.5})),
    *(("RandomUniform", {"minval": 0.1, "maxval": 0.6}), ("TruncatedNormal", {"seed": 3})),
    ("VarianceScaling", {"scale": 2.0, "mode": [..., "fan_avg"], "distribution": [..., "uniform"]}),
]
OBJECTS = {"regularizer": REGULARIZERS, "constraint": CONSTRAINTS, "initializer": INITIALIZERS}
MOMENTS = {"learning_rate": 0.01, "epsilon": 1e-3, "beta_1": [..., 0.5], "beta_2": [..., 0.9]}
OPTIMIZERS: list[Named] = [
    *2 * [("SGD", {"learning_rate": [0.1, 0.05]})],
    ("SGD", {"learning_rate": 0.05, "momentum": [0.8, 0.9], "nesterov": [..., True]}),
    *2 * [("Adam", {**MOMENTS, "amsgrad": [..., True]})],
    ("AdamW", {**MOMENTS, "weight_decay": [..., 0.1], "amsgrad": [..., True]}),
    *(("Nadam", MOMENTS), ("Adamax", MOMENTS)),
    (
        "RMSprop",
        {"learning_rate": 0.01, "epsilon": 1e-3, "rho": [..., 0.5], "centered": [..., True]},
    ),
    ("RMSprop", {"learning_rate": 0.01, "epsilon": 1e-3, "momentum": 0.5, "centered": [..., True]}),
    ("Adagrad", {"learning_rate": 0.05, "epsilon": 1e-3, "initial_accumulator_value": [..., 0.5]}),
    ("Adadelta", {"learning_rate": 0.5, "epsilon": 1e-3, "rho": [..., 0.5]}),
    ("Ftrl", {"learning_rate": 0.1, "learning_rate_power": [..., -0.8, 0.0], "beta": [..., 0.5]}),
    (
        "Ftrl",
        {
            **{"learning_rate": 0.1, "initial_accumulator_value": [..., 1.0]},
            **{f"{name}_regularization_strength": [..., 0.1] for name in ("l1", "l2")},
            "l2_shrinkage_regularization_strength": [..., 0.2],
        },
    ),
    *("sgd", "adagrad"),  # other optimizers divide by small numbers, unless epsilon is given
    ("Lion", {"learning_rate": 0.01, "beta_1": [..., 0.5], "beta_2": [..., 0.9]}),
]
# Options of all optimizers: one of each row.
COMMON: list[list[dict[str, Any]]] = [
    [*9 * [{}], {"clipnorm": 0.5}, {"clipvalue": 0.1}, {"global_clipnorm": 0.7}],
    [*9 * [{}], {"weight_decay": 0.05}],
    [*9 * [{}], {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}],
    [*9 * [{}], {"use_ema": True}],
    [*9 * [{}], {"gradient_accumulation_steps": 2}],
    [*9 * [{}], {"loss_scale_factor": 4.0}],
]
DECAY = {"initial_learning_rate": 0.05, "decay_steps": 3, "decay_rate": 0.5}
SCHEDULES: list[Spec] = [
    ("ExponentialDecay", {**DECAY, "staircase": [..., True]}),
    ("InverseTimeDecay", {**DECAY, "staircase": [..., True]}),
    ("CosineDecay", {"initial_learning_rate": 0.05, "decay_steps": [3, 8], "alpha": [..., 0.1]}),
    ("CosineDecay", {**DECAY, "decay_rate": ..., "warmup_target": 0.1, "warmup_steps": 2}),
    ("PiecewiseConstantDecay", {"boundaries": [[1, 3]], "values": [[0.1, 0.05, 0.01]]}),
    ("PolynomialDecay", {"initial_learning_rate": 0.05, "decay_steps": 6, "power": [..., 0.5]}),
    ("PolynomialDecay", {**DECAY, "decay_rate": ..., "end_learning_rate": 0.01, "cycle": True}),
]
# Kinds of targets: the activation of the outputs, losses and metrics.
HEADS: dict[str, list[str | None]] = {
    **{"classes": ["softmax", "softmax", "sigmoid"], "one-hot": ["softmax", "softmax", "sigmoid"]},
    **{"binary": ["sigmoid"], "signs": [None, "tanh", "softsign"]},
    **{"numbers": [None, None, "tanh"], "positive": ["softplus", "exponential", None]},
}
SMOOTH = {"label_smoothing": [..., 0.1]}
LOSSES: dict[str, list[Named]] = {
    "classes": [
        *2 * [("SparseCategoricalCrossentropy", {"ignore_class": [..., 1]})],
        "sparse_categorical_crossentropy",
    ],
    "one-hot": [
        *2 * [("CategoricalCrossentropy", SMOOTH)],
        ("CategoricalFocalCrossentropy", {**SMOOTH, "gamma": [..., 1.5], "alpha": [..., 0.7]}),
        *(("KLDivergence", {}), ("CosineSimilarity", {"axis": [..., 1]}), ("CategoricalHinge", {})),
        *("categorical_crossentropy", "kl_divergence"),
    ],
    "binary": [
        *2 * [("BinaryCrossentropy", SMOOTH)],
        ("BinaryFocalCrossentropy", {**SMOOTH, "gamma": [..., 1.5], "alpha": [..., 0.7]}),
        ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": [..., 0.7]}),
        *(("Hinge", {}), ("SquaredHinge", {}), "bce", "mse"),
    ],
    "signs": [("Hinge", {}), ("SquaredHinge", {}), ("CategoricalHinge", {}), "hinge"],
    "numbers": [
        *(("MeanSquaredError", {}), ("MeanAbsoluteError", {}), ("LogCosh", {})),
        *(("Huber", {"delta": [..., 0.7]}), ("CosineSimilarity", {}), "mae"),
    ],
    "positive": [
        *(("Poisson", {}), ("MeanAbsolutePercentageError", {}), ("MeanSquaredError", {})),
        *(("MeanSquaredLogarithmicError", {}), "poisson"),
    ],
}
# Metrics of counts. Keras does not support them for logits, for targets with several positions, and
# for sample weights of shape (N,).
COUNTS: dict[str, list[Spec]] = {
    "one-hot": [
        ("AUC", {"curve": [..., "PR"], "multi_label": [..., True], "num_thresholds": [..., 20]}),
        *((name, {"top_k": [..., 2], "class_id": [..., 1]}) for name in ("Precision", "Recall")),
        ("F1Score", {"average": [..., "macro", "micro", "weighted"], "threshold": [..., 0.3]}),
        ("FBetaScore", {"beta": 2.0, "average": [..., "macro", "micro", "weighted"]}),
    ],
    "binary": [
        ("AUC", {"curve": [..., "PR"], "summation_method": [..., "minoring", "majoring"]}),
        *((name, {"thresholds": [..., 0.3]}) for name in ("Precision", "Recall")),
        *((f"True{name}", {"thresholds": [..., 0.3]}) for name in ("Positives", "Negatives")),
        *((f"False{name}", {"thresholds": [..., 0.3]}) for name in ("Positives", "Negatives")),
        *(
            ("SensitivityAtSpecificity", {"specificity": 0.5}),
            ("PrecisionAtRecall", {"recall": 0.5}),
        ),
        ("SpecificityAtSensitivity", {"sensitivity": 0.5}),
        ("RecallAtPrecision", {"precision": 0.5}),
    ],
    "numbers": [("R2Score", {"class_aggregation": [..., "variance_weighted_average"]})],
}
METRICS: dict[str, list[Named]] = {
    "classes": [
        *("accuracy", "sparse_categorical_crossentropy"),
        *(("SparseCategoricalAccuracy", {}), ("SparseTopKCategoricalAccuracy", {"k": [..., 2]})),
        ("SparseCategoricalCrossentropy", {"ignore_class": [..., 1]}),
    ],
    "one-hot": [
        *("acc", "categorical_crossentropy", ("CategoricalAccuracy", {})),
        *(("TopKCategoricalAccuracy", {"k": [..., 2]}), ("CategoricalCrossentropy", SMOOTH)),
        *(("KLDivergence", {}), ("CategoricalHinge", {})),
    ],
    "binary": [
        *("accuracy", "binary_crossentropy", ("BinaryCrossentropy", SMOOTH)),
        *(("BinaryAccuracy", {"threshold": [..., 0.3]}), "mse", ("Accuracy", {})),
    ],
    "signs": ["hinge", ("SquaredHinge", {}), ("CategoricalHinge", {}), ("Hinge", {})],
    "numbers": [
        *("mae", "mse", ("RootMeanSquaredError", {}), ("LogCoshError", {})),
        *(("CosineSimilarity", {}), ("MeanSquaredError", {}), ("MeanAbsoluteError", {})),
    ],
    "positive": [
        *("mape", "msle", "poisson", ("Poisson", {})),
        *(("MeanAbsolutePercentageError", {}), ("MeanSquaredLogarithmicError", {})),
    ],
}
FIT: dict[str, Any] = {
    **{"batch_size": [4, 5, 8, 32], "epochs": [1, 1, 2]},
    **{"initial_epoch": [*9 * [...], 1], "steps_per_epoch": [*9 * [...], 1]},
    **{"validation_freq": [*5 * [...], 2, [1]], "validation_steps": [*5 * [...], 1]},
    "validation_batch_size": [*5 * [...], 3],
}
# Compiling to graphs takes Keras several times as long as running eagerly, and XLA even longer.
COMPILE: dict[str, Any] = {
    "run_eagerly": [*30 * [True], False],
    "jit_compile": [*30 * [False], "auto"],
    "steps_per_execution": [*30 * [...], 2],
    "loss_weights": [*9 * [...], 0.5],
}


@dataclasses.dataclass
class Program:
    """A program as plain data."""

    seed: int
    shape: tuple[int, ...]
    layers: list[Any]
    loss: Named
    optimizer: Named
    kind: str
    rows: int
    output: tuple[int, ...]
    schedule: Spec | None = None
    metrics: list[Named] = dataclasses.field(default_factory=list)
    weighted_metrics: list[Named] = dataclasses.field(default_factory=list)
    compile: dict[str, Any] = dataclasses.field(default_factory=dict)
    fit: dict[str, Any] = dataclasses.field(default_factory=dict)
    validation: str = "none"
    weighted: bool = False
    dtype: str = "float64"
    column: bool = False
    on_batch: bool = False
    noise: float = 0.0  # added to inputs, with random signs

    def data(self) -> tuple[Any, Any, Any]:
        """Return inputs, targets and sample weights (or None)."""
        rng = np.random.default_rng(self.seed)
        x = rng.normal(size=(self.rows, *self.shape))
        if rng.random() < 0.5:
            x *= rng.random(x.shape) < 0.3
        if self.dtype != "float64":
            x = np.minimum(np.abs(3 * x).round(), 6)
        places, size = self.output[:-1], (self.rows, *self.output)
        if self.kind in ("classes", "one-hot"):
            y: Any = rng.integers(0, self.output[-1], (self.rows, *places))
            y = np.eye(self.output[-1])[y] if self.kind == "one-hot" else y
        elif self.kind in ("binary", "signs"):
            y = rng.integers(0, 2, size)
            y = 2 * y - 1 if self.kind == "signs" else y
        else:
            y = rng.uniform(0.5, 2, size) if self.kind == "positive" else rng.normal(size=size)
        y = y[..., None] if self.column else y
        weights = rng.uniform(0.1, 2, self.rows) if self.weighted else None
        x = x.round(3).astype(self.dtype)
        if self.noise:
            x = x + self.noise * rng.choice([-1, 1], x.shape)
        return x, y, weights

    def model(self, k: Any, dtype: str) -> Any:
        """Build and compile the program's network."""
        layers = [k.Input(self.shape), *(_layer(k, spec, dtype) for spec in self.layers)]
        model = k.Sequential(layers)
        options = dict(self.optimizer[1]) if isinstance(self.optimizer, tuple) else {}
        if self.schedule is not None:
            options["learning_rate"] = _named(k.optimizers.schedules, self.schedule)
        model.compile(
            _named(k.optimizers, (self.optimizer[0], options) if options else self.optimizer),
            _named(k.losses, self.loss),
            metrics=[_named(k.metrics, metric) for metric in self.metrics],
            weighted_metrics=[_named(k.metrics, m) for m in self.weighted_metrics] or None,
            **{"run_eagerly": True, **self.compile},
        )
        return model

    def without_metrics(self, *names: str) -> Program:
        """Return the program without the metrics whose names contain one of these texts."""
        groups = {
            key: [m for m in getattr(self, key) if not any(name in str(m) for name in names)]
            for key in ("metrics", "weighted_metrics")
        }
        return dataclasses.replace(self, **groups)

    def run(self, k: Any, dtype: str, weights: Any = None) -> dict[str, Any]:
        """Train, evaluate and predict; return all results that are visible to users."""
        model = self.model(k, dtype)
        if weights is not None:
            model.set_weights(weights)
        start = [np.array(w) for w in model.get_weights()]
        x, y, w = self.data()
        options = dict(self.fit)
        if self.validation == "data":
            options["validation_data"] = (x[:7], y[:7])
        elif self.validation == "weighted":
            options["validation_data"] = (x[:7], y[:7], np.linspace(0.5, 2, 7))
        elif self.validation == "split":
            options["validation_split"] = 0.2
        history = fit(model, x, y, sample_weight=w, **options)
        if self.on_batch:
            evaluated = model.test_on_batch(x, y, sample_weight=w, return_dict=True)
            predicted = model.predict_on_batch(x)
        else:
            evaluated = model.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True)
            predicted = model.predict(x, verbose=0)
        return {
            "start": start,
            "history": history,
            "weights": [np.array(w) for w in model.get_weights()],
            "evaluate": {key: np.asarray(value) for key, value in evaluated.items()},
            "predict": np.asarray(predicted),
            "model": model,
        }


def fit(model: Any, x: Any, y: Any, **options: Any) -> dict[str, Any]:
    """Train; return the history, or tinynet's error message if training diverges.

    About one in a thousand programs diverges, for example because two exponential activations are
    composed.
    """
    try:
        history = model.fit(x, y, shuffle=False, verbose=0, **options).history
    except FloatingPointError as error:
        return {"diverged": str(error)}
    return history  # type: ignore[no-any-return]


def _named(group: Any, spec: Named) -> Any:
    """Return a name, or create the object that a name and options describe."""
    return spec if isinstance(spec, str) else getattr(group, spec[0])(**spec[1])


def _layer(k: Any, spec: Any, dtype: str) -> Any:
    """Build a layer from its name and options; a list is a nested model."""
    if isinstance(spec, list):
        return k.Sequential([_layer(k, inner, dtype) for inner in spec])
    name, options = spec[0], dict(spec[1])
    for key, value in options.items():
        if (kind := key.rpartition("_")[2]) in OBJECTS:
            options[key] = _named(getattr(k, f"{kind}s"), value)
        elif key == "layer":
            options[key] = _layer(k, value, dtype)
    return getattr(k.layers, name)(dtype=dtype, **options)


def draw(seed: int, dropout: bool = False) -> Program:
    """Draw a program.

    `dropout` allows layers that draw random numbers, which differ between libraries.
    """
    rng = np.random.default_rng([seed, 1])

    def one(choices: Any) -> Any:
        return choices[rng.integers(len(choices))]

    def maybe(chance: float) -> bool:
        return bool(rng.random() < chance)

    def some(options: dict[str, Any]) -> dict[str, Any]:
        drawn = {key: one(v) if isinstance(v, list) else v for key, v in options.items()}
        return {key: value for key, value in drawn.items() if value is not ...}

    def spec(row: Named) -> Any:
        return row if isinstance(row, str) else (row[0], some(row[1]))

    def named(row: Named) -> Any:  # otherwise, the name counts the objects of a class
        return spec(row if isinstance(row, str) else (row[0], {**row[1], "name": row[0].lower()}))

    def layer(row: Spec) -> Spec:
        name, options = spec(row)
        for weight, kind in itertools.product(WEIGHTS.get(name, ()), OBJECTS):
            chosen = spec(one(OBJECTS[kind]))
            # If kernels, gammas or embeddings are 0, all classes have the same probability.
            if maybe(0.12) and (chosen[0] != "Zeros" or weight in ("bias", "beta", "alpha")):
                options[f"{weight}_{kind}"] = chosen
        # An L1 penalty has the gradient sign(x), where x may be a normalized constant: its sign is
        # that of a rounding error.
        if name != "ActivityRegularization" and maybe(0.05):
            options["activity_regularizer"] = one(["l2", ("L2", {"l2": 0.02})])
        if maybe(0.05):
            options["trainable"] = False
        if "layer" in options:
            options["layer"] = layer(options["layer"])
            options["layer"][1].pop("activity_regularizer", None)  # ignored by Keras
            options.pop("trainable", None)  # ignored by Keras
        if not dropout:
            options |= dict.fromkeys(options.keys() & {"rate", "stddev"}, 0.0)
        return name, options

    optimizer = spec(one(OPTIMIZERS))
    if isinstance(optimizer, tuple):
        for choices in COMMON:
            optimizer[1].update(one(choices))
    shape = one([(5,), (1,), (9,), (3, 4), (2, 3, 2), (40,)])
    places = shape[:-1] if len(shape) == 2 and maybe(0.5) else ()
    layers: list[Any] = [layer(one(FIRST))] if maybe(0.2) else []
    embedded = not (layers or places or NO_EMBEDDING & set(str(optimizer).split("'"))) and maybe(
        0.1
    )
    if embedded:
        layers.append(layer(EMBEDDING))
    if not places and (len(shape) > 1 or embedded or maybe(0.3)):
        layers.append(("Flatten", {}))
    for _ in range(rng.integers(0, 4)):
        hidden: list[Any] = [layer(DENSE)]
        if maybe(0.6):
            hidden.append(layer(one(HIDDEN)))
        if not places and maybe(0.15):
            hidden += map(layer, one(BLOCKS))
        layers += [hidden] if maybe(0.2) else hidden
    kind = one(list(LOSSES))
    loss, head = spec(one(LOSSES[kind])), one(HEADS[kind])
    classes = kind in ("classes", "one-hot")
    output = (*places, CLASSES if classes else one([1, 3]))
    if isinstance(loss, tuple):
        if loss[0].endswith("Crossentropy") and maybe(0.4):
            head, loss[1]["from_logits"] = None, True
        if maybe(0.3):
            loss[1]["reduction"] = one(["sum", "mean", "mean_with_sample_weight"])
    spelled = head is not None and maybe(0.3)
    last = {"units": output[-1], "activation": None if spelled else head}
    layers.append(layer(("Dense", last)))
    for key in ("trainable", "kernel_initializer"):  # equal columns would lead to ties
        layers[-1][1].pop(key, None)
    if spelled:
        softmax = head == "softmax" and maybe(0.5)
        layers.append(("Softmax", {}) if softmax else ("Activation", {"activation": head}))
    schedule = None
    if isinstance(optimizer, tuple):
        if isinstance(loss, tuple) and loss[1].get("reduction") == "sum":
            optimizer[1]["learning_rate"] *= 0.01
        elif maybe(0.4):
            schedule = spec(one(SCHEDULES))
    # Keras' metrics do not support sample weights for targets with several positions.
    weighted = maybe(0.3) and not places
    fit, compiled = some(FIT), some(COMPILE)
    fit["epochs"] += fit.get("initial_epoch", 0)  # use_ema requires an epoch in Keras
    if "steps_per_execution" in compiled:  # Keras runs at least this number of steps
        for key in ("steps_per_epoch", "validation_steps"):
            fit.pop(key, None)
    if (classes or (kind, output) == ("binary", (1,))) and maybe(0.2) and not (weighted or places):
        fit["class_weight"] = {0: 0.5, 1: 2.0}
    counted = not places and (head is not None or kind == "numbers")
    metrics = [*METRICS[kind], *(COUNTS.get(kind, []) if counted else [])]
    return Program(
        seed=seed,
        shape=shape,
        layers=layers,
        loss=loss,
        optimizer=optimizer,
        kind=kind,
        rows=int(rng.integers(7, 17)),
        output=output,
        schedule=schedule,
        metrics=[named(metric) for metric in metrics if maybe(0.25)],
        weighted_metrics=[named(one(METRICS[kind]))] if maybe(0.2) else [],
        compile=compiled,
        fit=fit,
        validation=one(["none", "none", "data", "split", "data" if places else "weighted"]),
        weighted=weighted,
        dtype="int64" if embedded else one([*6 * ["float64"], "float32", "uint8", "bool"]),
        column=kind == "classes" and maybe(0.2),
        on_batch=maybe(0.7),
    )


# ------------------------------------------------------------ comparisons


class DifferenceError(AssertionError):
    """Numbers differ."""


def assert_close(found: Any, expected: Any, room: float, what: str) -> None:
    """Assert that all differences are at most `room` times the largest absolute value.

    The largest value is taken to be at least 0.05.

    Elements that are NaN or infinite must be equal in both arrays.
    """
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, f"{what}: shapes {found.shape} and {expected.shape}"
    finite = np.isfinite(expected)
    scale = max(np.abs(expected[finite]).max(initial=0), 0.05)
    worst = np.abs(found[finite] - expected[finite]).max(initial=0)
    same = np.array_equal(found[~finite], expected[~finite], equal_nan=True)
    if not (same and worst <= room * scale):
        raise DifferenceError(f"{what}: differ by {worst:.3g}, more than {room * scale:.3g}")


def assert_same_run(found: Any, expected: Any, room: float) -> None:
    """Assert that two runs have the same results, to within `room` of the largest values."""
    for part in ("history", "evaluate"):
        assert list(found[part]) == list(expected[part]), part
        for key, value in expected[part].items():
            assert_close(found[part][key], value, room, f"{part} {key}")
    assert_close(found["predict"], expected["predict"], room, "predict")
    pairs = zip(found["weights"], expected["weights"], strict=True)
    for i, (a, b) in enumerate(pairs):
        assert_close(a, b, room, f"weight {i}")


def perturbed(weights: list[Any], size: float, seed: int) -> list[Any]:
    """Return weights with a relative change by `size`, whose signs are drawn from a seed."""
    rng = np.random.default_rng(seed)
    return [w * (1 + size * rng.choice([-1, 1], w.shape)) for w in weights]


def is_chaotic(program: Program, run: dict[str, Any], size: float, room: float) -> bool:
    """Return whether a relative change of the initial weights by ±`size` changes results by `room`.

    Two correct implementations give different results for such a program. Example: a bias with
    an L1 penalty whose value is only a rounding error: the gradient of the penalty is the sign of
    the error.

    If there is a BatchNormalization, a change of the inputs by `size` counts as well: after
    normalization, equal rows are only a rounding error. If there is an L1 penalty, a change of the
    weights that are 0 counts.
    """
    attempts, layers = [], str(program.layers)
    for change in (size, -size):
        attempts.append((program, perturbed(run["start"], change, program.seed)))
        if "BatchNormalization" in layers and program.dtype != "int64":  # not of indices
            attempts.append((dataclasses.replace(program, noise=change), run["start"]))
        if "'l1'" in layers:
            attempts.append((program, [w + change * (w == 0) for w in run["start"]]))
    for moved, weights in attempts:
        with floatx((tinynet,), "float64"):
            results = moved.run(tinynet, "float64", weights)
        try:
            assert_same_run(results, run, room)
        except DifferenceError:
            return True
    return False


def compare_runs(
    program: Program, found: Any, expected: Any, base: dict[str, Any], size: float, room: float
) -> str | None:
    """Assert that runs are the same, or return "chaotic" if `is_chaotic` is true of `base`."""
    try:
        for run in found:
            assert_same_run(run, expected, room)
    except DifferenceError:
        if not is_chaotic(program, base, size, room):
            raise
        return "chaotic"
    return None


@contextmanager
def floatx(libraries: Any, dtype: str) -> Any:
    """Temporarily compute in another float dtype, including losses and metrics."""

    def change(name: str) -> None:
        for k in libraries:
            k.config.set_floatx(name)
            if k is not tinynet:  # Keras reads floatx only once for its policy
                k.config.set_dtype_policy(name)

    change(dtype)
    try:
        yield
    finally:
        change("float32")


@contextmanager
def setting(change: Callable[[Any], None], value: Any, back: Any) -> Any:
    """Temporarily change a setting."""
    change(value)
    try:
        yield
    finally:
        change(back)


def without_quotients_of_zero(program: Program) -> Program:
    """Remove a metric that divides outputs by their sum: for logits, it may be a rounding error."""
    if "'from_logits': True" not in str(program.loss):
        return program
    return program.without_metrics("categorical_crossentropy", "CategoricalCrossentropy")


def compare_with_keras(program: Program) -> str | None:
    """Compare with Keras in float64, where rounding errors cannot hide a different formula."""
    from reference.keras_net import keras

    # TensorFlow's metrics of the top k classes do not support float64.
    program = without_quotients_of_zero(program.without_metrics("top_k", "TopK"))
    with floatx((keras, tinynet), "float64"):
        keras.utils.set_random_seed(program.seed % 2**32)
        expected = program.run(keras, "float64")
        found = program.run(tinynet, "float64", expected["start"])
    if "diverged" in found["history"]:  # Keras continues training
        numbers = [*expected["history"].values(), *expected["weights"], expected["predict"]]
        assert not all(np.isfinite(x).all() for x in numbers), found["history"]
        return "diverged"
    # tinynet computes Adam's bias correction with float32 powers, like Keras in float32: an error
    # of up to 1e-5 of a step. A wrong formula gives a hundred times as much.
    return compare_runs(program, [found], expected, found, 1e-5, 1e-4)


def compare_backends(program: Program) -> str | None:
    """Compare the kernels in float32 with the NumPy backend in float64."""
    program = without_quotients_of_zero(program)
    before = tinynet.config.backend()
    runs = []
    for backend, dtype in (("numpy", "float64"), ("numpy", "float32"), ("numba", "float32")):
        start = runs[0]["start"] if runs else None
        with setting(tinynet.config.set_backend, backend, before):
            tinynet.random.set_seed(program.seed % 2**32)
            runs.append(program.run(tinynet, dtype, start))
    exact, *rounded = runs
    diverged = ["diverged" in run["history"] for run in runs]
    assert diverged[1] == diverged[2], rounded
    if any(diverged):
        return "diverged"
    # Twenty steps with sums of at most 60 terms, forward and backward through four layers; if a
    # pre-activation lies on different sides of a kink in float32 and float64, the weights differ by
    # a fraction of a step.
    return compare_runs(program, rounded, exact, exact, 1e-6, 2e-3)


def compare_threads(program: Program) -> None:
    """Assert that results do not depend on the number of threads or on the fused training loop.

    They must be bit-identical. A callback that observes batches makes `fit` use single steps.
    """
    each = tinynet.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    rest = program.rows % program.fit["batch_size"]
    few = min(program.fit["batch_size"], program.rows) < 4 or 0 < rest < 4
    runs = []
    before, backend = tinynet.config.num_threads(), tinynet.config.backend()
    for threads, callbacks in ((1, []), (2, []), (3, []), (1, [each])):
        if callbacks and (few or program.validation == "split"):
            continue  # the fused loop rounds batches of one to three examples differently
        own = dataclasses.replace(program, fit={**program.fit, "callbacks": callbacks})
        with (
            setting(tinynet.config.set_backend, "numba", backend),
            setting(tinynet.config.set_num_threads, threads, before),
        ):
            tinynet.random.set_seed(program.seed % 2**32)
            runs.append(own.run(tinynet, "float32"))
    for run in runs[1:]:
        assert [w.tobytes() for w in run["weights"]] == [w.tobytes() for w in runs[0]["weights"]]
        assert run["predict"].tobytes() == runs[0]["predict"].tobytes()


def compare_files(program: Program) -> None:
    """Save and load between two epochs, and compare with uninterrupted training."""
    rng = np.random.default_rng([program.seed, 2])
    dtype = ["float32", "float64"][rng.integers(2)]
    suffix = [".tinynet", ".keras", ".h5"][rng.integers(3)]
    x, y, weights = program.data()
    options = {"batch_size": program.fit["batch_size"], "sample_weight": weights}
    tinynet.random.set_seed(program.seed % 2**32)
    model = program.model(tinynet, dtype)
    fit(model, x, y, **options)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"net{suffix}"
        model.save(path)
        loaded = tinynet.saving.load_model(path)
    assert loaded.to_json() == model.to_json()
    for _ in range(2):
        state, expected = ([*m.weights, *m.optimizer.variables] for m in (loaded, model))
        for a, b in zip(state, expected, strict=True):
            assert a.dtype == b.dtype, a.path
            assert a.numpy().tobytes() == b.numpy().tobytes(), a.path
        both = [m.predict(x, verbose=0) for m in (loaded, model)]
        assert both[0].tobytes() == both[1].tobytes()
        histories = [fit(m, x, y, **options) for m in (loaded, model)]
        np.testing.assert_equal(*histories)


KINDS: dict[str, Callable[[Program], str | None]] = {
    "keras": compare_with_keras,
    "backends": compare_backends,
    "threads": compare_threads,
    "files": compare_files,
}


def check(kind: str, program: Program | int) -> str | None:
    """Compare one program, or the program of a seed.

    Return None if the results agree, or a word if they cannot be compared. The error message of a
    failure contains the program.
    """
    if isinstance(program, int):
        program = draw(program, dropout=kind == "threads")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return KINDS[kind](program)
    except Exception as error:
        raise AssertionError(f"{kind}, seed {program.seed}: {error}\n{program}") from error


#: Modules that compare programs of a kind, if they need more than tinynet.
NEEDS = {"keras": "reference.keras_net", "graphs": "reference.keras_net", "files": "h5py"}


def main(kinds: dict[str, Callable[[int], str | None]], arguments: Any = None) -> int:
    """Compare many programs; return 1 if a program fails."""
    prog = "python -m tests.random_" + ("programs" if len(kinds) > 1 else "graphs")
    parser = argparse.ArgumentParser(prog, description="Compare random programs.")
    one = next(iter(kinds))
    parser.add_argument("--kind", choices=kinds, required=len(kinds) > 1, default=one)
    parser.add_argument("--programs", type=positive, default=100)
    results.add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        importlib.import_module(NEEDS.get(options.kind, "tinynet"))
    except (ImportError, RuntimeError) as error:  # not installed, or another backend of Keras
        parser.error(f"the packages of --kind {options.kind} must be installed. Received: {error}")
    first = secrets.randbelow(2**40) if options.seed is None else options.seed
    what = f"{options.kind} programs"
    done = results.total(what, options.results) if options.resume else 0
    failed = results.total(what, options.results, "failures") if options.resume else 0
    first += done if options.seed is not None else 0  # otherwise, the same programs are repeated
    print(f"{what}: first seed {first}, {done:,} recorded", flush=True)
    run, counts = results.Run(options.results, what, first), collections.Counter(failures=0)
    written = time.monotonic()
    try:
        for seed in range(first, first + options.programs - done):
            try:
                counts[kinds[options.kind](seed) or "agree"] += 1
            except Exception:
                counts["failures"] += 1
                print(f"seed {seed}")
                traceback.print_exc(limit=-1)
            if time.monotonic() > written + 10:
                run.update(inputs=counts.total(), **counts)
                written = time.monotonic()
    finally:  # also after Ctrl-C
        run.update(inputs=counts.total(), **counts)
    print(f"{what}: {counts.total():,} from seed {first}, {dict(counts)}")
    return 1 if counts["failures"] + failed else 0


if __name__ == "__main__":
    raise SystemExit(main({kind: functools.partial(check, kind) for kind in KINDS}))
