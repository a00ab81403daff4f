"""Everything that is refused: what is tried, the error, and what its message says.

What is tried is a function. It may take `model`, a compiled and trained `tests.models.classifier`
of which nothing may change, and `tmp_path`, an empty folder. `test_refusals` tries every row.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import tinynet
from tinynet import (
    activations,
    callbacks,  # noqa: F401
    initializers,
    layers,
    losses,
    metrics,
    ops,
    optimizers,
)
from tinynet.program.variable import as_tensor

Rows = dict[str, tuple[Callable[..., Any], type[Exception] | tuple[type[Exception], ...], str]]

WRONG = (ValueError, TypeError)


def wrong_values(module: Any, values: dict[str, list[Any]], **given: dict[str, Any]) -> Rows:
    """Make rows of a class, an argument and values that it must not have, which the message says.

    `given` holds other arguments of a class.
    """
    rows: Rows = {}
    for name, wrong in values.items():
        kind, argument = name.split()
        for value in wrong:
            options = {**given.get(kind, {}), argument: value}
            tried = partial(getattr(module, kind), **options)
            rows[f"{kind}({argument}={value!r})"] = tried, WRONG, f"^{argument} must .*Received: "
    return rows


def said(messages: dict[str, list[Callable[..., Any]]], error: Any = WRONG) -> Rows:
    """Make rows of a message and of what is answered by it."""
    return {
        f"{message!r} {k}": (tried, error, f"(?=.*Received: ).*{message}")
        for message, each in messages.items()
        for k, tried in enumerate(each)
    }


def wrong_targets(loss: Callable[..., Any], *cases: tuple[Any, str]) -> Rows:
    """Make rows of targets that a loss does not take for two rows of three predictions."""
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


def built(layer: Any, width: int = 2) -> Any:
    """Build a layer for inputs of a width."""
    layer.build((None, width))
    return layer


def new(value: Any) -> Any:
    """Make a variable that no optimizer knows."""
    return tinynet.Variable(value)


def one_by_one(shape: Any, dtype: Any = None) -> Any:
    """Make weights of one shape whatever is asked for."""
    return np.zeros((1, 1))


# ------------------------------------------------------------ layers, activations, initializers
LAYERS: Rows = {
    **wrong_values(
        layers,
        {
            "Dense units": [0, -3, 2.5, "2", True],
            "Dense use_bias": ["no"],
            "Dense name": [3, "a/b"],
            "Dense dtype": ["int32"],
            "Dense input_shape": ["a"],
            "Dense input_dim": [0],
            "Flatten data_format": ["first"],
            "ReLU max_value": [-1],
            "ReLU negative_slope": [-1, None],
            "ReLU threshold": [-1],
            "Softmax axis": [1.5],
            "Input shape": [(-1,), "ab"],
            "Input batch_size": [0],
            "LayerNormalization axis": [1.5],
            "LayerNormalization center": [1],
            "Embedding input_dim": [0],
            "Embedding output_dim": [2.5],
            "PReLU shared_axes": [0],
            "ELU alpha": ["a"],
            "GaussianNoise stddev": [1.5],
            "GaussianNoise seed": ["a"],
            "GaussianDropout rate": [1.0],
            "Permute dims": [(0, 1), (1, 1)],
            "RepeatVector n": [0, "2"],
            "TimeDistributed layer": [3],
            "Lambda function": [3],
        },
        Dense={"units": 2},
        Input={"shape": (2,)},
        Embedding={"input_dim": 3, "output_dim": 2},
        GaussianNoise={"stddev": 0.1},
    ),
    **wrong_values(
        initializers,
        {
            "HeNormal seed": [-1, 1.5],
            "RandomNormal stddev": [-1.0],
            "VarianceScaling scale": [0.0],
            "VarianceScaling mode": ["fan"],
            "VarianceScaling distribution": ["gauss"],
        },
    ),
    **said(
        {
            "did you mean 'relu6'": [lambda: layers.Dense(2, activation="ReLU6")],
            "activation must be a name": [lambda: layers.Dense(2, activation=3)],
            "Unknown activation": [lambda: layers.Activation("nothing")],
            "a separate layer": [lambda: activations.get(layers.Dense(2))],
            "elu .*'x', 'alpha'": [lambda: activations.elu([1.0], beta=2)],
            "did you mean 'glorot_normal'": [
                lambda: initializers.get("glorot"),
                lambda: layers.Dense(2, kernel_initializer="glorot"),
            ],
            "initializer must be a name": [lambda: initializers.get(3)],
            "Unknown initializer": [lambda: initializers.get({"class_name": "No", "config": {}})],
            "needs 'class_name' and 'config'": [lambda: initializers.get({"config": {}})],
            r"shape \(2, 2\)": [lambda: built(layers.Dense(2, kernel_initializer=one_by_one))],
            "did you mean 'units'": [lambda: layers.Dense(2, unit=3)],
            "inputs of shape": [
                lambda: layers.Dense(2)(np.float32(3)),
                lambda: layers.Dense(2)(np.zeros(3)),
                lambda: layers.Dense(2)(layers.Input((None,))),
            ],
            r"D = 4 values": [lambda model: model.layers[0](np.zeros((1, 3)))],
            "either shape or batch_shape": [
                lambda: layers.Input(),
                lambda: layers.Input((2,), batch_shape=(1, 2)),
            ],
            "not an axis of the input": [lambda: layers.Softmax(axis=2)(SQUARE)],
            "must be among the axes of its input": [
                lambda: layers.LayerNormalization(axis=2)(SQUARE),
                lambda: layers.UnitNormalization(axis=[1, 2])(SQUARE),
                lambda: layers.Normalization(axis=3)(SQUARE),
                lambda: layers.PReLU(shared_axes=2)(SQUARE),
            ],
            "sizes .* on axis 0": [lambda: layers.LayerNormalization(axis=0)(SQUARE)],
            "mean and variance must both be given": [
                lambda: layers.Normalization(mean=3.0),
                lambda: layers.Normalization(mean=[3.0, 1.0], variance=[1.0]),
                lambda: layers.Normalization(axis=None, mean=[3.0], variance=[1.0]),
            ],
            "a given mean": [lambda: layers.Normalization(mean=3.0, variance=1.0).adapt(SQUARE)],
            "at least one example": [
                lambda: layers.Normalization().adapt([]),
                lambda: layers.Normalization().adapt(np.zeros((0, 3))),
            ],
            "data must be real numbers": [lambda: layers.Normalization().adapt(["ab", "cd"])],
            r"real numbers of shape \(3, 2\)": [lambda: layers.Embedding(3, 2, weights=SQUARE)],
            "integers from 0 to input_dim - 1 = 2": [
                lambda: layers.Embedding(3, 2)([[3]]),
                lambda: layers.Embedding(3, 2)([[-1]]),
            ],
            "Examples of p_re_lu.* must": [lambda: layers.PReLU()(layers.Input((None,)))],
            "must have 3 dimensions": [lambda: layers.Permute((2, 1))(SQUARE)],
            "must have 2 dimensions": [lambda: layers.RepeatVector(2)(np.zeros((2, 2, 2)))],
            "at least 3 dimensions": [lambda: layers.TimeDistributed(layers.Dense(2))(SQUARE)],
            "takes a list of 2 weights": [
                lambda model: model.layers[0].set_weights([]),
                lambda model: model.layers[0].set_weights([np.zeros((4, 5))]),
            ],
            "takes real numbers of shape": [
                lambda model: model.layers[0].set_weights([np.zeros((5, 4)), np.zeros(5)]),
                lambda model: model.layers[0].set_weights([np.zeros((4, 5)), np.zeros(6)]),
                lambda model: model.layers[0].set_weights([np.zeros((4, 5)), [*"abcde"]]),
            ],
            "before it is built": [lambda: layers.Dense(2).count_params()],
            "takes a list of": [lambda: layers.Add()(SQUARE)],
            "named function": [
                lambda tmp_path: tinynet.Sequential(
                    [layers.Input((2,)), layers.Lambda(lambda x: x * 2)]
                ).save(tmp_path / "net.keras"),
            ],
            "shape must be whole numbers": [lambda: layers.Layer().add_weight(shape=(None, 3))],
            "dtype must": [lambda: layers.Layer().add_weight((), dtype="float16")],
            "a float type": [lambda: layers.Layer().add_weight((), "uniform", dtype="int32")],
            "a scalar": [lambda: built(layers.Dense(1, kernel_regularizer=lambda w: w**2)).losses],
        },
    ),
    **said({"'kernel' before it is built": [lambda: layers.Dense(3).kernel]}, AttributeError),
    **said(
        {
            "does not support .*mask_zero": [lambda: layers.Embedding(3, 2, mask_zero=True)],
            "does not support .*lora_rank": [lambda: layers.Embedding(3, 2, lora_rank=2)],
            "does not support .*config": [lambda: layers.Embedding(3, 2, quantization_config="a")],
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
    **wrong_values(
        losses,
        {
            "SparseCategoricalCrossentropy reduction": ["average"],
            "SparseCategoricalCrossentropy from_logits": ["yes"],
            "SparseCategoricalCrossentropy ignore_class": [0.5],
            "BinaryFocalCrossentropy gamma": ["2"],
        },
    ),
    **wrong_values(
        metrics,
        {
            "BinaryAccuracy threshold": ["a"],
            "Recall top_k": [0],
            "Recall thresholds": [[], 1.5, ["a"]],
            "AUC num_thresholds": [1],
            "AUC curve": ["Roc"],
            "AUC summation_method": ["left"],
            "AUC thresholds": [[0.5, 2]],
            "AUC num_labels": [2],
            "SensitivityAtSpecificity specificity": [1.5],
            "RecallAtPrecision num_thresholds": [0],
            "F1Score average": ["mean"],
            "F1Score threshold": [0.0],
            "FBetaScore beta": [0.0],
            "R2Score class_aggregation": ["mean"],
            "R2Score num_regressors": [-1],
        },
        RecallAtPrecision={"precision": 0.5},
    ),
    **wrong_values(
        optimizers,
        {
            "Adam learning_rate": [1, "0.1", -0.1, float("nan")],
            "Adam beta_1": [1.5, 1.0, True],  # at 1 the first moment estimate would stay 0
            "Adam beta_2": [0.99999999],  # 1 in float32
            "Adam epsilon": [-1.0],
            "AdamW beta_2": [1],
            "AdamW weight_decay": [1e39],  # infinite in float32
            "Nadam beta_1": [np.float32(1)],
            "RMSprop rho": [1.0],
            "Adagrad initial_accumulator_value": [float("inf")],
            "Adamax beta_1": [1.0],
            "Adadelta rho": [1.5],
            "Ftrl learning_rate_power": [0.5],
            "Ftrl l1_regularization_strength": [-0.1],
            "Ftrl initial_accumulator_value": ["large"],
            "Lion beta_1": [0.0],
            "SGD clipnorm": [float("nan")],
        },
    ),
    **wrong_values(
        optimizers.schedules,
        {
            "CosineDecay alpha": [-1.0],
            "PolynomialDecay power": [-1.0],
            "ExponentialDecay initial_learning_rate": [-0.1],
            "PiecewiseConstantDecay boundaries": [[20, 10]],
        },
        CosineDecay={"initial_learning_rate": 0.1, "decay_steps": 10},
        PolynomialDecay={"initial_learning_rate": 0.1, "decay_steps": 10},
        ExponentialDecay={"decay_steps": 10, "decay_rate": 0.5},
        PiecewiseConstantDecay={"values": [1.0, 0.5, 0.1]},
    ),
    **wrong_targets(
        losses.SparseCategoricalCrossentropy,
        ([2, 3], "labels from 0 to 2"),
        ([2, -1], "labels from 0 to 2"),
        ([2, 0.5], "whole numbers"),
        ([2, np.nan], "whole numbers"),
        ([2, np.inf], "whole numbers"),
        (["a", "b"], "real numbers"),
        (np.eye(3)[:2], "categorical_crossentropy"),
        ([[1, 2]], "shape"),
        (1, "shape"),
    ),
    **wrong_targets(
        losses.CategoricalCrossentropy,
        (LABELS, "sparse_categorical_crossentropy, or .*one-hot"),
        ([[2], [0]], "use sparse_categorical_crossentropy"),
        ([[0, 1], [1, 0]], r"the predictions' shape \(2, 3\)"),
        ([[0, 1, 0], [1, np.inf, 0]], "finite true values.* in row 1"),
        ([["a", "b", "c"]] * 2, "real numbers"),
    ),
    **wrong_targets(
        losses.MeanSquaredError,
        (LABELS, "utils.to_categorical"),
        ([[0, 1, np.nan], [1, 0, 0]], "finite true values.* in row 0"),
    ),
    **wrong_targets(losses.BinaryCrossentropy, ([1, 0], "utils.to_categorical")),
    **wrong_targets(losses.CategoricalHinge, (LABELS, "utils.to_categorical")),
    **wrong_targets(losses.CategoricalFocalCrossentropy, (LABELS, "use sparse_categorical")),
    **said(
        {
            "Unknown loss": [lambda: losses.get("sparse")],
            "loss must be a name": [lambda: losses.get(3)],
            "loss must be the name": [lambda: losses.as_loss(None)],
            r"must fit values of shape \(2,\)": [
                lambda: losses.SparseCategoricalCrossentropy()(LABELS, GUESSES, [1, 2, 3]),
            ],
            "axis must be the last": [
                lambda: losses.sparse_categorical_crossentropy(LABELS, GUESSES, axis=0),
            ],
            "axis must be an axis of predictions": [
                lambda: losses.CosineSimilarity(axis=0)(GUESSES, GUESSES),
                lambda: losses.CosineSimilarity(axis=2)(GUESSES, GUESSES),
            ],
            "targets from 0 to 1": [
                lambda: losses.BinaryFocalCrossentropy()([[5.0]], [[0.5]]),
                lambda: metrics.BinaryCrossentropy()([[5.0]], [[0.5]]),
            ],
            "did you mean 'accuracy'": [
                lambda: metrics.get("acuracy"),
                lambda: metrics.check("acuracy"),
            ],
            "metric must be a name": [lambda: metrics.check(3)],
            r"true values of shape \(3": [
                lambda: metrics.SparseCategoricalAccuracy()([1, 2], EYE),
                lambda: metrics.CategoricalAccuracy()([1, 2, 2], EYE),
                lambda: metrics.R2Score()([0.0, 1.0, 2.0], EYE),
            ],
            "y_true must be real": [lambda: metrics.SparseCategoricalAccuracy()([*"aaa"], EYE)],
            "targets of 0 or 1": [
                lambda: metrics.Precision()([-1, 1], [0.2, 0.7]),  # -1 would count as a hit
                lambda: metrics.Recall()([[3], [1]], [[0.2], [0.7]]),
                lambda: metrics.AUC()([0, 1, 2], EYE),
                lambda: metrics.F1Score()([0, 1, 2], EYE),
            ],
            "class_id must be at most 2": [lambda: metrics.Recall(class_id=3)(EYE, EYE)],
            "top_k must be at most 3": [lambda: metrics.Recall(top_k=4)(EYE, EYE)],
            r"predictions of shape \(batch size, outputs\)": [
                lambda: metrics.AUC(multi_label=True)([0, 1], [0.5, 0.5]),
                lambda: metrics.F1Score()([0, 1], [0.5, 0.5]),
                lambda: metrics.R2Score()([0.0, 1.0], [0.5, 0.5]),
            ],
            r"predictions of shape \(batch size, 2\)": [
                lambda: metrics.AUC(multi_label=True, num_labels=2)(EYE, EYE),
                lambda: metrics.AUC(label_weights=[1, 2])(EYE, EYE),
            ],
            "learning_rate must be a number": [
                lambda model: setattr(model.optimizer, "learning_rate", True),
                lambda model: setattr(model.optimizer, "learning_rate", [0.1]),
                lambda model: setattr(model.optimizer, "learning_rate", -0.1),
            ],
            "Unknown optimizer; did you mean 'adam'": [lambda: optimizers.get("adamm")],
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
            "No gradients provided": [
                lambda model: model.optimizer.apply_gradients([(None, model.weights[0])]),
                lambda model: model.optimizer.apply_gradients([]),
            ],
            "built without": [
                lambda model: model.optimizer.apply_gradients([(SQUARE, new(SQUARE))]),
                lambda model: model.optimizer.apply(
                    [*model.get_weights(), None], [*model.weights, new(SQUARE)]
                ),
            ],
            "must have its shape": [
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
OPTIMIZERS_AND_CALLBACKS: Rows = {}

# ------------------------------------------------------------ compile, fit, evaluate, predict
TRAINING: Rows = {
    "labels one shorter": (
        lambda model: model.fit(np.ones((3, 4)), np.ones(2), verbose=0),
        ValueError,
        "same length.*Received: ",
    ),
}

# ------------------------------------------------------------ models and their files
MODELS_AND_FILES: Rows = {}

# ------------------------------------------------------------ operations, tape, variables, random
OPERATIONS: Rows = {
    **said(
        {
            "one term for each operand": [lambda: ops.einsum("ij,jk->ik", SQUARE)],
            r"must have shapes that fit: .*Received: shapes \(2, 3\)": [
                lambda: ops.add(np.ones((2, 3)), np.ones((2, 5))),
                lambda: ops.matmul(np.ones((2, 3)), np.ones((2, 5))),
                lambda: as_tensor(np.ones((2, 3))) - np.ones((2, 5)),
                lambda: layers.Input((3,), 2) + layers.Input((5,), 2),
            ],
            "ord must be": [
                lambda: ops.norm(SQUARE, ord=3),
                lambda: ops.norm(SQUARE, ord="nuc"),
                lambda: ops.norm(SQUARE, ord=2, axis=(0, 1)),
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
DATA: Rows = {}

# ------------------------------------------------------------ config, utils, the command line
SETTINGS: Rows = {}

# ------------------------------------------------------------ explain, visualize, export, sklearn
EXTRAS: Rows = {}

SECTIONS = [
    *(LAYERS, LOSSES_METRICS_AND_OPTIMIZERS, OPTIMIZERS_AND_CALLBACKS, TRAINING, MODELS_AND_FILES),
    *(OPERATIONS, DATA, SETTINGS, EXTRAS),
]
REFUSALS: Rows = {name: row for section in SECTIONS for name, row in section.items()}
