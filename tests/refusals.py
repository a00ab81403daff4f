"""Table of invalid calls, with the error and the pattern of its message.

A call is a function; its parameters are any of these: `model`, a compiled and trained
`tests.models.classifier`, which the call must not change; `unbuilt`, a classifier that is not built
and must not become built; and `tmp_path`, an empty folder. `test_refusals` tests every row.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse

import tinynet
from tests import models
from tinynet import (
    Sequential,
    activations,
    callbacks,
    config,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    ops,
    optimizers,
    random,
    regularizers,
    visualize,
)
from tinynet.compat import tensorflow as tf
from tinynet.datasets import augment_digits, drawn_digits, frame_digit
from tinynet.optimizers import schedules
from tinynet.program.variable import as_tensor
from tinynet.repeats import Repeats
from tinynet.sklearn import TinyNetClassifier

Rows = dict[str, tuple[Callable[..., Any], type[Exception] | tuple[type[Exception], ...], str]]

WRONG = (ValueError, TypeError)
#: Pattern of a message about an argument.
MUST = "^{name} must .*Received: "

# ------------------------------------------------------------ construction of rows
X, Y = models.data()
HOT = np.eye(3, dtype=np.float32)[Y]
ONES = np.ones(len(Y))
DATES = np.full(len(Y), "2020-01-01", "datetime64[D]")
HUGE = np.full((400, 400), 7.0)
BULK = [HUGE, HUGE.tolist(), "x" * 10**6, ["x" * 10**6] * 3, b"x" * 10**6]
WITH_LABELS = ["fit", "evaluate", "train_on_batch", "test_on_batch"]
#: Valid arguments of the methods of a model.
RIGHT: dict[str, dict[str, Any]] = {
    **{method: {"x": X, "y": Y} for method in WITH_LABELS},
    "predict": {"x": X},
    "compile": {"optimizer": "adam", "loss": "mse"},
}
#: Required arguments of constructors and functions, by name.
REQUIRED: dict[str, Any] = {
    "input_dim": 5, "output_dim": 2, "stddev": 0.5, "dims": (2, 1), "n": 2,
    "layer": layers.Dense(2), "x": [[1.0]], "y_pred": [[1.0]],
    "units": 3, "rate": 0.5, "target_shape": (2, 2), "scale": 2.0, "activation": "relu",
    "decay_steps": 10, "decay_rate": 0.5, "initial_learning_rate": 0.1, "boundaries": [1, 2],
    "values": [0.1, 0.2, 0.3], "schedule": lambda epoch: 0.1, "filepath": "x.keras",
    "backup_dir": "b", "filename": "f.csv", "monitor": "loss", "shape": (3,),
    "axes": 1, "function": abs,
    "learning_rate": 0.1, "recall": 0.5, "precision": 0.5, "specificity": 0.5, "sensitivity": 0.5,
}  # fmt: skip


def at(place: Any, value: Any, dtype: Any = float, array: Any = Y) -> Any:
    """Return the labels, or another array, with a changed element."""
    array = array.astype(dtype)
    array[place] = value
    return array


def calling(what: Any, **wrong: Any) -> Callable[..., Any]:
    """Return a call of a model's method by name, or of a constructor or function."""
    if isinstance(what, str):
        return lambda model: getattr(model, what)(**{**RIGHT.get(what, {}), **wrong})
    parameters = inspect.signature(what).parameters.values()
    # An input needs a shape or a batch shape.
    needed = [p.name for p in parameters if p.default is p.empty or p.name == "shape"]
    needed = [name for name in needed if name in REQUIRED]
    return lambda: what(**{**{name: REQUIRED[name] for name in needed}, **wrong})


def owner(what: Any) -> str:
    """Return the name of the called object for the name of the row."""
    name = getattr(what, "__qualname__", type(what).__name__)
    return f"Sequential.{what}" if isinstance(what, str) else name


def arguments(
    error: Any, table: list[tuple[Any, dict[str, list[Any]]]], message: str | None = None
) -> Rows:
    """Return a row for each invalid value of an argument; the message names the argument.

    `message` is an alternative pattern, in which ``{name}`` is the argument's name.
    """
    return {
        f"{owner(what)} with {name}={re.sub(' at 0x.*?>', '>', repr(value)):.30}": (
            calling(what, **{name: value}),
            error,
            (message or f"{name.removeprefix('weighted_').rstrip('s')}.*Received: ").replace(
                "{name}", name
            ),
        )
        for what, wrong in table
        for name, values in wrong.items()
        for value in values
    }


def value_errors(calls: dict[str, Callable[..., Any]]) -> Rows:
    """Return a row for each call that raises ValueError; the message is the name of the row."""
    return {message: (call, ValueError, message) for message, call in calls.items()}


def said(messages: dict[str, list[Callable[..., Any]]], error: Any = WRONG) -> Rows:
    """Return rows from messages and the calls that raise them."""
    return {
        f"{message!r} {k}": (tried, error, f"(?=.*Received: ).*{message}")
        for message, each in messages.items()
        for k, tried in enumerate(each)
    }


def wrong_targets(loss: Callable[..., Any], *cases: tuple[Any, str]) -> Rows:
    """Return rows of invalid targets of a loss, for two rows of three predictions."""
    return {
        f"{loss.__name__} of {y}": (
            partial(loss(), y, GUESSES),
            ValueError,
            f"(?=.*Received: .).*{message}",
        )
        for y, message in cases
    }


SQUARE = np.zeros((2, 2))
LABELS, GUESSES = [2, 0], [[0.2, 0.3, 0.5], [0.6, 0.3, 0.3]]
EYE = np.eye(3)
W, B = tinynet.Variable([3.0, 4.0]), tinynet.Variable(1.0, name="b")


def built(layer: Any, *sizes: int) -> Any:
    """Build a layer for examples of a given shape, by default (2,)."""
    layer.build((None, *(sizes or (2,))))
    return layer


def new(value: Any) -> Any:
    """Return a new variable, for which no optimizer has been built."""
    return tinynet.Variable(value)


def one_by_one(shape: Any, dtype: Any = None) -> Any:
    """Return an initializer result of a fixed shape, regardless of the requested one."""
    return np.zeros((1, 1))


# ------------------------------------------------------------ layers, activations, initializers
LAYERS: Rows = {
    **arguments(
        WRONG,
        [
            (
                layers.Dense,
                {
                    "units": [0, -3, 2.5, "2", True],
                    "use_bias": ["no"],
                    "name": [3, "a/b"],
                    "dtype": ["int32"],
                    "input_shape": ["a"],
                    "input_dim": [0],
                },
            ),
            (layers.Flatten, {"data_format": ["first"]}),
            (layers.ReLU, {"max_value": [-1], "negative_slope": [-1, None], "threshold": [-1]}),
            (layers.Softmax, {"axis": [1.5]}),
            (layers.Input, {"shape": [(-1,), "ab"], "batch_size": [0]}),
            (layers.LayerNormalization, {"axis": [1.5], "center": [1]}),
            (layers.Embedding, {"input_dim": [0], "output_dim": [2.5]}),
            (layers.PReLU, {"shared_axes": [0]}),
            (layers.ELU, {"alpha": ["a"]}),
            (layers.GaussianNoise, {"stddev": [1.5], "seed": ["a"]}),
            (layers.GaussianDropout, {"rate": [1.0]}),
            (layers.Permute, {"dims": [(0, 1), (1, 1)]}),
            (layers.RepeatVector, {"n": [0, "2"]}),
            (layers.TimeDistributed, {"layer": [3]}),
            (layers.Lambda, {"function": [3]}),
        ],
        MUST,
    ),
    **arguments(
        WRONG,
        [
            (initializers.HeNormal, {"seed": [-1, 1.5]}),
            (initializers.RandomNormal, {"stddev": [-1.0]}),
            (
                initializers.VarianceScaling,
                {"scale": [0.0], "mode": ["fan"], "distribution": ["gauss"]},
            ),
        ],
        MUST,
    ),
    **said(
        {
            "did you mean 'relu6'": [lambda: layers.Dense(2, activation="ReLU6")],
            "activation must be a name": [lambda: layers.Dense(2, activation=3)],
            "activation must be a known name": [lambda: layers.Activation("nothing")],
            "to use a layer, add it": [lambda: activations.get(layers.Dense(2))],
            "elu .*'x', 'alpha'": [lambda: activations.elu([1.0], beta=2)],
            "did you mean 'glorot_normal'": [
                lambda: initializers.get("glorot"),
                lambda: layers.Dense(2, kernel_initializer="glorot"),
            ],
            "initializer must be a name": [lambda: initializers.get(3)],
            "initializer must be a known name": [
                lambda: initializers.get({"class_name": "No", "config": {}})
            ],
            "must contain 'class_name' and 'config'": [lambda: initializers.get({"config": {}})],
            r"shape \(2, 2\)": [lambda: built(layers.Dense(2, kernel_initializer=one_by_one))],
            "did you mean 'units'": [lambda: layers.Dense(2, unit=3)],
            r"must have shape \(N, ..., D\) with a known D": [
                lambda: layers.Dense(2)(np.float32(3)),
                lambda: layers.Dense(2)(np.zeros(3)),
                lambda: layers.Dense(2)(layers.Input((None,))),
            ],
            r"must have shape \(N, ..., 4\)": [lambda model: model.layers[0](np.zeros((1, 3)))],
            "shape or batch_shape must be given, but not both": [
                lambda: layers.Input(),
                lambda: layers.Input((2,), batch_shape=(1, 2)),
            ],
            "axis of softmax.* must be a valid axis of its input": [
                lambda: layers.Softmax(axis=2)(SQUARE)
            ],
            "must be (a )?valid ax[ie]s of its input": [
                lambda: layers.LayerNormalization(axis=2)(SQUARE),
                lambda: layers.UnitNormalization(axis=[1, 2])(SQUARE),
                lambda: layers.Normalization(axis=3)(SQUARE),
                lambda: layers.PReLU(shared_axes=2)(SQUARE),
            ],
            "known size along axis 0": [lambda: layers.LayerNormalization(axis=0)(SQUARE)],
            r"known sizes along axes \(1, 2\)": [
                lambda: layers.LayerNormalization(axis=[1, 2])(layers.Input((3, None)))
            ],
            "must have .*size 2 along axis -1": [
                lambda: built(layers.LayerNormalization())(np.zeros((1, 3))),
                lambda: built(layers.BatchNormalization())(np.zeros((1, 3))),
            ],
            r"must have shape \(None, None, 2\), where None matches": [
                lambda: built(layers.PReLU(shared_axes=[1]), 3, 2)(np.zeros((1, 3, 4)))
            ],
            "mean and variance must be both None or both given": [
                lambda: layers.Normalization(mean=3.0),
                lambda: layers.Normalization(mean=[3.0, 1.0], variance=[1.0]),
                lambda: layers.Normalization(axis=None, mean=[3.0], variance=[1.0]),
            ],
            "must be None to use adapt": [
                lambda: layers.Normalization(mean=3.0, variance=1.0).adapt(SQUARE)
            ],
            "at least one example": [
                lambda: layers.Normalization().adapt([]),
                lambda: layers.Normalization().adapt(np.zeros((0, 3))),
            ],
            "data must contain real numbers": [lambda: layers.Normalization().adapt(["ab", "cd"])],
            r"real numbers of shape \(3, 2\)": [lambda: layers.Embedding(3, 2, weights=SQUARE)],
            r"in the range \[0, input_dim\), where input_dim=3": [
                lambda: layers.Embedding(3, 2)([[3]]),
                lambda: layers.Embedding(3, 2)([[-1]]),
            ],
            "Inputs of p_re_lu.* must have known sizes": [
                lambda: layers.PReLU()(layers.Input((None,)))
            ],
            "must have 3 dimensions": [lambda: layers.Permute((2, 1))(SQUARE)],
            "must have 2 dimensions": [lambda: layers.RepeatVector(2)(np.zeros((2, 2, 2)))],
            "at least 3 dimensions": [lambda: layers.TimeDistributed(layers.Dense(2))(SQUARE)],
            "weights of .* must be a list of 2 arrays": [
                lambda model: model.layers[0].set_weights([]),
                lambda model: model.layers[0].set_weights([np.zeros((4, 5))]),
            ],
            "must be set to an array of real numbers of shape": [
                lambda model: model.layers[0].set_weights([np.zeros((5, 4)), np.zeros(5)]),
                lambda model: model.layers[0].set_weights([np.zeros((4, 5)), np.zeros(6)]),
                lambda model: model.layers[0].set_weights([np.zeros((4, 5)), [*"abcde"]]),
            ],
            "must be built before count_params": [lambda: layers.Dense(2).count_params()],
            "must be a list of at least 1 tensor": [lambda: layers.Add()(SQUARE)],
            "named function": [
                lambda tmp_path: tinynet.Sequential(
                    [layers.Input((2,)), layers.Lambda(lambda x: x * 2)]
                ).save(tmp_path / "net.keras"),
            ],
            "shape must be a tuple of integers": [
                lambda: layers.Layer().add_weight(shape=(None, 3))
            ],
            "dtype must": [lambda: layers.Layer().add_weight((), dtype="float16")],
            "a float type": [lambda: layers.Layer().add_weight((), "uniform", dtype="int32")],
            "a scalar": [lambda: built(layers.Dense(1, kernel_regularizer=lambda w: w**2)).losses],
        },
    ),
    **said({"'kernel' before it is built": [lambda: layers.Dense(3).kernel]}, AttributeError),
    **said(
        {
            "mask_zero of Embedding must be None": [lambda: layers.Embedding(3, 2, mask_zero=True)],
            "lora_rank of Embedding must be None": [lambda: layers.Embedding(3, 2, lora_rank=2)],
            "_config of Embedding must be None": [
                lambda: layers.Embedding(3, 2, quantization_config="a")
            ],
        },
        NotImplementedError,
    ),
    **{
        f"{type(layer).__name__} of {kind} {shapes}": (
            lambda layer=layer, inputs=inputs: layer(inputs),
            ValueError,
            "Received: shapes",
        )
        for layer, *shapes in (
            (layers.Add(), (2, 3), (2, 4)),
            (layers.Subtract(), (2, 3), (2, 3), (2, 3)),
            (layers.Concatenate(axis=1), (2, 2, 3), (2, 2, 4)),
            (layers.Concatenate(axis=3), (2, 2, 3), (2, 2, 3)),
            (layers.Dot(axes=1), (2, 3), (2, 4)),
            (layers.Dot(axes=3), (2, 3), (2, 3)),
        )
        for kind, inputs in {
            "arrays": [np.ones(shape) for shape in shapes],
            "inputs": [layers.Input(shape[1:]) for shape in shapes],
        }.items()
    },
    "backward of a layer": (
        lambda: layers.Layer().backward(SQUARE, None),
        NotImplementedError,
        "backward",
    ),
    "forward of a layer": (
        lambda: layers.Layer().forward(SQUARE, None),
        NotImplementedError,
        "forward",
    ),
}

# ------------------------------------------------------------ losses, metrics and optimizers
LOSSES_METRICS_AND_OPTIMIZERS: Rows = {
    **arguments(
        WRONG,
        [
            (
                losses.SparseCategoricalCrossentropy,
                {"reduction": ["average"], "from_logits": ["yes"], "ignore_class": [0.5]},
            ),
            (losses.BinaryFocalCrossentropy, {"gamma": ["2"]}),
        ],
        MUST,
    ),
    **arguments(
        WRONG,
        [
            (metrics.BinaryAccuracy, {"threshold": ["a"]}),
            (metrics.Recall, {"top_k": [0], "thresholds": [[], 1.5, ["a"]]}),
            (
                metrics.AUC,
                {
                    "num_thresholds": [1],
                    "curve": ["Roc"],
                    "summation_method": ["left"],
                    "thresholds": [[0.5, 2]],
                    "num_labels": [2],
                },
            ),
            (metrics.SensitivityAtSpecificity, {"specificity": [1.5]}),
            (metrics.RecallAtPrecision, {"num_thresholds": [0]}),
            (metrics.F1Score, {"average": ["mean"], "threshold": [0.0]}),
            (metrics.FBetaScore, {"beta": [0.0]}),
            (metrics.R2Score, {"class_aggregation": ["mean"], "num_regressors": [-1]}),
        ],
        MUST,
    ),
    **arguments(
        WRONG,
        [
            (
                optimizers.Adam,
                {
                    "learning_rate": [1, "0.1", -0.1, float("nan")],
                    "beta_1": [1.5, 1.0, True],  # with 1, the first moment would always be 0
                    "beta_2": [0.99999999],  # 1 in float32
                    "epsilon": [-1.0],
                },
            ),
            (
                optimizers.AdamW,
                {
                    "beta_2": [1],
                    "weight_decay": [1e39],  # infinite in float32
                },
            ),
            (optimizers.Nadam, {"beta_1": [np.float32(1)]}),
            (optimizers.RMSprop, {"rho": [1.0]}),
            (optimizers.Adagrad, {"initial_accumulator_value": [float("inf")]}),
            (optimizers.Adamax, {"beta_1": [1.0]}),
            (optimizers.Adadelta, {"rho": [1.5]}),
            (
                optimizers.Ftrl,
                {
                    "learning_rate_power": [0.5],
                    "l1_regularization_strength": [-0.1],
                    "initial_accumulator_value": ["large"],
                },
            ),
            (optimizers.Lion, {"beta_1": [0.0]}),
            (optimizers.SGD, {"clipnorm": [float("nan")]}),
        ],
        MUST,
    ),
    **arguments(
        WRONG,
        [
            (schedules.CosineDecay, {"alpha": [-1.0]}),
            (schedules.PolynomialDecay, {"power": [-1.0]}),
            (schedules.ExponentialDecay, {"initial_learning_rate": [-0.1]}),
            (schedules.PiecewiseConstantDecay, {"boundaries": [[20, 10]]}),
        ],
        MUST,
    ),
    **wrong_targets(
        losses.SparseCategoricalCrossentropy,
        ([2, 3], "Labels .* integers from 0 to 2"),
        ([2, -1], "Labels .* integers from 0 to 2"),
        ([2, 0.5], "must be integers"),
        ([2, np.nan], "must be integers"),
        ([2, np.inf], "must be integers"),
        (["a", "b"], "real numbers"),
        (np.eye(3)[:2], "categorical_crossentropy"),
        ([[1, 2]], "shape"),
        (1, "shape"),
    ),
    **wrong_targets(
        losses.CategoricalCrossentropy,
        (LABELS, "sparse_categorical_crossentropy, or .*one-hot"),
        ([[2], [0]], "use sparse_categorical_crossentropy"),
        ([[0, 1], [1, 0]], r"the shape of the predictions, \(2, 3\)"),
        ([[0, 1, 0], [1, np.inf, 0]], "must be finite.* in row 1"),
        ([["a", "b", "c"]] * 2, "real numbers"),
    ),
    **wrong_targets(
        losses.MeanSquaredError,
        (LABELS, "utils.to_categorical"),
        ([[0, 1, np.nan], [1, 0, 0]], "must be finite.* in row 0"),
    ),
    **wrong_targets(losses.BinaryCrossentropy, ([1, 0], "utils.to_categorical")),
    **wrong_targets(losses.CategoricalHinge, (LABELS, "utils.to_categorical")),
    **wrong_targets(losses.CategoricalFocalCrossentropy, (LABELS, "use sparse_categorical")),
    **said(
        {
            "loss must be a known name": [lambda: losses.get("sparse")],
            "loss must be a name": [lambda: losses.get(3)],
            "loss must be the name": [lambda: losses.as_loss(None)],
            "reduction must be one of .*Received: reduction='auto'": [
                lambda: losses.MeanSquaredError(losses.Reduction.AUTO)
            ],
            r"must have a shape that broadcasts to \(2,\)": [
                lambda: losses.SparseCategoricalCrossentropy()(LABELS, GUESSES, [1, 2, 3]),
            ],
            "axis must be -1 or the index of the last axis": [
                lambda: losses.sparse_categorical_crossentropy(LABELS, GUESSES, axis=0),
            ],
            "axis must be a valid axis of predictions": [
                lambda: losses.CosineSimilarity(axis=0)(GUESSES, GUESSES),
                lambda: losses.CosineSimilarity(axis=2)(GUESSES, GUESSES),
            ],
            r"in the range \[0, 1\]": [
                lambda: losses.BinaryFocalCrossentropy()([[5.0]], [[0.5]]),
                lambda: metrics.BinaryCrossentropy()([[5.0]], [[0.5]]),
            ],
            "did you mean 'accuracy'": [
                lambda: metrics.get("acuracy"),
                lambda: metrics.check("acuracy"),
            ],
            "metric must be a name": [lambda: metrics.check(3)],
            r"Targets of .* must have shape \(3": [
                lambda: metrics.SparseCategoricalAccuracy()([1, 2], EYE),
                lambda: metrics.CategoricalAccuracy()([1, 2, 2], EYE),
                lambda: metrics.R2Score()([0.0, 1.0, 2.0], EYE),
            ],
            "y_true must contain real": [
                lambda: metrics.SparseCategoricalAccuracy()([*"aaa"], EYE)
            ],
            "Targets of .* must be 0 or 1": [
                lambda: metrics.Precision()([-1, 1], [0.2, 0.7]),  # -1 would count as positive
                lambda: metrics.Recall()([[3], [1]], [[0.2], [0.7]]),
                lambda: metrics.AUC()([0, 1, 2], EYE),
                lambda: metrics.F1Score()([0, 1, 2], EYE),
            ],
            "class_id must be at most 2": [lambda: metrics.Recall(class_id=3)(EYE, EYE)],
            "top_k must be at most 3": [lambda: metrics.Recall(top_k=4)(EYE, EYE)],
            r"Predictions of .* must have shape \(batch_size, outputs\)": [
                lambda: metrics.AUC(multi_label=True)([0, 1], [0.5, 0.5]),
                lambda: metrics.F1Score()([0, 1], [0.5, 0.5]),
                lambda: metrics.R2Score()([0.0, 1.0], [0.5, 0.5]),
            ],
            r"must have shape \(batch_size, 2\)": [
                lambda: metrics.AUC(multi_label=True, num_labels=2)(EYE, EYE),
                lambda: metrics.AUC(label_weights=[1, 2])(EYE, EYE),
            ],
            "learning_rate must be a number": [
                lambda model: setattr(model.optimizer, "learning_rate", True),
                lambda model: setattr(model.optimizer, "learning_rate", [0.1]),
                lambda model: setattr(model.optimizer, "learning_rate", -0.1),
            ],
            "optimizer must be a known name; did you mean 'adam'": [
                lambda: optimizers.get("adamm")
            ],
            "optimizer must be a name": [
                lambda: optimizers.get(None),
                lambda: optimizers.get(3),
            ],
            "var_list must be a list of Variable": [
                lambda model: optimizers.Adam().exclude_from_weight_decay(model.weights[0]),
                lambda: optimizers.Adam().exclude_from_weight_decay(["bias"]),
            ],
            "var_names must be": [
                lambda: optimizers.Adam().exclude_from_weight_decay(var_names="bias"),
                lambda: optimizers.Adam().exclude_from_weight_decay(var_names=["("]),
            ],
            "grads must contain at least one gradient": [
                lambda model: model.optimizer.apply_gradients([(None, model.weights[0])]),
                lambda model: model.optimizer.apply_gradients([]),
            ],
            "must be one of the weights": [
                lambda model: model.optimizer.apply_gradients([(SQUARE, new(SQUARE))]),
                lambda model: model.optimizer.apply(
                    [*model.get_weights(), None], [*model.weights, new(SQUARE)]
                ),
            ],
            "must have the shape of the weight": [
                lambda model: model.optimizer.apply([*model.get_weights()[:3], [1.0]]),
                lambda model: model.optimizer.apply([*model.get_weights()[:3], 1.0]),
                lambda: optimizers.Adam().apply([SQUARE], [new([1.0, 2.0])]),
            ],
            "one gradient for each": [
                lambda model: model.optimizer.apply([], model.weights),
                lambda model: model.optimizer.apply(model.get_weights() * 2),
                lambda: optimizers.Adam().apply([], [new([1.0, 2.0])]),
            ],
            "list of Variable": [
                lambda model: model.optimizer.apply_gradients([(model.weights[0], SQUARE)]),
                lambda model: model.optimizer.apply([SQUARE], [SQUARE]),
            ],
            r"must be pairs, such as zip\(gradients, variables\)": [
                lambda: optimizers.SGD().apply_gradients([as_tensor(SQUARE)]),
            ],
            "trainable_variables must be given": [lambda: optimizers.Adam().apply([SQUARE])],
        },
    ),
    **said(
        {"use GradientTape": [lambda model: model.optimizer.minimize(lambda: 0.0, model.weights)]},
        AttributeError,
    ),
    "gradient of a loss": (
        lambda: losses.Loss().backward(np.zeros(1), np.zeros(1), np.zeros(1)),
        NotImplementedError,
        "call",
    ),
}

# ------------------------------------------------------------ optimizers and callbacks
OPTIMIZERS_AND_CALLBACKS: Rows = {
    **arguments(
        ValueError,
        [
            (optimizers.Adam, {"learning_rate": [np.inf]}),
            (optimizers.Adam, {"beta_2": [-0.1], "epsilon": [-1e-7], "clipnorm": [-1.0]}),
            (optimizers.Adam, {"gradient_accumulation_steps": [1]}),
            (optimizers.AdamW, {"weight_decay": [-0.1]}),
            (optimizers.SGD, {"momentum": [1.5, "0.9"]}),
            (schedules.ExponentialDecay, {"decay_steps": [0]}),
            (callbacks.EarlyStopping, {"patience": [-1], "min_delta": [np.nan], "verbose": [-1]}),
            (callbacks.EarlyStopping, {"baseline": [np.nan], "start_from_epoch": [-1]}),
            (callbacks.ReduceLROnPlateau, {"factor": [1, 1.5, 2.0, -0.1], "cooldown": [-1]}),
            (callbacks.ReduceLROnPlateau, {"min_lr": [-1.0]}),
            (callbacks.ModelCheckpoint, {"filepath": ["net.h4"], "save_freq": ["batch", 0, True]}),
            (callbacks.CSVLogger, {"separator": ["", "\n", "\r", '"']}),
            (callbacks.BackupAndRestore, {"backup_dir": [""], "save_freq": [False]}),
            (callbacks.TensorBoard, {"histogram_freq": [-1], "profile_batch": [2]}),
            (callbacks.TensorBoard, {"update_freq": [0]}),
        ],
    ),
    **arguments(
        TypeError,
        [
            (optimizers.SGD, {"nesterov": [1]}),
            (callbacks.EarlyStopping, {"patience": [1.5, True], "min_delta": ["0.1"]}),
            (callbacks.EarlyStopping, {"monitor": [3], "restore_best_weights": ["yes"]}),
            (callbacks.ModelCheckpoint, {"initial_value_threshold": ["a"]}),
            (callbacks.LearningRateScheduler, {"schedule": [0.1]}),
            (callbacks.CSVLogger, {"append": ["no"]}),
            (callbacks.TerminateOnNaN, {"raise_error": [1]}),
            (callbacks.LambdaCallback, {"on_epoch_end": ["print"]}),
            (callbacks.SwapEMAWeights, {"swap_on_epoch": ["yes"]}),
        ],
    ),
    **value_errors(
        {
            "Only one of clipnorm, clipvalue and global_clipnorm.*Received: clipnorm=1.0": (
                lambda: optimizers.Adam(clipnorm=1.0, clipvalue=1.0)
            ),
            "one more element than boundaries.*Received: 1 boundaries and 1 values": (
                lambda: schedules.PiecewiseConstantDecay([1], [0.1])
            ),
            "weights.h5.*Received: ": (
                lambda: callbacks.ModelCheckpoint("net.h5", save_weights_only=True)
            ),
            "learning_rate must be a number greater than or equal to 0.*='a'": (
                lambda model: setattr(model.optimizer, "learning_rate", "a")
            ),
            "learning_rate must be a number greater than or equal to 0.*=nan": (
                lambda model: setattr(model.optimizer, "learning_rate", np.nan)
            ),
            "use_ema=True.*Received: use_ema=False": (
                lambda model: model.fit(X, Y, callbacks=[callbacks.SwapEMAWeights()])
            ),
            "use_ema=True.*use_ema=False": (
                lambda model: model.evaluate(X, Y, callbacks=[callbacks.SwapEMAWeights()])
            ),
        }
    ),
}

# ------------------------------------------------------------ compile, fit, evaluate, predict
# Invalid data for all methods that accept data: argument, values, and message.
WRONG_DATA: dict[str, dict[str, tuple[Any, str]]] = {
    "x": {
        "one shorter": (X[:-1], "same length.*x of length 20, y of length 21"),
        "missing": (None, "x=None"),
        "of another width": (X[:, :2], r"\(None, 4\).*Received: shape \(21, 2\)"),
        "with an axis too many": (X[:, None], r"Received: shape \(21, 1, 4\)"),
        "a number": (3.0, "batch axis"),
        "of strings": ([["a"] * 4] * 21, "x must contain real numbers.*text.*<U1"),
        "of digits as strings": (X.astype(str), "real numbers.*text"),
        "of bytes": (X.astype("S8"), r"real numbers.*text.*\|S8"),
        "complex": (X + 1j, "not complex.*complex64"),
        "of objects": (np.full((21, 4), object()), "real numbers.*object"),
        "with None": ([[None] * 4] * 21, "real numbers.*missing.*row 0, column 0"),
        "of dates": (np.tile(DATES[:, None], 4), "dates.*datetime64"),
        "a date": (DATES[0].item(), "real numbers"),
        "a dict": ({"a": X}, r"key 'input_layer\w*'.*Received.*\['a'\]"),
        "masked": (np.ma.masked_less(X, 0.5), r"x must not .*masked.*filled"),
        "masked in a list": ([*np.ma.masked_less(X, 0.5)], "masked"),
        "a set": ({1, 2}, "Received: "),
        "a string": ("train.csv", "real numbers.*text"),
        "ragged": ([[1.0] * 4] * 20 + [[1.0]], "lists of equal lengths"),
        "two arrays": ([X, X], "single array.*one input.*2 arrays"),
        "of records": (np.zeros(21, "f4,f4"), "real numbers"),
        "not a number": (at((7, 2), np.nan, array=X), "finite.*1 of 84.*first is nan in row 7$"),
        "infinite": (at((0, 0), np.inf, array=X), "finite.*first is inf in row 0$"),
        "too large": (at((9, 3), 1, array=X) * 1e300, "finite"),
        "half NaN": (at((slice(None), [2, 3]), np.nan, array=X), "42 of 84.*row 0"),
    },
    "y": {
        "one shorter": (Y[:-1], "same length.*x of length 21, y of length 20"),
        "missing": (None, "y=None"),
        "a number": (1, "one row per example"),
        "a dict": ({"a": Y}, r"key 'dense\w*'.*Received.*\['a'\]"),
        "masked": (np.ma.masked_equal(Y, 0), "y must not .*masked"),
        "a sparse matrix": (scipy.sparse.csr_array(HOT), r"y\.toarray\(\)"),
        "too large": (at(4, 3), "from 0 to 2.*3 outputs.*3.0 in row 4"),
        "far too large": (at(4, 2**62, int), "from 0 to 2.*row 4"),
        "of uint64": (at(4, 2**64 - 1, np.uint64), "from 0 to 2.*row 4"),
        "negative": (at(4, -1, int), "from 0 to 2.*Received: -1 in row 4"),
        "from 1": (Y + 1, "from 0 to 2.* and .* more"),
        "fractional": (at(4, 0.5), "must be integers.*0.5 in row 4"),
        "not a number": (at(4, np.nan), "must be integers from 0 to 2.*nan in row 4"),
        "infinite": (at(4, np.inf), "from 0 to 2.*inf in row 4"),
        "huge": (at(4, 1e300), "from 0 to 2.*row 4"),
        "wrong in the last row": (at(-1, 9, int), "9 in row 20"),
        "one-hot": (HOT, "use categorical_crossentropy"),
        "one-hot with 2 classes": (HOT[:, :2], r"Received: y_true of shape \(21, 2\)"),
        "of strings": (["cat"] * 21, "y_?.*real numbers.*text"),
        "of numbers in strings": (Y.astype(str), "real numbers.*text"),
        "of objects": ([object()] * 21, "real numbers.*in row 0"),
        "with None": ([*Y[:-1], None], "missing.*in row 20"),
        "complex": (Y + 0j, "not complex"),
        "of dates": (DATES, "dates"),
        "ragged": ([[0], [1, 2]] + [[1]] * 19, "lists of equal lengths"),
    },
    "sample_weight": {
        "one shorter": (ONES[:-1], "sample_weight of length 20"),
        "a dict": ({"a": Y}, r"sample_weight.*\['a'\]"),
        "masked": (np.ma.masked_equal(ONES, 1), "sample_weight must not .*masked"),
        "not a number": (at(3, np.nan), "sample_weight.*first is nan in row 3$"),
        "infinite": (at(3, np.inf), "sample_weight.*row 3"),
        "of strings": (["a"] * 21, "sample_weight.*real numbers"),
        "a number": (2.0, "sample_weight of length 1"),
        "of a wrong shape": (HOT, "sample_weight"),
    },
}
#: Invalid training inputs that `predict` accepts.
ACCEPTED_BY_PREDICT = ["one shorter", "not a number", "infinite", "too large", "half NaN"]
#: Errors that an unbuilt model cannot detect.
UNKNOWN = {"a dict", "of another width", "with an axis too many"}


def given(method: str, argument: str, value: Any) -> Callable[..., Any]:
    """Return a call of a method with invalid data."""
    if method == "call":
        return lambda model: model(value)
    if method == "fit before build":
        return lambda unbuilt: calling("fit", **{argument: value})(unbuilt)
    return calling(method, **{argument: value})


def methods(argument: str, name: str) -> list[str]:
    """Return the methods that reject this data."""
    before_build = [] if name in UNKNOWN else ["fit before build"]
    without_labels = ["predict", "predict_on_batch", "call"]
    accepted = argument != "x" or name in ACCEPTED_BY_PREDICT
    return [*WITH_LABELS, *before_build, *([] if accepted else without_labels)]


def load_other(name: str) -> Callable[[Any, Any], Any]:
    """Return a call of `load_weights` with a valid or damaged file of another model."""

    def load(model: Any, tmp_path: Any) -> None:
        models.classifier(shape=(7,)).save(tmp_path / name)
        if name.startswith("torn"):
            (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-40])
        model.load_weights(tmp_path / name)

    return load


COUNTS = ["epochs", "batch_size", "initial_epoch", "steps_per_epoch"]
FIRST_WEIGHTS = [np.zeros((4, 5)), np.zeros(5), np.zeros((5, 3))]
TRAINING: Rows = {
    **{
        f"{method} of a model that is not built with {name}={value}": (
            lambda unbuilt, method=method, name=name, value=value: getattr(unbuilt, method)(
                **{**RIGHT[method], name: value}
            ),
            ValueError,
            f"{name}.*Received: ",
        )
        for method in ("evaluate", "predict")
        for name, value in (("verbose", 7), ("batch_size", -1), ("steps", 0))
    },
    **{
        f"{method}: {argument} {name}": (given(method, argument, value), ValueError, message)
        for argument, cases in WRONG_DATA.items()
        for name, (value, message) in cases.items()
        for method in methods(argument, name)
    },
    **{
        f"{method} of {name}": (calling(method, x=x, y=y), ValueError, message)
        for method in WITH_LABELS
        for name, x, y, message in (
            ("nothing", X[:0], Y[:0], "at least one example"),
            ("empty lists", [], [], "at least one example"),
            ("one row", X[0], Y[:4], r"pass x\[None\]"),
        )
    },
    **{
        f"{method} before compile": (
            partial(calling(method), Sequential([layers.Dense(3)])),
            ValueError,
            "compile.*Received: a model that is not compiled",
        )
        for method in WITH_LABELS
    },
    **arguments(
        ValueError,
        [
            ("fit", {**{name: [-1] for name in COUNTS}, "validation_steps": [0]}),
            ("fit", {"batch_size": [0], "steps_per_epoch": [0], "validation_freq": [0]}),
            ("fit", {"validation_split": [1, 1.0, 1.5, -0.1, np.nan, 0.97], "shuffle": ["yes"]}),
            ("fit", {"verbose": [3, "loud" * 1000], "class_weight": [{0: np.nan}]}),
            ("evaluate", {"batch_size": [0], "steps": [0], "verbose": ["on"]}),
            ("predict", {"batch_size": [-1], "steps": [0], "verbose": [7]}),
            ("compile", {"optimizer": ["adamm", None, 0.1, 3], "metrics": [3, "accuracy"]}),
            ("compile", {"loss": ["msee", "sparse", "", 3, object(), ["sparse"], ["mse", "mae"]]}),
            ("compile", {"loss": [{"a": "mse"}], "loss_weights": [[1.0, 2.0], np.nan]}),
            ("compile", {name: [["x"], [None], [3]] for name in ("metrics", "weighted_metrics")}),
            ("set_weights", {"weights": [[], [1]]}),
        ],
    ),
    **arguments(
        TypeError,
        [
            ("fit", {name: [2.5, "3", True, np.nan, [1]] for name in COUNTS}),
            (
                "fit",
                {"epochs": [None], "validation_freq": ["1"], "validation_split": ["0.1", True]},
            ),
            ("fit", {"class_weight": [[1, 1, 1], {"cat": 1.0}, {0: "a"}]}),
            ("fit", {"callbacks": [[object()], ["x" * 10**6], [callbacks.History]]}),
            ("evaluate", {"batch_size": [2.0], "steps": [True], "callbacks": [["x"]]}),
            ("predict", {"batch_size": ["8"]}),
            ("compile", {"loss_weights": ["a"]}),
            ("set_weights", {"weights": ["", None, 3]}),
        ],
    ),
    **arguments(
        (ValueError, TypeError, IndexError),
        [
            ("get_layer", {"name": [*BULK, [HUGE, HUGE]]}),
            ("compile", {"metrics": [*([bulk] for bulk in BULK), {"a": [HUGE]}]}),
            *(
                (what, {name: [*BULK, [HUGE, HUGE]] for name in names.split()})
                for what, names in (
                    ("fit", "x y sample_weight class_weight batch_size shuffle validation_data"),
                    ("predict", "x"),
                    ("set_weights", "weights"),
                    ("compile", "optimizer loss"),
                    (Sequential, "layers"),
                    (losses.MeanSquaredError(), "y_true"),
                    (partial(tinynet.utils.to_categorical, num_classes=3), "x"),
                )
            ),
        ],
        "Received: ",
    ),
    **{
        f"{method}: {argument} {message}": (
            calling(method, **{argument: value}),
            ValueError,
            message,
        )
        for method, argument, values in (
            (
                "set_weights",
                "weights",
                {
                    r"dense/bias.*Received: shape \(4, 5\)": [np.zeros((4, 5))] * 4,
                    r"dense/kernel.*Received: shape \(1,\)": [np.zeros(1)] * 4,
                    "dense/kernel must be set to an array of real.*<U1": ["a"] * 4,
                    "dense_1/bias.*complex128": [*FIRST_WEIGHTS, np.zeros(3) * 1j],
                    "dense_1/bias.*equal lengths": [*FIRST_WEIGHTS, [[1], [2, 3]]],
                    r"dense_1/bias.*Received: shape \(4,\)": [*FIRST_WEIGHTS, np.zeros(4)],
                },
            ),
            (
                "fit",
                "validation_data",
                {
                    r"\(x, y\)": (X,),
                    "finite": (X * np.nan, Y),
                    r"Received: shape \(400, 400\)": (HUGE, Y),
                    r"Received: shape \(21, 2\)": (X[:, :2], Y),
                    "from 0 to 2": (X, Y + 9),
                    "x must not .*masked": (np.ma.masked_less(X, 0.5), Y),
                },
            ),
        )
        for message, value in values.items()
    },
    **value_errors(
        {
            r"pass x\[None\].*Received: shape": lambda model: model.predict(X[0]),
            r"must have shape \(N, .*with a known D": lambda unbuilt: unbuilt.fit(X[0], Y[:4]),
            "loss must be given.*Received: loss=None": lambda: models.classifier(loss=None).fit(
                X, Y
            ),
            "sample_weight must be None if class_weight": (
                lambda model: model.fit(X, Y, class_weight={0: 2.0}, sample_weight=ONES)
            ),
            "validation_batch_size=0": (
                lambda model: model.fit(X, Y, validation_batch_size=0, validation_split=0.5)
            ),
            r"\(x, y, sample_weight\)": (lambda model: model.fit(iter([(X, Y, Y, Y)]))),
            "from 0 to 2": lambda model: model.fit(iter([(X, Y + 9)])),
            "finite": lambda model: model.evaluate(iter([(X * np.inf, Y)])),
            r"for dense/kernel.*Received: shape \(7, 5\)": load_other("other.tinynet"),
            r"for dense/kernel.*\(7, 5\)": load_other("other.keras"),
            "file is corrupted": load_other("torn.tinynet"),
            "file was not found.*missing.tinynet": (
                lambda model, tmp_path: model.load_weights(tmp_path / "missing.tinynet")
            ),
        }
    ),
}


# ------------------------------------------------------------ models
def later(function: Any, *args: Any, **options: Any) -> Callable[[], Any]:
    """Return a deferred call; `partial` would check keywords immediately."""
    return lambda: function(*args, **options)


def told(subject: str, rows: list[tuple[str, Callable[..., Any]]], error: Any = ValueError) -> Rows:
    """Return rows from pairs of a message and a call."""
    return {
        f"{subject} {number}: {said}": (call, error, f"{said}.*Received: .")
        for number, (said, call) in enumerate(rows)
    }


DENSE, ENTRY, OWN = layers.Dense(3, name="a"), layers.Input((4,)), type("Own", (tinynet.Model,), {})
OF_MODELS: list[tuple[str, Callable[..., Any]]] = [
    ("must have at most one Input, as its first layer", later(Sequential, [ENTRY, ENTRY])),
    ("must have at most one Input, as its first layer", later(Sequential, [DENSE, ENTRY])),
    ("must have at most one Input, as its first layer", lambda model: model.add(ENTRY)),
    *(
        ("must be a Layer or the result of Input", later(Sequential, [DENSE, wrong]))
        for wrong in ("dense", 3, layers.Dense)
    ),
    ("Layer names of .* must be unique", later(Sequential, [DENSE, DENSE])),
    ("Layer names of .* must be unique", lambda model: model.add(model.layers[0])),
    ("must be a valid axis", later(Sequential, [ENTRY, layers.Softmax(axis=5)])),
    ("must be a valid axis", lambda model: model.add(layers.Softmax(axis=4))),
    ("must have at least one layer", lambda: Sequential()([[0.0]])),
    ("must have at least one layer", lambda: Sequential().predict([[0.0]])),
    ("must have at least one layer", lambda: Sequential().build((None, 2))),
    (r"Inputs of .* must have shape \(None, 4\)", lambda model: model.build((None, 5))),
    (r"Inputs of .* must have shape \(None, 4\)", lambda model: model([[0.0] * 5])),
    ("did you mean 'dense", lambda model: model.get_layer("dens")),
    ("in range for 2 layers", lambda model: model.get_layer(index=2)),
    ("Exactly one of name and index must be given", lambda model: model.get_layer()),
    ("Exactly one of name and index must be given", lambda model: model.get_layer("dense", 0)),
    ("must be a list of 4 arrays", lambda model: model.set_weights([])),
    (
        "/bias must be set to",
        lambda model: model.set_weights([*model.get_weights()[:3], np.zeros(7)]),
    ),
    ("must be a Sequential or a functional model", lambda: tinynet.models.clone_model(OWN())),
]
MODELS: Rows = {
    **told("model", OF_MODELS),
    **told("models", [("must be a list of layers", later(Sequential, DENSE))], TypeError),
    "a dataset without a length": (
        lambda: len(tinynet.utils.PyDataset()),
        NotImplementedError,
        "__len__",
    ),
    "a dataset without batches": (
        lambda: tinynet.utils.Sequence()[0],  # legacy name of PyDataset
        NotImplementedError,
        "__getitem__",
    ),
}

# ------------------------------------------------------------ files of models
ENDINGS = ["net", "net.pkl", "net.pb", "net.npz", "net.weights.keras.bak"]
SUFFIXES = [".tinynet", ".keras", ".h5", ".hdf5"]


def save_to(name: str, kind: str = "save") -> Callable[..., Any]:
    return lambda model, tmp_path: getattr(model, kind)(tmp_path / name)


def load_from(name: str) -> Callable[..., Any]:
    return lambda tmp_path: tinynet.models.load_model(tmp_path / name)


def load_weights_from(name: str, **options: Any) -> Callable[..., Any]:
    return lambda model, tmp_path: model.load_weights(tmp_path / name, **options)


def load_folder(tmp_path: Any) -> None:
    (tmp_path / "folder.keras").mkdir()
    tinynet.models.load_model(tmp_path / "folder.keras")


def load_only_weights(model: Any, tmp_path: Any) -> None:
    model.save_weights(tmp_path / "net.weights.h5")
    tinynet.models.load_model(tmp_path / "net.weights.h5")


def load_before_build(model: Any, tmp_path: Any) -> None:
    model.save_weights(tmp_path / "net.weights.h5")
    tinynet.Sequential([layers.Dense(3)]).load_weights(tmp_path / "net.weights.h5")


def two_layers_named(*names: str) -> Any:
    x = tinynet.Input((2,), name="a")
    return lambda: tinynet.Model(
        x, layers.Dense(2, name=names[1])(layers.Dense(2, name=names[0])(x))
    )


class Odd(layers.Dense):
    """A layer whose configuration is not JSON-serializable."""

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "odd": object()}


FILES: Rows = {
    **{
        f"model saved as {name}": (save_to(name), ValueError, f"must end in .*filepath=.*{name}$")
        for name in ENDINGS
    },
    **{
        f"model loaded from {name}": (load_from(name), ValueError, f"end in .*filepath=.*{name}$")
        for name in ENDINGS
    },
    **{
        f"weights saved as {name}": (
            save_to(name, "save_weights"),
            ValueError,
            r"must end in '\.weights\.h5'.*Received: ",
        )
        for name in ("net.h5", "net.tinynet")
    },
    **{
        f"missing {suffix}": (load_from(f"x{suffix}"), ValueError, f"was not found.*x{suffix}$")
        for suffix in SUFFIXES
    },
    **{
        f"missing weights {suffix}": (
            load_weights_from(f"x{suffix}"),
            ValueError,
            f"file was not found.*x{suffix}$",
        )
        for suffix in (".weights.h5", *SUFFIXES)
    },
    "folder for a file": (load_folder, ValueError, "file was not found.*Received: "),
    "no name of a file": (
        lambda model: model.save(None),
        TypeError,
        "filepath must be a string or a path",
    ),
    "weights for a model": (load_only_weights, ValueError, "only weights.*Received: "),
    "weights by name": (
        load_weights_from("net.weights.h5", by_name=True),
        ValueError,
        "by_name=True requires a whole-model.*Received: ",
    ),
    "weights saved before build": (
        lambda tmp_path: tinynet.Sequential([layers.Dense(3)]).save_weights(
            tmp_path / "net.weights.h5"
        ),
        ValueError,
        "before saving weights.*built=False",
    ),
    "weights loaded before build": (
        load_before_build,
        ValueError,
        "before loading weights.*built=False",
    ),
    "two layers with the same name": (
        two_layers_named("b", "b"),
        ValueError,
        "must be unique.*Received: ",
    ),
    "layer named as the input": (
        two_layers_named("a", "b"),
        ValueError,
        "must be unique.*Received: ",
    ),
    "configuration that is not JSON": (
        lambda tmp_path: tinynet.Sequential([tinynet.Input((4,)), Odd(2)]).save(
            tmp_path / "net.tinynet"
        ),
        ValueError,
        "A configuration must consist.*Received: ",
    ),
    "JSON that is too long": (
        lambda: tinynet.saving.configuration.to_json({"a": "x" * (5 << 20)}),
        ValueError,
        "JSON must have at most.*Received: ",
    ),
}

# ------------------------------------------------------------ operations, tape, variables, random
OPERATIONS: Rows = {
    **said(
        {
            "one term for each operand": [lambda: ops.einsum("ij,jk->ik", SQUARE)],
            r"must have compatible shapes: .*Received: shapes \(2, 3\)": [
                lambda: ops.add(np.ones((2, 3)), np.ones((2, 5))),
                lambda: ops.matmul(np.ones((2, 3)), np.ones((2, 5))),
                lambda: as_tensor(np.ones((2, 3))) - np.ones((2, 5)),
                lambda: layers.Input((3,), 2) + layers.Input((5,), 2),
            ],
            "ord must be": [
                lambda: ops.norm(SQUARE, ord=3),
                lambda: ops.norm(SQUARE, ord="nuc"),
                lambda: ops.norm(SQUARE, ord=2, axis=(0, 1)),
                lambda: ops.norm(SQUARE, ord=1),
            ],
            "Tensor or a Variable": [lambda: tinynet.GradientTape().watch(3.0)],
            "'none' or 'zero'": [
                lambda: tinynet.GradientTape().gradient(
                    as_tensor(SQUARE), [], unconnected_gradients="no"
                ),
            ],
            "must return a scalar": [lambda: tinynet.value_and_gradients(lambda: W * B, [W, B])],
            "on every variable": [
                lambda: tinynet.value_and_gradients(lambda: W.value.sum(), [W, B])
            ],
            "batch_size must": [lambda model: model.program(batch_size=0)],
            "fused must": [lambda model: model.program(fused=3)],
            "shape must be given": [
                lambda: tinynet.Variable("ones"),
                lambda: tinynet.Variable(initializers.Ones()),
            ],
            r"did you mean 'zeros'\?": [lambda: tinynet.Variable("zeroes", shape=(2,))],
            r"shape \(5,\)": [
                lambda model: model.weights[1].assign([1.0]),
                lambda model: model.weights[1].assign(1.0),
                lambda model: model.weights[1].assign([[1.0] * 5]),
            ],
        },
    ),
    **{
        f"labels from 0 to 3: {label}": (
            lambda label=label: ops.sparse_categorical_crossentropy([label], np.ones((1, 4))),
            IndexError,
            "out of bounds",
        )
        for label in (-1, 4)
    },
}


# ------------------------------------------------------------ data, datasets and their files
def weighted(class_weight: Any) -> Callable[[Any], Any]:
    """Return a call of `fit` with class weights."""
    return lambda model: model.fit(np.ones((2, 4)), [0, 1], class_weight=class_weight, verbose=0)


def infinite(method: str) -> Callable[[Any], Any]:
    """Return a call of a method with a value that overflows float32."""
    x = np.where(np.arange(20).reshape(5, 4) == 13, 1e39, 1)
    return lambda model: getattr(model, method)(x, np.arange(5) % 3)


def with_names(method: str, *arguments: Any) -> Callable[[], Any]:
    """Return a call of a model with named inputs and outputs, or of its method."""

    def call() -> None:
        model = Sequential([layers.Input((4,), name="feats"), layers.Dense(2, name="out")])
        model.compile("sgd", "mse")
        getattr(model, method)(*arguments)

    return call


FOUR, TWO = np.ones((3, 4)), np.ones((3, 2))
#: Invalid x and y for `with_names`.
MISNAMED: dict[str, tuple[Any, Any]] = {
    r"x must .*'feats'.*Received.*\['images'\]": ({"images": FOUR}, TWO),
    r"y must .*'out'.*Received.*\['output'\]": (FOUR, {"output": TWO}),
    r"y must .*'out'.*Received.*\['out', 'b'\]": (FOUR, {"out": TWO, "b": TWO}),
    "one input.*2 arrays": ([FOUR, FOUR], TWO),
    "one output.*2 arrays": (FOUR, [TWO, TWO]),
}
#: Invalid images, by message.
NO_DIGITS: dict[str, Any] = {
    r"stands out.* Received: 0\.0%": np.zeros((28, 28)),
    r"Received: 0\.0%": np.full((50, 40, 3), 255, np.uint8),
    r"longer than 1\.5%.* Received: components of up to 1 ": np.pad([[255]], (100, 99)),
    r"not noise or a texture\. Received: \d,\d+ components": (
        np.random.default_rng(0).integers(0, 25, (300, 300)) == 0
    ),
    "Received: strokes that are": np.pad(np.indices((40, 40)).sum(0) % 4 < 2, 9),
    "Received: only straight lines": np.pad(np.pad(np.zeros((80, 80)), 2, constant_values=1), 10),
    "stands out": 200 + np.random.default_rng(0).integers(0, 9, (50, 50)),
    r"Received: shape \(0, 5\)": np.zeros((0, 5)),
    r"Received: shape \(784,\)": np.zeros(784),
    r"Received: shape \(4, 4, 5\)": np.zeros((4, 4, 5)),
    "0 to 1|0 to 255": np.full((4, 4), np.nan),
    "Received: -1 to -1": np.full((4, 4), -1),
    "from 0 to 255. Received: 300": np.full((4, 4), 300),
    "real numbers": [["a", "b"]],
}
OF_RANDOM: list[tuple[str, Callable[..., Any]]] = [
    ("^shape must be a non-negative integer", later(random.normal, (-1, 2))),
    ("^shape must be a non-negative integer", later(random.normal, (None, 2))),
    ("^seed must be an integer", later(random.normal, (2,), seed="a")),
    ("^seed must be an integer", later(random.SeedGenerator, "a")),
    ("^dtype must be a float type", later(random.normal, (2,), dtype="int32")),
    ("^dtype must be a float type", later(random.uniform, (2,), dtype="int32")),
    ("^dtype must be an integer type", later(random.randint, (2,), 0, 5, dtype="float32")),
    ("^maxval must be greater than minval", later(random.randint, (2,), 5, 5)),
    ("^logits must have the shape", later(random.categorical, [1.0, 2.0], 3)),
    (r"^rate must be a number in the range \[0, 1\]", later(random.dropout, [1.0], 1.5)),
    ("^noise_shape must have 2 entries", later(random.dropout, [[1.0]], 0.5, (1,))),
]
DATA: Rows = {
    **{
        f"class weights {value!r}": (weighted(value), (ValueError, TypeError), "class.*Received: .")
        for value in (
            *({-1: 1.0}, {0: np.nan}, {0.5: 1.0}, {np.nan: 1.0}),
            *([1, 2], {0: "a"}, {"a": 1.0}, 3.0),
        )
    },
    **{
        f"{method}: {said}": (with_names(method, x, y), ValueError, said)
        for method in ("fit", "evaluate", "train_on_batch", "test_on_batch")
        for said, (x, y) in MISNAMED.items()
    },
    **{
        f"{method} of inputs by a wrong name": (
            with_names(method, {"images": FOUR}),
            ValueError,
            r"x must .*'feats'.*Received.*\['images'\]",
        )
        for method in ("predict", "predict_on_batch", "__call__")
    },
    "inputs by name where they have none": (
        lambda: Sequential([layers.Dense(2)]).predict({"feats": FOUR}),
        ValueError,
        "x must be an array; .*Input",
    ),
    "an iterable of rows": (
        lambda model: model.fit(iter([(FOUR[0], 1)])),
        ValueError,
        "iterable must yield batches",
    ),
    **{
        f"{method} of a number beyond float32": (
            infinite(method),
            ValueError,
            "1 of 20 values not finite; the first is inf in row 3$",
        )
        for method in ("fit", "evaluate", "train_on_batch")
    },
    **{
        f"drawn_digits of {name}={value!r}": (
            later(drawn_digits.load_data, **{name: value}),
            ValueError if value == -1 else TypeError,
            f"{name} must be a non-negative integer.*Received: {name}=.",
        )
        for name in ("n_train", "n_test", "seed")
        for value in (-1, True, 1.0, "1", None, [1])
    },
    **{
        f"augment_digits, {said}": (later(augment_digits, images, seed), error, said)
        for images, seed, error, said in (
            (np.zeros((2, 28, 28)), 0, ValueError, "Received: .*dtype float64"),
            (np.zeros((28, 28), np.uint8), 0, ValueError, r"Received: shape \(28, 28\)"),
            (
                np.zeros((2, 28, 28), np.uint8),
                -1,
                ValueError,
                "seed must be a non-negative integer",
            ),
            (
                np.zeros((2, 28, 28), np.uint8),
                0.5,
                TypeError,
                "seed must be a non-negative integer",
            ),
        )
    },
    "drawn_digits of european=1": (
        later(drawn_digits.load_data, european=1),
        TypeError,
        "european must be",
    ),
    **{
        f"a digit: {said}": (later(frame_digit, image), ValueError, said)
        for said, image in NO_DIGITS.items()
    },
    **told("random", OF_RANDOM),
}

# ------------------------------------------------------------ config, utils, the command line
#: Argument, misspelled value, and suggestion.
NAMES: list[tuple[Any, str, Any, str]] = [
    (layers.Dense, "activation", "rleu", "relu"),
    (layers.Dense, "activation", "ReLu", "relu"),
    (layers.Dense, "kernel_initializer", "glorot_unifrom", "glorot_uniform"),
    (layers.Dense, "kernel_regularizer", "L1_L3", "l1_l2"),
    (layers.Dense, "kernel_constraint", "nonneg", "non_neg"),
    (layers.Activation, "activation", "sofmax", "softmax"),
    (tinynet.activations.get, "identifier", "sigmod", "sigmoid"),
    (optimizers.get, "identifier", "adma", "adam"),
    (losses.get, "identifier", "sparse_categorical_crossentrop", "sparse_categorical_crossentropy"),
    (metrics.get, "identifier", "acuracy", "accuracy"),
    ("compile", "loss", "categorial_crossentropy", "categorical_crossentropy"),
    ("compile", "optimizer", "Adan", "adam"),
    ("compile", "metrics", ["acuracy"], "accuracy"),
    ("compile", "weighted_metrics", ["sparse_categorical_acuracy"], "sparse_categorical_accuracy"),
    ("get_layer", "name", "dens", "dense"),
]
#: Call, misspelled keyword, and suggestion; `test_refusals` tests constructors.
KEYWORDS: list[tuple[Any, str, str]] = [
    ("fit", "epoch", "epochs"),
    ("evaluate", "batchsize", "batch_size"),
    ("predict", "bachsize", "batch_size"),
    ("compile", "optimiser", "optimizer"),
    ("train_on_batch", "sample_weights", "sample_weight"),
    ("save", "overwite", "overwrite"),
    ("summary", "linelength", "line_length"),
    (Sequential, "layer", "layers"),
    (tinynet.Model, "input", "inputs"),
    (tinynet.Input, "shap", "shape"),
    (layers.Dense(2), "trainin", "training"),
    (optimizers.Adam, "lr", "learning_rate"),
    (losses.MeanSquaredError(), "sample_weights", "sample_weight"),
    (metrics.Mean().update_state, "sample_weights", "sample_weight"),
    (tinynet.utils.to_categorical, "num_class", "num_classes"),
    (tinynet.models.load_model, "complie", "compile"),
    (tinynet.datasets.mnist.load_data, "pth", "path"),
    (tinynet.visualize.plot_history, "tst", "test"),
    (TinyNetClassifier, "hidden_layer_size", "hidden_layer_sizes"),
]
PLAIN = np.float32([[0.2, 0.8], [0.6, 0.4]])


def narrow() -> Any:
    """Return a classifier for inputs with 2 features."""
    return models.classifier(shape=(2,))


#: Functions that accept arrays without masked entries.
MASKED_CALLS: dict[str, Callable[[Any], Any]] = {
    "layer": lambda a: layers.Dense(2)(a),
    "activation": lambda a: tinynet.activations.relu(a),
    "regularizer": lambda a: regularizers.L2()(a),
    "constraint": lambda a: constraints.NonNeg()(a),
    "to_categorical": lambda a: tinynet.utils.to_categorical(np.rint(a).astype(int)),
    "normalize": lambda a: tinynet.utils.normalize(a),
    "CompressedRows": lambda a: tinynet.sparse.CompressedRows(a, "float32"),
    "tf.constant": lambda a: tf.constant(a),
    "tf.convert_to_tensor": lambda a: tf.convert_to_tensor(a),
    "Variable.assign": lambda a: tinynet.Variable(PLAIN).assign(a),
    "Mean": lambda a: metrics.Mean().update_state(a),
    "Mean weights": lambda a: metrics.Mean().update_state(PLAIN, a),
    "Sum": lambda a: metrics.Sum().update_state(a),
    "explain.step": lambda a: tinynet.explain.step(narrow(), a, [0, 1]),
    **{
        f"{kind.__name__} {name}": partial(
            lambda a, kind, name: kind()(**{"y_true": PLAIN, "y_pred": PLAIN, name: a}),
            kind=kind,
            name=name,
        )
        for kind in (losses.MeanSquaredError, losses.BinaryCrossentropy, metrics.MeanSquaredError)
        for name in ("y_true", "y_pred")
    },
    "loss weights": lambda a: losses.MeanSquaredError()(PLAIN, PLAIN, a[:, 0]),
    "loss function": lambda a: losses.mean_squared_error(PLAIN, a),
    "metric weights": lambda a: metrics.BinaryAccuracy()(PLAIN > 0.5, PLAIN, a[:, 0]),
    "precision": lambda a: metrics.Precision()(PLAIN > 0.5, a),
    "precision weights": lambda a: metrics.Precision()(PLAIN > 0.5, PLAIN, a),
    "metric function": lambda a: metrics.binary_accuracy(PLAIN, a),
    "own metric": lambda a: metrics.MeanMetricWrapper(lambda y, p: p - y)(PLAIN, a),
    "set_weights": lambda a: Sequential([layers.Input((2,)), layers.Dense(2)]).set_weights(
        [a, np.zeros(2)]
    ),
    "fit on a generator": lambda a: narrow().fit(iter([(a, [0, 1])]), verbose=0),
    "predict": lambda a: narrow().predict(a, verbose=0),
    "model": lambda a: narrow()(a),
    "classifier": lambda a: TinyNetClassifier(max_iter=1).fit(a, [0, 1]),
    "classifier's predict": lambda a: TinyNetClassifier(max_iter=1).fit(PLAIN, [0, 1]).predict(a),
}
SETTINGS: Rows = {
    **{
        f"{owner(what)}: {misspelled} for {meant}": (
            calling(what, **{name: misspelled}),
            ValueError,
            rf"(?i)did you mean '{meant}(_1)?'\? Known: .*'{meant}",
        )
        for what, name, misspelled, meant in NAMES
    },
    **{
        f"{owner(what)}: keyword {misspelled} for {meant}": (
            calling(what, **{misspelled: 1}),
            (TypeError, ValueError),
            rf"^{owner(what)} got an unexpected keyword argument; did you mean '{meant}'\? "
            f"Known: .*'{meant}'",
        )
        for what, misspelled, meant in KEYWORDS
    },
    **{
        f"{name}: keyword for {meant}": (
            call,
            (TypeError, ValueError),
            rf"^{name} got an unexpected keyword argument; did you mean '{meant}'\? Known: .*"
            f"'{meant}'",
        )
        for name, meant, call in (
            ("Sequential", "training", lambda model: model(X, train=True)),
            ("huber", "delta", lambda: losses.huber(HOT, HOT, dlta=1)),
            ("relu", "max_value", lambda: tinynet.activations.relu(X, max_valu=3)),
            (
                "TinyNetClassifier.fit",
                "sample_weight",
                lambda: TinyNetClassifier().fit(X, Y, sample_weigth=Y),
            ),
        )
    },
    "Dense of nothing": (layers.Dense, TypeError, r"^Dense\(\): missing .*argument: 'units'"),
    "fit of 40 arguments": (
        lambda model: model.fit(*range(40)),
        TypeError,
        r"^Sequential\.fit\(\): too many positional",
    ),
    **arguments(
        ValueError,
        [
            (layers.Dense, {"units": ["64", None]}),
            (layers.Dropout, {"rate": [1.1, -0.1, True, "0.5"]}),
            (layers.Input, {"shape": [(2.5,), ("3",)]}),
            (layers.Reshape, {"target_shape": [(2.5,)]}),
            (layers.BatchNormalization, {"momentum": [1.5], "epsilon": [-1]}),
            (regularizers.L2, {"l2": [-0.1]}),
            (regularizers.L1, {"l1": ["0.1"]}),
            (initializers.RandomNormal, {"stddev": [-1]}),
            (initializers.VarianceScaling, {"scale": [0]}),
            (losses.CategoricalCrossentropy, {"label_smoothing": [1.5]}),
            (losses.MeanSquaredError, {"reduction": ["avg"]}),
            (metrics.SparseTopKCategoricalAccuracy, {"k": [0]}),
            (tinynet.random.set_seed, {"seed": [-1]}),
            (tinynet.utils.set_random_seed, {"seed": [2**32]}),
            (config.set_num_threads, {"n": [0]}),
            (Sequential, {"name": [4]}),
        ],
    ),
    **arguments(
        TypeError,
        [
            (initializers.GlorotUniform, {"seed": [1.5]}),
            (metrics.BinaryAccuracy, {"threshold": ["0.5"]}),
            (tinynet.random.set_seed, {"seed": [1.5, True]}),
            (tinynet.utils.set_random_seed, {"seed": ["1"]}),
            (tinynet.utils.to_categorical, {"num_classes": [1.5]}),
            (config.set_num_threads, {"n": [HUGE]}),
            ("get_layer", {"index": [1.0]}),
            ("summary", {"line_length": ["80"]}),
            (Sequential, {"layers": [layers.Dense(3)]}),
        ],
    ),
    **{
        f"{setting} {value!r:.30}": (
            partial(getattr(config, f"set_{setting}"), value),
            error,
            f"^{name} must be.*Received: {name}=",
        )
        for setting, name, error, values in (
            ("backend", "name", ValueError, ["cuda", 3]),
            ("floatx", "value", ValueError, ["float16", "x" * 10**5]),
            ("epsilon", "value", TypeError, ["a", True]),
            ("epsilon", "value", ValueError, [0]),
            ("on_divergence", "action", ValueError, ["stop"]),
        )
        for value in values
    },
    **{
        f"labels {labels}": (partial(tinynet.utils.to_categorical, labels, n), IndexError, message)
        for labels, n, message in (
            ([-5], 3, r"in the range \[0, 3\).*Received: the label -5"),
            ([1, -1], None, "Received: the label -1"),
        )
    },
    **value_errors(
        {
            "x must contain integer class labels": lambda: tinynet.utils.to_categorical([0.5]),
            "num_classes must be.*Received: num_classes=None": lambda: tinynet.utils.to_categorical(
                []
            ),
            "x must contain real numbers.*missing": lambda: tinynet.utils.to_categorical(None, 3),
            "2 layers.*Received: index=9": lambda model: model.get_layer(index=9),
            "Layer or the result .*: layer=4": lambda: Sequential([layers.Dense(3), 4]),
            r"at least one layer.*Received: layers=\[\]": lambda: Sequential([]).predict(X),
            "real numbers .*for dense/kernel.*<U1": (
                lambda model: model.layers[0].kernel.assign("a")
            ),
            "real numbers .*for dense/kernel.*complex128": (
                lambda model: model.layers[0].kernel.assign(np.zeros((4, 5)) * 1j)
            ),
            "x must contain real numbers.*text.*column 0": lambda: layers.Dense(3)([["a"]]),
            "x must contain real numbers.*text.*row 0": lambda: tinynet.utils.normalize(["a"]),
        }
    ),
    **{
        f"masked entries: {name}": (
            partial(call, np.ma.masked_less(PLAIN, 0.3)),
            ValueError,
            "must not have masked entries.* Received: ",
        )
        for name, call in MASKED_CALLS.items()
    },
}

# ------------------------------------------------------------ explain, visualize, export, sklearn
BLOBS, KINDS = np.random.default_rng(0).normal(size=(12, 5)), np.arange(12) % 3
TAGS = (BLOBS[:, :4] > 0).astype(int)


def estimator(y: Any, *weights: Any, method: str = "fit", **settings: Any) -> Callable[[], Any]:
    """Return a call of an estimator's method; importing the module is slow, so it is lazy."""

    def call() -> None:
        module = importlib.import_module("tinynet.sklearn")
        kind = module.TinyNetRegressor if "loss" in settings else module.TinyNetClassifier
        getattr(kind(**settings), method)(BLOBS, y, *weights)

    return call


#: Invalid arguments of estimators, by message.
OF_SKLEARN: dict[str, Callable[..., Any]] = {
    "Received: solver='lbfgs'": estimator(KINDS, solver="lbfgs"),
    "0 and 1": estimator(2 * TAGS - 1),
    "one class label per sample": estimator(TAGS + np.arange(4)),
    "class_weight must be None": estimator(TAGS, class_weight="balanced"),
    "y must be non-negative": estimator(KINDS - 1, loss="poisson"),
    "loss must be one of": estimator(KINDS, loss=(8,)),
    "Negative": estimator(KINDS, -np.ones(12)),
    "non-zero|positive sum": estimator(KINDS, np.zeros(12)),
    "shape": estimator(KINDS, np.ones(11)),
    "classes must be passed on the first call": estimator(KINDS, method="partial_fit"),
    **{
        f"Received: {name}={value!r}": estimator(
            KINDS, None, range(3), method="partial_fit", **{name: value}
        )
        for name, value in (("early_stopping", True), ("class_weight", "balanced"))
    },
}
#: Invalid constructor arguments for `fit` and `partial_fit`, and a part of the message in addition
#: to the name and the value.
SETTINGS_OF_SKLEARN: dict[tuple[str, Any], str] = {
    ("solver", "addam"): "did you mean 'adam'",
    ("activation", "rleu"): "did you mean 'relu'",
    ("max_fun", 100): "max_fun must be 15000",
    ("beta_1", 1.0): "beta_1 must be less than 1",
    ("hidden_layer_sizes", (0,)): "Received: hidden_layer_sizes=0",
    **dict.fromkeys(
        [
            *(("learning_rate", "falling"), ("learning_rate_init", 0.0), ("max_iter", 0)),
            *(("batch_size", 0), ("alpha", -1.0), ("n_iter_no_change", 0), ("dropout", 2.0)),
            *(("momentum", 1.5), ("validation_fraction", 1.0), ("power_t", -1.0), ("tol", -1.0)),
            *(("verbose", -1), ("epsilon", 0.0)),
        ],
        "",
    ),
}
#: Invalid calls of the TensorFlow replacement.
TENSORS = np.float32([[1, -2, 3], [0.5, 4, -1]])
slices = tf.data.Dataset.from_tensor_slices
generated = tf.data.Dataset.from_generator
OF_TENSORFLOW: list[tuple[str, Callable[..., Any]]] = [
    (r"must have the shape \(3,\)", later(tf.Variable, [1.0, 2.0], shape=(3,))),
    (r"x must have the shape \(None, 2\)", later(tf.ensure_shape, TENSORS, [None, 2])),
    ("batch_dims must be", later(tf.gather, TENSORS, [0], batch_dims=2)),
    ("from 0 to 2", later(tf.math.confusion_matrix, [0, 3], [0, 1], num_classes=3)),
    ("the same number of rows", later(slices, 3.0)),
    ("the same number of rows", later(slices, (TENSORS, TENSORS[:1]))),
    ("batch_size must be", later(slices(TENSORS).batch, 0)),
    ("buffer_size must be", later(slices(TENSORS).shuffle, 0)),
    (r"shape \(2,\)", lambda: [*generated(lambda: TENSORS, tf.float32, output_shapes=(2,))]),
    (
        "infinite tf.data.Dataset",
        lambda model: model.fit(slices((FOUR[None], [[0, 1, 2]])).repeat()),
    ),
]
#: Arguments of invalid type for functions of the TensorFlow replacement.
TYPES_OF_TENSORFLOW: list[tuple[str, Callable[..., Any]]] = [
    ("must be a function that returns", later(generated, [1], tf.int32)),
    ("must describe the elements", later(generated, lambda: [1])),
    ("maxval must be", later(tf.random.uniform, (2,), dtype=tf.int32)),
]
#: Unsupported names of TensorFlow, and the message.
NOT_THERE = {
    "data.TFRecordDataset": "NumPy",
    "saved_model.save": r"model\.save\('name\.keras'\)",
    "compat.v1": "TensorFlow 1 is not supported",
    **dict.fromkeys(("signal", "linalg.svd", "nn.conv2d", "math.digamma"), "NumPy"),
}
RUNS = Repeats([4, 9], [{"loss": 1.0, "accuracy": 0.5}, {"loss": 4.0, "accuracy": 0.9}])
DATASETS = (BLOBS, KINDS), (BLOBS, KINDS)
OF_REPEATS: list[tuple[str, Callable[..., Any]]] = [
    ("did you mean 'accuracy'", later(RUNS.mean, "acuracy")),
    ("Known: 'loss', 'accuracy'", later(RUNS.mean, [HUGE, HUGE])),
    ("at least one run", later(Repeats, [], [])),
    ("at least one value", later(visualize.plot_runs, {"a": []})),
    ("seeds must be", later(tinynet.repeat, abs, DATASETS, seeds=0)),
    (r"seeds\[0\] must be", later(tinynet.repeat, abs, DATASETS, seeds=[-1])),
    ("data must be", later(tinynet.repeat, abs, (BLOBS, BLOBS))),
]
#: Invalid elements of weights, and the message.
WRONG_WEIGHTS: list[tuple[Any, str]] = [
    ("kernel", "one of the trainable weights, dense/kernel, dense/bias, .*Received: weight='ke"),
    ([HUGE, HUGE], r"trainable weights.*Received: weight=\[ndarray of shape \(400, 400\)"),
    (("dense/kernel", (4, 0)), r"shape \(4, 5\) of dense/kernel\. Received: index=\(4, 0\)"),
    (("dense/kernel", (0,)), r"Received: index=\(0,\)"),
]
IMAGES, PROBABILITIES = np.zeros((6, 4, 4)), np.full((6, 3), [0.5, 0.25, 0.25])
#: Invalid images, classes and probabilities, and the message.
OF_PREDICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"images": IMAGES[:3]}, "images of length 3, y_true of length 6, probabilities of length 6"),
    ({"images": np.zeros((6, 5))}, r"Received: shape \(6, 5\)"),
    ({"y_true": KINDS[:6] - 1}, "y_true must be non-negative integers"),
    ({"y_true": KINDS[:6] / 2}, "y_true must be non-negative integers"),
    ({"probabilities": KINDS[:6]}, r"probabilities must be of shape \(N, C\)"),
    (
        {"probabilities": PROBABILITIES * 9},
        r"softmax to logits\. Received: probabilities from 2.25 to 4.5",
    ),
    ({"class_names": ["a", "b"]}, r"at least 3 names\. Received: class_names=\['a', 'b'\]"),
    ({"class_names": [HUGE, HUGE]}, r"at least 3 names\. Received: class_names=\[ndarray"),
    ({"images": [], "y_true": [], "probabilities": []}, "at least 1. Received: images of length 0"),
]
UNBUILT = Sequential([layers.Dense(3)])
SEVERAL = tinynet.Model([ENTRY, layers.Input((2,))], [layers.Dense(2)(ENTRY)] * 2)
PLOTS_REFUSED: list[tuple[str, Callable[..., Any]]] = [
    *(
        ("verbose must be", lambda model, verbose=wrong: model.predict(X, verbose=verbose))
        for wrong in (-1, None, 0.5)
    ),
    ("at least one epoch", later(visualize.plot_history, callbacks.History())),
    ("figure must be None", later(visualize.plot_history, {"loss": [1.0]}, figure=1, ax=1)),
    ("images must be", lambda: visualize.plot_weights(models.classifier(shape=(5,)))),
    ("must be built and have a Dense layer", later(visualize.plot_weights, UNBUILT)),
    ("must be a single image", lambda model: visualize.plot_activations(model, X)),
    ("one input and one output", later(visualize.plot_activations, SEVERAL, X)),
]


def with_nan() -> Any:
    """Return a model whose loss is NaN."""
    model = models.classifier()
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    return model


class OwnStep(Sequential):
    """A model with a custom training step."""

    def train_step(self, data: Any) -> Any:
        """Call the training step of the base class."""
        return super().train_step(data)


def own_step() -> Any:
    """Return a model with a custom `train_step`."""
    model = OwnStep([layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def frozen() -> Any:
    """Return a model without trainable weights."""
    model = Sequential([layers.Input((4,)), layers.Softmax()])
    model.compile("sgd", "mse")
    return model


explain, export = tinynet.explain, tinynet.export_onnx
OF_EXPLAIN: list[tuple[str, Callable[..., Any]]] = [
    ("compile", later(explain.step, UNBUILT, X, Y)),
    ("compile", later(explain.check_gradients, UNBUILT, X, Y)),
    ("must have trainable weights", lambda: explain.step(frozen(), X, X)),
    ("override train_step", lambda: explain.step(own_step(), [[1.0]], [[1.0]])),
    ("finite for gradient checks", lambda: explain.check_gradients(with_nan(), X, Y)),
    ("before exporting it", lambda tmp_path: export(UNBUILT, tmp_path / "net.onnx")),
    ("format", lambda model, tmp_path: model.export(tmp_path / "a", format="tf_saved_model")),
]
exercises = tinynet.exercises
OF_EXERCISES: list[tuple[str, Callable[..., Any]]] = [
    ("did you mean 'softmax'", later(exercises.show, "sofmax")),
    ("from 1 to 14", later(exercises.hint, 15)),
    ("from 1 to 14", later(exercises.solution, 0)),
    ("from 1 to 14", later(exercises.check, 99, abs)),
]
EXTRAS: Rows = {
    **{f"an estimator: {said}": (call, ValueError, said) for said, call in OF_SKLEARN.items()},
    **{
        f"{method} of an estimator with {name}={value!r}": (
            estimator(KINDS, None, *known, method=method, **{name: value}),
            ValueError,
            said or f"Received: {name}={value!r}",
        )
        for (name, value), said in SETTINGS_OF_SKLEARN.items()
        for method, *known in (("fit",), ("partial_fit", range(3)))
    },
    **{
        f"an estimator with {name}='yes'": (
            estimator(KINDS, **{name: "yes"}),
            TypeError,
            f"{name} must be True or False",
        )
        for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping")
    },
    "weights of an estimator that is not fitted": (
        lambda: importlib.import_module("tinynet.sklearn").TinyNetClassifier().coefs_,
        AttributeError,
        "not fitted yet",
    ),
    **told("tf", OF_TENSORFLOW),
    **told("tf, types", TYPES_OF_TENSORFLOW, TypeError),
    "a variable of a misspelled option": (
        later(tf.Variable, 1.0, trainible=False),
        TypeError,
        "trainible",
    ),
    **{
        f"tf.{path}": (
            later(functools.reduce, getattr, path.split("."), tf),
            NotImplementedError,
            rf"tf\..* is not supported.*{hint}.*Received: tf\.",
        )
        for path, hint in NOT_THERE.items()
    },
    **{
        f"length of a dataset with {size} size": (
            later(len, dataset),
            TypeError,
            f"Received: an {size} size$",
        )
        for size, dataset in (
            ("infinite", slices(TENSORS).repeat()),
            ("unknown", slices(TENSORS).filter(lambda x: True)),
        )
    },
    **{
        f"plot_predictions: {message}, {number}": (
            later(
                visualize.plot_predictions,
                **{"images": IMAGES, "y_true": KINDS[:6], "probabilities": PROBABILITIES, **wrong},
            ),
            ValueError,
            message,
        )
        for number, (wrong, message) in enumerate(OF_PREDICTIONS)
    },
    **told("plots", PLOTS_REFUSED),
    **told("explain, export", OF_EXPLAIN),
    **told("repeats", OF_REPEATS),
    **told("exercises", OF_EXERCISES),
    "an exercise with an array as its answer": (
        later(exercises.check, 1, np.zeros(3)),
        TypeError,
        "without parentheses. Received: function=ndarray",
    ),
    **{
        f"explain.step: weight={weight!r:.40}": (
            # `apply=True` would update the weights of the model.
            partial(tinynet.explain.step, x=X, y=Y, weight=weight, apply=True),
            ValueError,
            message,
        )
        for weight, message in WRONG_WEIGHTS
    },
    "repeat without a model": (
        later(tinynet.repeat, None, DATASETS),
        TypeError,
        "Received: None",
    ),
}

SECTIONS = [
    *(LAYERS, LOSSES_METRICS_AND_OPTIMIZERS, OPTIMIZERS_AND_CALLBACKS, TRAINING, MODELS),
    *(FILES, OPERATIONS, DATA, SETTINGS, EXTRAS),
]
REFUSALS: Rows = {name: row for section in SECTIONS for name, row in section.items()}
