"""Everything that is refused: what is tried, the error, and what its message says.

What is tried is a function. It may take `model`, a compiled and trained `tests.models.classifier`
of which nothing may change, `unbuilt`, one that is not built and may not be, and `tmp_path`, an
empty folder. `test_refusals` tries every row.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse

import tinynet
from tests import models
from tinynet import (
    Sequential,
    callbacks,
    config,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    optimizers,
    regularizers,
)
from tinynet.compat import tensorflow as tf
from tinynet.optimizers import schedules
from tinynet.sklearn import TinyNetClassifier

Rows = dict[str, tuple[Callable[..., Any], type[Exception] | tuple[type[Exception], ...], str]]

# ------------------------------------------------------------ how rows are made
X, Y = models.data()
HOT = np.eye(3, dtype=np.float32)[Y]
ONES = np.ones(len(Y))
DATES = np.full(len(Y), "2020-01-01", "datetime64[D]")
HUGE = np.full((400, 400), 7.0)
BULK = [HUGE, HUGE.tolist(), "x" * 10**6, ["x" * 10**6] * 3, b"x" * 10**6]
WITH_LABELS = ["fit", "evaluate", "train_on_batch", "test_on_batch"]
#: What the methods of a model are called with, apart from what is wrong.
RIGHT: dict[str, dict[str, Any]] = {
    **{method: {"x": X, "y": Y} for method in WITH_LABELS},
    "predict": {"x": X},
    "compile": {"optimizer": "adam", "loss": "mse"},
}
#: What constructors and functions must be given, by name.
REQUIRED: dict[str, Any] = {
    "input_dim": 5, "output_dim": 2, "stddev": 0.5, "dims": (2, 1), "n": 2,
    "layer": layers.Dense(2), "x": [[1.0]], "y_pred": [[1.0]],
    "units": 3, "rate": 0.5, "target_shape": (2, 2), "scale": 2.0, "activation": "relu",
    "decay_steps": 10, "decay_rate": 0.5, "initial_learning_rate": 0.1, "boundaries": [1],
    "values": [0.1, 0.2], "schedule": lambda epoch: 0.1, "filepath": "x.keras",
    "backup_dir": "b", "filename": "f.csv", "monitor": "loss", "shape": (3,),
    "axes": 1, "function": abs,
    "learning_rate": 0.1, "recall": 0.5, "precision": 0.5, "specificity": 0.5, "sensitivity": 0.5,
}  # fmt: skip


def at(place: Any, value: Any, dtype: Any = float, array: Any = Y) -> Any:
    """Return the labels, or another array, with another value at a place."""
    array = array.astype(dtype)
    array[place] = value
    return array


def calling(what: Any, **wrong: Any) -> Callable[..., Any]:
    """Return a call of a model's method of this name, or of a constructor or function."""
    if isinstance(what, str):
        return lambda model: getattr(model, what)(**{**RIGHT.get(what, {}), **wrong})
    parameters = inspect.signature(what).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.name in REQUIRED]
    return lambda: what(**{**{name: REQUIRED[name] for name in needed}, **wrong})


def owner(what: Any) -> str:
    """Return how messages name what is called."""
    name = getattr(what, "__qualname__", type(what).__name__)
    return f"Sequential.{what}" if isinstance(what, str) else name


def arguments(
    error: Any, table: list[tuple[Any, dict[str, list[Any]]]], message: str | None = None
) -> Rows:
    """Return a row for each value that an argument can't have; the message names the argument."""
    return {
        f"{owner(what)} with {name}={value!r:.30}": (
            calling(what, **{name: value}),
            error,
            message or f"{name.removeprefix('weighted_').rstrip('s')}.*Received: ",
        )
        for what, wrong in table
        for name, values in wrong.items()
        for value in values
    }


def value_errors(calls: dict[str, Callable[..., Any]]) -> Rows:
    """Return a row for each call, named after its message."""
    return {message: (call, ValueError, message) for message, call in calls.items()}


# ------------------------------------------------------------ layers, initializers, regularizers
LAYERS: Rows = {
    "Dense of no units": (lambda: layers.Dense(0), ValueError, "units must be .*Received: "),
}

# ------------------------------------------------------------ losses and metrics
LOSSES_AND_METRICS: Rows = {}

# ------------------------------------------------------------ optimizers and callbacks
OPTIMIZERS_AND_CALLBACKS: Rows = {
    **arguments(
        ValueError,
        [
            (optimizers.Adam, {"learning_rate": ["0.1", -0.1, np.inf], "beta_1": [1.5]}),
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
            (callbacks.CSVLogger, {"separator": [""]}),
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
            "one value more than boundaries.*Received: 1 boundaries and 1 values": (
                lambda: schedules.PiecewiseConstantDecay([1], [0.1])
            ),
            "weights.h5.*Received: ": (
                lambda: callbacks.ModelCheckpoint("net.h5", save_weights_only=True)
            ),
            "learning_rate must be a number from 0 up.*Received: learning_rate='a'": (
                lambda model: setattr(model.optimizer, "learning_rate", "a")
            ),
            "learning_rate must be a number from 0 up.*Received: learning_rate=nan": (
                lambda model: setattr(model.optimizer, "learning_rate", np.nan)
            ),
            "use_ema=True .*Received: use_ema=False": (
                lambda model: model.fit(X, Y, callbacks=[callbacks.SwapEMAWeights()])
            ),
            "use_ema=True .*use_ema=False": (
                lambda model: model.evaluate(X, Y, callbacks=[callbacks.SwapEMAWeights()])
            ),
        }
    ),
}

# ------------------------------------------------------------ compile, fit, evaluate, predict
# What all methods that take data refuse: the argument that is wrong, its values, what is said.
WRONG_DATA: dict[str, dict[str, tuple[Any, str]]] = {
    "x": {
        "one shorter": (X[:-1], "same length.*x of 20, y of 21"),
        "missing": (None, "x=None"),
        "of another width": (X[:, :2], r"\(None, 4\).*Received: shape \(21, 2\)"),
        "with an axis too many": (X[:, None], r"Received: shape \(21, 1, 4\)"),
        "a number": (3.0, "batch axis"),
        "of strings": ([["a"] * 4] * 21, "x must be real numbers.*text.*<U1"),
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
        "two arrays": ([X, X], "one array.*one input.*2 arrays"),
        "of records": (np.zeros(21, "f4,f4"), "real numbers"),
        "not a number": (at((7, 2), np.nan, array=X), "finite.*1 of 84.*row 7: nan"),
        "infinite": (at((0, 0), np.inf, array=X), "finite.*row 0: inf"),
        "too large": (at((9, 3), 1, array=X) * 1e300, "finite"),
        "half NaN": (at((slice(None), [2, 3]), np.nan, array=X), "42 of 84.*row 0"),
    },
    "y": {
        "one shorter": (Y[:-1], "same length.*x of 21, y of 20"),
        "missing": (None, "y=None"),
        "a number": (1, "one row for each example"),
        "a dict": ({"a": Y}, r"key 'dense\w*'.*Received.*\['a'\]"),
        "masked": (np.ma.masked_equal(Y, 0), "y must not .*masked"),
        "a sparse matrix": (scipy.sparse.csr_array(HOT), r"y\.toarray\(\)"),
        "too large": (at(4, 3), "from 0 to 2.*3 outputs.*3.0 in row 4"),
        "far too large": (at(4, 2**62, int), "from 0 to 2.*row 4"),
        "of uint64": (at(4, 2**64 - 1, np.uint64), "from 0 to 2.*row 4"),
        "negative": (at(4, -1, int), "from 0 to 2.*Received: -1 in row 4"),
        "from 1": (Y + 1, "from 0 to 2.* and .* more"),
        "fractional": (at(4, 0.5), "whole numbers.*0.5 in row 4"),
        "not a number": (at(4, np.nan), "from 0 to 2.*whole.*nan in row 4"),
        "infinite": (at(4, np.inf), "from 0 to 2.*inf in row 4"),
        "huge": (at(4, 1e300), "from 0 to 2.*row 4"),
        "wrong in the last row": (at(-1, 9, int), "9 in row 20"),
        "one-hot": (HOT, "use categorical_crossentropy"),
        "one-hot with 2 classes": (HOT[:, :2], r"Received: shape \(21, 2\)"),
        "of strings": (["cat"] * 21, "y_?.*real numbers.*text"),
        "of numbers in strings": (Y.astype(str), "real numbers.*text"),
        "of objects": ([object()] * 21, "real numbers.*in row 0"),
        "with None": ([*Y[:-1], None], "missing.*in row 20"),
        "complex": (Y + 0j, "not complex"),
        "of dates": (DATES, "dates"),
        "ragged": ([[0], [1, 2]] + [[1]] * 19, "lists of equal lengths"),
    },
    "sample_weight": {
        "one shorter": (ONES[:-1], "sample_weight of 20"),
        "a dict": ({"a": Y}, r"sample_weight.*\['a'\]"),
        "masked": (np.ma.masked_equal(ONES, 1), "sample_weight must not .*masked"),
        "not a number": (at(3, np.nan), "sample_weight.*row 3: nan"),
        "infinite": (at(3, np.inf), "sample_weight.*row 3"),
        "of strings": (["a"] * 21, "sample_weight.*real numbers"),
        "a number": (2.0, "sample_weight of 1"),
        "of a wrong shape": (HOT, "sample_weight"),
    },
}
#: With these, `predict` answers with what it computes.
ANSWERED = {"one shorter", "not a number", "infinite", "too large", "half NaN"}
#: What a model that is not built can't know.
UNKNOWN = {"a dict", "of another width", "with an axis too many"}


def given(method: str, argument: str, value: Any) -> Callable[..., Any]:
    """Return a call of a method with wrong data."""
    if method == "call":
        return lambda model: model(value)
    if method == "fit before build":
        return lambda unbuilt: calling("fit", **{argument: value})(unbuilt)
    return calling(method, **{argument: value})


def methods(argument: str, name: str) -> list[str]:
    """Return the methods that refuse these data."""
    before_build = [] if name in UNKNOWN else ["fit before build"]
    without_labels = ["predict", "predict_on_batch", "call"]
    answered = argument != "x" or name in ANSWERED
    return [*WITH_LABELS, *before_build, *([] if answered else without_labels)]


def load_other(name: str) -> Callable[[Any, Any], Any]:
    """Return a call of `load_weights` with a file of another model, whole or damaged."""

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
            "compile.*Received: a model not compiled",
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
            ("get_layer", {"name": BULK}),
            ("compile", {"metrics": [[bulk] for bulk in BULK]}),
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
                    "dense/kernel takes real numbers.*<U1": ["a"] * 4,
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
            r"takes inputs of shape \(N, .*D = a fixed": lambda unbuilt: unbuilt.fit(X[0], Y[:4]),
            "needs a loss.*Received: loss=None": lambda: models.classifier(loss=None).fit(X, Y),
            "can't be combined": (
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
            "file is damaged": load_other("torn.tinynet"),
            "no such file.*missing.tinynet": (
                lambda model, tmp_path: model.load_weights(tmp_path / "missing.tinynet")
            ),
        }
    ),
}

# ------------------------------------------------------------ models and their files
MODELS_AND_FILES: Rows = {}

# ------------------------------------------------------------ operations, tape, variables, random
OPERATIONS: Rows = {}

# ------------------------------------------------------------ data, datasets and their files
DATA: Rows = {}

# ------------------------------------------------------------ config, utils, the command line
#: A misspelt name, of what it is one, and what was meant.
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
#: A misspelt keyword, of what it is one, and what was meant; constructors are in test_refusals.
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
    """Return a classifier for inputs of width 2."""
    return models.classifier(shape=(2,))


#: What takes arrays, and refuses masked entries.
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
        f"{owner(what)}: {misspelt} for {meant}": (
            calling(what, **{name: misspelt}),
            ValueError,
            rf"(?i)did you mean '{meant}(_1)?'\? Known: .*'{meant}",
        )
        for what, name, misspelt, meant in NAMES
    },
    **{
        f"{owner(what)}: keyword {misspelt} for {meant}": (
            calling(what, **{misspelt: 1}),
            (TypeError, ValueError),
            rf"^{owner(what)} takes no such keyword; did you mean '{meant}'\? Known: .*'{meant}'",
        )
        for what, misspelt, meant in KEYWORDS
    },
    **{
        f"{name}: keyword for {meant}": (
            call,
            (TypeError, ValueError),
            rf"^{name} takes no such keyword; did you mean '{meant}'\? Known: .*'{meant}'",
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
    "Dense of nothing": (lambda: layers.Dense(), TypeError, "^Dense: missing .*argument: 'units'"),
    "fit of 40 arguments": (
        lambda model: model.fit(*range(40)),
        TypeError,
        r"^Sequential\.fit: too many positional",
    ),
    **arguments(
        ValueError,
        [
            (layers.Dense, {"units": [2.5, "64", True, None, 0, -3]}),
            (layers.Dropout, {"rate": [1.1, -0.1, True, "0.5"]}),
            (layers.Input, {"shape": [(-1,), (2.5,), ("3",)]}),
            (layers.Reshape, {"target_shape": [(2.5,)]}),
            (layers.ReLU, {"max_value": [-1]}),
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
            (layers.Dense, {"use_bias": ["no"]}),
            (initializers.GlorotUniform, {"seed": [1.5]}),
            (losses.SparseCategoricalCrossentropy, {"ignore_class": [0.5]}),
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
            f"^{setting} must be.*Received: ",
        )
        for setting, error, values in (
            ("backend", ValueError, ["cuda", 3]),
            ("floatx", ValueError, ["float16", "x" * 10**5]),
            ("epsilon", TypeError, ["a", True]),
            ("epsilon", ValueError, [0]),
            ("on_divergence", ValueError, ["stop"]),
        )
        for value in values
    },
    **{
        f"labels {labels}": (partial(tinynet.utils.to_categorical, labels, n), IndexError, message)
        for labels, n, message in (
            ([-5], 3, "at least 0 and below num_classes=3.*Received: -5"),
            ([1, -1], None, "Received: -1"),
        )
    },
    **value_errors(
        {
            "Labels must be integers": lambda: tinynet.utils.to_categorical([0.5]),
            r"num_classes is needed.*Received: x=\[\]": lambda: tinynet.utils.to_categorical([]),
            "x must be real numbers.*missing": lambda: tinynet.utils.to_categorical(None, 3),
            "2 layers.*Received: index=9": lambda model: model.get_layer(index=9),
            "takes layers only.*Received: 4": lambda: Sequential([layers.Dense(3), 4]),
            r"has no layers.*Received: layers=\[\]": lambda: Sequential([]).predict(X),
            "dense/kernel takes real numbers.*<U1": (
                lambda model: model.layers[0].kernel.assign("a")
            ),
            "dense/kernel takes real numbers.*complex128": (
                lambda model: model.layers[0].kernel.assign(np.zeros((4, 5)) * 1j)
            ),
            "x must be real numbers.*text.*column 0": lambda: layers.Dense(3)([["a"]]),
            "x must be real numbers.*text.*row 0": lambda: tinynet.utils.normalize(["a"]),
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
EXTRAS: Rows = {}

SECTIONS = [
    *(LAYERS, LOSSES_AND_METRICS, OPTIMIZERS_AND_CALLBACKS, TRAINING, MODELS_AND_FILES),
    *(OPERATIONS, DATA, SETTINGS, EXTRAS),
]
REFUSALS: Rows = {name: row for section in SECTIONS for name, row in section.items()}
