"""Everything that is refused: what is tried, the error, and what its message says.

What is tried is a function. It may take `model`, a compiled and trained `tests.models.classifier`
of which nothing may change, and `tmp_path`, an empty folder. `test_refusals` tries every row.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

import tinynet
from tinynet import (  # noqa: F401
    Sequential,
    callbacks,
    layers,
    losses,
    metrics,
    optimizers,
    random,
    visualize,
)
from tinynet.compat import tensorflow as tf
from tinynet.datasets import drawn_digits, frame_digit
from tinynet.repeats import Repeats

Rows = dict[str, tuple[Callable[..., Any], type[Exception] | tuple[type[Exception], ...], str]]

# ------------------------------------------------------------ layers, initializers, regularizers
LAYERS: Rows = {
    "Dense of no units": (lambda: layers.Dense(0), ValueError, "units must be .*Received: "),
}

# ------------------------------------------------------------ losses and metrics
LOSSES_AND_METRICS: Rows = {}

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
def later(function: Any, *args: Any, **options: Any) -> Callable[[], Any]:
    """Return a call that is made later."""
    return lambda: function(*args, **options)


def told(subject: str, rows: list[tuple[str, Callable[..., Any]]], error: Any = ValueError) -> Rows:
    """Return rows of what is said before what came, and what is tried."""
    return {
        f"{subject} {number}: {said}": (call, error, f"{said}.*Received: .")
        for number, (said, call) in enumerate(rows)
    }


DENSE, ENTRY, OWN = layers.Dense(3, name="a"), layers.Input((4,)), type("Own", (tinynet.Model,), {})
OF_MODELS: list[tuple[str, Callable[..., Any]]] = [
    ("takes one input, before all layers", later(Sequential, [ENTRY, ENTRY])),
    ("takes one input, before all layers", later(Sequential, [DENSE, ENTRY])),
    ("takes one input, before all layers", lambda model: model.add(ENTRY)),
    *(
        ("takes layers only", later(Sequential, [DENSE, wrong]))
        for wrong in ("dense", 3, layers.Dense)
    ),
    ("must have different names", later(Sequential, [DENSE, DENSE])),
    ("must have different names", lambda model: model.add(model.layers[0])),
    ("is not an axis", later(Sequential, [ENTRY, layers.Softmax(axis=5)])),
    ("is not an axis", lambda model: model.add(layers.Softmax(axis=4))),
    ("has no layers: add some", lambda: Sequential()([[0.0]])),
    ("has no layers: add some", lambda: Sequential().predict([[0.0]])),
    ("has no layers: add some", lambda: Sequential().build((None, 2))),
    (r"takes inputs of shape \(None, 4\)", lambda model: model.build((None, 5))),
    (r"takes inputs of shape \(None, 4\)", lambda model: model([[0.0] * 5])),
    ("did you mean 'dense", lambda model: model.get_layer("dens")),
    ("has 2 layers", lambda model: model.get_layer(index=2)),
    ("takes either a name or an index", lambda model: model.get_layer()),
    ("takes either a name or an index", lambda model: model.get_layer("dense", 0)),
    ("takes a list of 4 weights", lambda model: model.set_weights([])),
    ("/bias takes", lambda model: model.set_weights([*model.get_weights()[:3], np.zeros(7)])),
    ("takes a Sequential, or a Model", lambda: tinynet.models.clone_model(OWN())),
]
MODELS_AND_FILES: Rows = {
    **told("model", OF_MODELS),
    **told("models", [("must be a list of layers", later(Sequential, DENSE))], TypeError),
    "a data set without a length": (
        lambda: len(tinynet.utils.PyDataset()),
        NotImplementedError,
        "__len__",
    ),
    "a data set without batches": (
        lambda: tinynet.utils.Sequence()[0],  # its older name
        NotImplementedError,
        "__getitem__",
    ),
}

# ------------------------------------------------------------ operations, tape, variables, random
OPERATIONS: Rows = {}


# ------------------------------------------------------------ data, datasets and their files
def weighted(class_weight: Any) -> Callable[[Any], Any]:
    """Return a call of `fit` with weights of classes."""
    return lambda model: model.fit(np.ones((2, 4)), [0, 1], class_weight=class_weight, verbose=0)


def infinite(method: str) -> Callable[[Any], Any]:
    """Return a call of a method with a number that is infinite in float32."""
    x = np.where(np.arange(20).reshape(5, 4) == 13, 1e39, 1)
    return lambda model: getattr(model, method)(x, np.arange(5) % 3)


def with_names(method: str, *arguments: Any) -> Callable[[], Any]:
    """Return a call of a model whose input and output have names, or of its method."""

    def call() -> None:
        model = Sequential([layers.Input((4,), name="feats"), layers.Dense(2, name="out")])
        model.compile("sgd", "mse")
        getattr(model, method)(*arguments)

    return call


FOUR, TWO = np.ones((3, 4)), np.ones((3, 2))
#: What `with_names` refuses of x and y.
MISNAMED: dict[str, tuple[Any, Any]] = {
    r"x must .*'feats'.*Received.*\['images'\]": ({"images": FOUR}, TWO),
    r"y must .*'out'.*Received.*\['output'\]": (FOUR, {"output": TWO}),
    r"y must .*'out'.*Received.*\['out', 'b'\]": (FOUR, {"out": TWO, "b": TWO}),
    "one input.*2 arrays": ([FOUR, FOUR], TWO),
    "one output.*2 arrays": (FOUR, [TWO, TWO]),
}
#: What is wrong with an image, by what is said of it.
NO_DIGITS: dict[str, Any] = {
    r"stands out.* Received: 0\.0%": np.zeros((28, 28)),
    r"Received: 0\.0%": np.full((50, 40, 3), 255, np.uint8),
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
    ("^shape must be an integer of at least 0", later(random.normal, (-1, 2))),
    ("^shape must be an integer of at least 0", later(random.normal, (None, 2))),
    ("^seed must be an integer", later(random.normal, (2,), seed="a")),
    ("^seed must be an integer", later(random.SeedGenerator, "a")),
    ("^dtype must be a float type", later(random.normal, (2,), dtype="int32")),
    ("^dtype must be a float type", later(random.uniform, (2,), dtype="int32")),
    ("^dtype must be an integer type", later(random.randint, (2,), 0, 5, dtype="float32")),
    ("^maxval must be above minval", later(random.randint, (2,), 5, 5)),
    ("^logits must have the shape", later(random.categorical, [1.0, 2.0], 3)),
    ("^rate must be a number from 0 to 1", later(random.dropout, [1.0], 1.5)),
    ("^noise_shape must have the inputs' 2", later(random.dropout, [[1.0]], 0.5, (1,))),
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
        "iterable must return batches",
    ),
    **{
        f"{method} of a number beyond float32": (
            infinite(method),
            ValueError,
            "1 of 20 not finite, the first in row 3: inf",
        )
        for method in ("fit", "evaluate", "train_on_batch")
    },
    **{
        f"drawn_digits of {name}={value!r}": (
            later(drawn_digits.load_data, **{name: value}),
            ValueError if value == -1 else TypeError,
            f"{name} must be an integer.*Received: {name}=.",
        )
        for name in ("n_train", "n_test", "seed")
        for value in (-1, True, 1.0, "1", None, [1])
    },
    **{
        f"a digit: {said}": (later(frame_digit, image), ValueError, said)
        for said, image in NO_DIGITS.items()
    },
    **told("random", OF_RANDOM),
}

# ------------------------------------------------------------ config, utils, the command line
SETTINGS: Rows = {}

# ------------------------------------------------------------ explain, visualize, export, sklearn
BLOBS, KINDS = np.random.default_rng(0).normal(size=(12, 5)), np.arange(12) % 3
TAGS = (BLOBS[:, :4] > 0).astype(int)


def estimator(y: Any, *weights: Any, method: str = "fit", **settings: Any) -> Callable[[], Any]:
    """Return a call of a method of an estimator, whose module takes long to import."""

    def call() -> None:
        module = importlib.import_module("tinynet.sklearn")
        kind = module.TinyNetRegressor if "loss" in settings else module.TinyNetClassifier
        getattr(kind(**settings), method)(BLOBS, y, *weights)

    return call


#: What estimators refuse, by what is said.
OF_SKLEARN: dict[str, Callable[..., Any]] = {
    "Received: solver='lbfgs'": estimator(KINDS, solver="lbfgs"),
    "0 and 1": estimator(2 * TAGS - 1),
    "one label for each sample": estimator(TAGS + np.arange(4)),
    "class_weight must be None": estimator(TAGS, class_weight="balanced"),
    "y must be at least 0": estimator(KINDS - 1, loss="poisson"),
    "loss must be one of": estimator(KINDS, loss=(8,)),
    "Negative": estimator(KINDS, -np.ones(12)),
    "non-zero": estimator(KINDS, np.zeros(12)),
    "shape": estimator(KINDS, np.ones(11)),
    "classes must be passed on the first call": estimator(KINDS, method="partial_fit"),
    **{
        f"Received: {name}={value!r}": estimator(
            KINDS, None, range(3), method="partial_fit", **{name: value}
        )
        for name, value in (("early_stopping", True), ("class_weight", "balanced"))
    },
}
#: Settings that both methods refuse, and what is said but for the name and the value.
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
#: What the stand-in of TensorFlow refuses.
TENSORS = np.float32([[1, -2, 3], [0.5, 4, -1]])
slices = tf.data.Dataset.from_tensor_slices
generated = tf.data.Dataset.from_generator
OF_TENSORFLOW: list[tuple[str, Callable[..., Any]]] = [
    (r"must have the shape \(3,\)", later(tf.Variable, [1.0, 2.0], shape=(3,))),
    (r"x must have the shape \(None, 2\)", later(tf.ensure_shape, TENSORS, [None, 2])),
    ("batch_dims must be", later(tf.gather, TENSORS, [0], batch_dims=2)),
    ("from 0 to 2", later(tf.math.confusion_matrix, [0, 3], [0, 1], num_classes=3)),
    ("one row for each element", later(slices, 3.0)),
    ("one row for each element", later(slices, (TENSORS, TENSORS[:1]))),
    ("batch_size must be", later(slices(TENSORS).batch, 0)),
    ("buffer_size must be", later(slices(TENSORS).shuffle, 0)),
    (r"shape \(2,\)", lambda: [*generated(lambda: TENSORS, tf.float32, output_shapes=(2,))]),
    ("number of steps must", lambda model: model.fit(slices((FOUR[None], [[0, 1, 2]])).repeat())),
]
#: What it refuses because of a type.
TYPES_OF_TENSORFLOW: list[tuple[str, Callable[..., Any]]] = [
    ("must be a function that returns", later(generated, [1], tf.int32)),
    ("must describe the elements", later(generated, lambda: [1])),
    ("maxval must be", later(tf.random.uniform, (2,), dtype=tf.int32)),
]
#: What TensorFlow has and the stand-in has not, and what is said of it.
NOT_THERE = {
    "data.TFRecordDataset": "NumPy",
    "saved_model.save": r"model\.save\('name\.keras'\)",
    "compat.v1": "no TensorFlow 1",
    **dict.fromkeys(("signal", "linalg.svd", "nn.conv2d", "math.digamma"), "NumPy"),
}
RUNS = Repeats([4, 9], [{"loss": 1.0, "accuracy": 0.5}, {"loss": 4.0, "accuracy": 0.9}])
DATASETS = (BLOBS, KINDS), (BLOBS, KINDS)
OF_REPEATS: list[tuple[str, Callable[..., Any]]] = [
    ("did you mean 'accuracy'", later(RUNS.mean, "acuracy")),
    ("at least one run", later(Repeats, [], [])),
    ("at least one run", later(visualize.plot_runs, {"a": []})),
    ("seeds must be", later(tinynet.repeat, abs, DATASETS, seeds=0)),
    ("a seed must be", later(tinynet.repeat, abs, DATASETS, seeds=[-1])),
    ("data must be", later(tinynet.repeat, abs, (BLOBS, BLOBS))),
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
    "a variable of a misspelt option": (
        later(tf.Variable, 1.0, trainible=False),
        TypeError,
        "trainible",
    ),
    **{
        f"tf.{path}": (
            later(functools.reduce, getattr, path.split("."), tf),
            NotImplementedError,
            rf"no tf\..*{hint}.*Received: tf\.",
        )
        for path, hint in NOT_THERE.items()
    },
    **{
        f"length of a data set that is {size}": (
            later(len, dataset),
            TypeError,
            f"Received: a size that is {size}$",
        )
        for size, dataset in (
            ("infinite", slices(TENSORS).repeat()),
            ("unknown", slices(TENSORS).filter(lambda x: True)),
        )
    },
    **told("repeats", OF_REPEATS),
    "repeat without a model": (
        later(tinynet.repeat, None, DATASETS),
        TypeError,
        "Received: None",
    ),
}

SECTIONS = [
    *(LAYERS, LOSSES_AND_METRICS, OPTIMIZERS_AND_CALLBACKS, TRAINING, MODELS_AND_FILES),
    *(OPERATIONS, DATA, SETTINGS, EXTRAS),
]
REFUSALS: Rows = {name: row for section in SECTIONS for name, row in section.items()}
