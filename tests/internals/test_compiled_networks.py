"""Layers, losses, optimizers and metrics that are compiled; a fallback to Python fails a test."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinynet as keras
from tests import RandomNumbers, models
from tests.internals import on_both, train_rows
from tinynet import Sequential, config, layers, losses, metrics, ops, optimizers

N = 22
Build = Callable[[], Any]


RNG = RandomNumbers(5)
X = RNG.random((N, 6), np.float32)
LABELS = RNG.integers(0, 3, N)
ONE_HOT = np.eye(3, dtype=np.float32)[LABELS]


def of_rows(*own: Build, shape: Any = (6,)) -> Any:
    """Return the hidden part of a network as a sequence of layers."""
    x = y = keras.Input(shape)
    for layer in own:
        y = layer()(y)
    return x, y


def of_two(layer: Any, shape: Any = (6,)) -> Any:
    """Return the hidden part of a network with a layer of two inputs."""
    x = keras.Input(shape)
    return x, layer([layers.Dense(5, "relu")(x), layers.Dense(5)(x)])


def of_tokens(*own: Build) -> Any:
    return of_rows(lambda: layers.Embedding(4, 3), *own)


def of_function(function: Callable[[Any], Any]) -> Any:
    return of_rows(lambda: layers.Dense(6), lambda: layers.Lambda(function), shape=SEQUENCE)


def normalization() -> Any:
    layer = layers.Normalization()
    layer.adapt(np.random.default_rng(0).random((9, 6)))
    return layer


SEQUENCE = (4, 6)
# Layers and functions of tensors, by name.
LAYERS: dict[str, Build] = {
    "Activation": lambda: of_rows(lambda: layers.Activation("gelu")),
    "ActivityRegularization": lambda: of_rows(lambda: layers.ActivityRegularization(0.1, 0.1)),
    "BatchNormalization of another axis": lambda: of_rows(
        lambda: layers.BatchNormalization(axis=1), shape=SEQUENCE
    ),
    "Concatenate of sequences": lambda: of_two(layers.Concatenate(axis=1), SEQUENCE),
    "Dense": lambda: of_rows(lambda: layers.Dense(7, use_bias=False), shape=SEQUENCE),
    "Dot": lambda: of_two(layers.Dot(1, normalize=True)),
    "Dot of sequences": lambda: of_two(layers.Dot((2, 2)), SEQUENCE),
    "Dropout": lambda: of_rows(lambda: layers.Dropout(0.4)),
    "Dropout with noise_shape": lambda: of_rows(
        lambda: layers.Dropout(0.4, noise_shape=(None, 1, 6)), shape=SEQUENCE
    ),
    "Embedding": of_tokens,
    "Embedding with a penalty": lambda: of_rows(
        lambda: layers.Embedding(4, 3, embeddings_regularizer="l2")
    ),
    "Flatten": lambda: of_rows(layers.Flatten, shape=SEQUENCE),
    "GaussianDropout": lambda: of_rows(lambda: layers.GaussianDropout(0.3)),
    "GaussianNoise": lambda: of_rows(lambda: layers.GaussianNoise(0.3)),
    "InputLayer": of_rows,
    "Lambda": lambda: of_function(lambda x: x * 2),
    "LayerNormalization of another axis": lambda: of_rows(
        lambda: layers.LayerNormalization(axis=1), shape=SEQUENCE
    ),
    "Normalization": lambda: of_rows(normalization),
    "Permute": lambda: of_rows(lambda: layers.Permute((2, 1)), shape=SEQUENCE),
    "ReLU": lambda: of_rows(lambda: layers.ReLU(6.0, 0.1, 0.5)),
    "RepeatVector": lambda: of_rows(lambda: layers.Dense(4), lambda: layers.RepeatVector(3)),
    "Rescaling": lambda: of_rows(lambda: layers.Rescaling(2.0, 1.0)),
    "Reshape": lambda: of_rows(lambda: layers.Reshape((3, 2))),
    "TimeDistributed": lambda: of_rows(
        lambda: layers.TimeDistributed(layers.Dense(3)), shape=SEQUENCE
    ),
    **{
        layer.__name__: lambda layer=layer: of_rows(layer)
        for layer in (
            *(layers.BatchNormalization, layers.ELU, layers.LayerNormalization, layers.LeakyReLU),
            *(layers.PReLU, layers.Softmax, layers.UnitNormalization),
        )
    },
    **{
        layer.__name__: lambda layer=layer: of_two(layer())
        for layer in (
            *(layers.Add, layers.Average, layers.Concatenate, layers.Maximum, layers.Minimum),
            *(layers.Multiply, layers.Subtract),
        )
    },
    # Functions of tensors.
    "a slice": lambda: of_function(lambda x: x[:, 1:, ::-2]),
    "last step": lambda: of_function(lambda x: x[:, -1, None]),
    "halves": lambda: of_function(lambda x: ops.concatenate(ops.split(x, 2, axis=-1), axis=1)),
    "stack": lambda: of_function(lambda x: ops.stack([x, ops.exp(x)], axis=1)),
    "swapaxes": lambda: of_function(lambda x: ops.swapaxes(x, 1, 2)),
    "flip": lambda: of_function(lambda x: ops.flip(x, axis=1)),
    "repeat": lambda: of_function(lambda x: ops.repeat(x, 3, axis=2)),
    "broadcast": lambda: of_function(lambda x: x * x[:, :1] + x[..., -1:]),
    "append ones": lambda: of_function(lambda x: ops.concatenate([x, ops.ones_like(x)], axis=-1)),
    "mean of steps": lambda: of_function(lambda x: ops.mean(x, axis=1)),
    "over maximum": lambda: of_function(lambda x: x / ops.max(x, axis=(1, 2), keepdims=True)),
    "variance of steps": lambda: of_function(lambda x: ops.var(x, axis=1, keepdims=True) * x),
    "mean of tokens": lambda: of_tokens(lambda: layers.Lambda(lambda x: ops.mean(x, axis=1))),
    "matmul": lambda: of_function(lambda x: ops.matmul(x, np.ones((6, 2), np.float32))),
}
# Operations of these layers that are executed in Python.
BY_PYTHON = {
    "Dot of sequences": {"matmul", "matmul_backward"},
    "GaussianDropout": {"normal"},
    "GaussianNoise": {"normal"},
}


def of(cls: type, module: Any) -> set[str]:
    """Return the names of a module's classes."""
    return {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, cls)
        and value is not cls
        and not name.startswith("_")
    }


def test_every_layer_is_listed() -> None:
    assert of(layers.Layer, layers) <= {*LAYERS}


def needs_nothing(cls: type) -> bool:
    """Return whether a class can be constructed without arguments."""
    parameters = inspect.signature(cls).parameters.values()
    return all(p.default is not p.empty or p.kind is p.VAR_KEYWORD for p in parameters)


def classifier(build: Build, optimizer: Any = "sgd") -> Any:
    x, y = build()
    y = layers.Dense(3, "softmax")(layers.Flatten()(y))
    model = keras.Model(x, y)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def net(*own: Any, optimizer: Any = "sgd", loss: Any = "mse", **options: Any) -> Any:
    """Build and compile a model with six inputs."""
    model = Sequential([keras.Input((6,)), *own])
    model.compile(optimizer, loss, **options)
    return model


def both(build: Build, x: Any, y: Any, **options: Any) -> tuple[Any, list[list[Any]]]:
    """Train with both backends; return the last model and everything that training changes."""
    made = []

    def run() -> list[Any]:
        model = build()
        made.append(model)
        given = {"epochs": 2, "batch_size": 8, "verbose": 0, **options}
        history = model.fit(x, y, **given).history
        states = [np.ravel(v.array) for v in (*model.weights, *model.optimizer.variables)]
        return [*history.values(), *states, model.predict(x, verbose=0).ravel()]

    found = on_both(run)
    return made[-1], found


def assert_close(
    actual: list[Any], expected: list[Any], rtol: float = 1e-4, atol: float = 1e-5
) -> None:
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def inputs(name: str, shape: Any) -> Any:
    x = RNG.standard_normal((N, *shape)).astype(np.float32)
    return RNG.integers(0, 4, x.shape) if "Embedding" in name or "tokens" in name else x


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_compiled(name: str) -> None:
    x = inputs(name, LAYERS[name]()[0].shape[1:])
    model, found = both(lambda: classifier(LAYERS[name]), x, LABELS)
    assert {*train_rows(model).by_python} == BY_PYTHON.get(name, set())
    assert_close(*found)


OPTIMIZERS = sorted(of(optimizers.Optimizer, optimizers))
OPTIONS: dict[str, dict[str, Any]] = {
    "": {},
    "accumulation": {"gradient_accumulation_steps": 2},
    "accumulation and clipping": {"gradient_accumulation_steps": 3, "clipnorm": 0.1},
    "accumulation and averages": {
        "gradient_accumulation_steps": 2, "use_ema": True, "ema_overwrite_frequency": 2
    },
    "clipnorm": {"clipnorm": 0.1},
    "global_clipnorm": {"global_clipnorm": 0.1},
    "clipvalue": {"clipvalue": 0.01},
}  # fmt: skip


# Combinations for the fast tests: they differ in how sums of squares or scalars of the step are
# computed.
EVERY_DAY = {("Adam", name) for name in OPTIONS} | {
    (name, "accumulation") for name in ("Nadam", "RMSprop", "Adagrad")
}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(*pair, marks=[] if pair in EVERY_DAY else pytest.mark.wide)
        for pair in itertools.product(OPTIMIZERS, OPTIONS)
    ],
)
def test_optimizers_are_compiled(name: str, options: str) -> None:
    """In sums of squared gradients, each use of an embedding row is squared separately."""

    def build() -> Any:
        x = keras.Input((3,))
        y = layers.Dense(4, "relu")(layers.Flatten()(layers.Embedding(4, 2)(x)))
        y = layers.Dense(3, "softmax", bias_constraint="non_neg")(y)
        model = keras.Model(x, y)
        optimizer = getattr(optimizers, name)(0.05, **OPTIONS[options])
        model.compile(optimizer, "sparse_categorical_crossentropy")
        return model

    x = RNG.integers(0, 4, (N, 3))
    model, found = both(build, x, LABELS, epochs=3, shuffle=False)
    assert not train_rows(model).by_python
    assert_close(*found, rtol=1e-3, atol=1e-4)


LOSSES = sorted(
    name
    for name in of(losses.Loss, losses)
    if needs_nothing(getattr(losses, name)) and not name.startswith(("Sparse", "DenseLoss"))
)


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", pytest.param("sum", marks=pytest.mark.wide)]
)
@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_compiled(name: str, reduction: str) -> None:
    def build() -> Any:
        loss = getattr(losses, name)(reduction=reduction)
        return net(layers.Dense(4, "tanh"), layers.Dense(3, "sigmoid"), loss=loss)

    model, found = both(build, X, ONE_HOT, sample_weight=RNG.random(N))
    assert not train_rows(model).by_python
    assert_close(*found, rtol=1e-3, atol=1e-4)


# Metrics that Python computes from the results of each step.
OTHERS = {
    "AUC", "F1Score", "FBetaScore", "FalseNegatives", "FalsePositives", "Precision", "R2Score",
    "Recall", "SparseTopKCategoricalAccuracy", "TopKCategoricalAccuracy", "TrueNegatives",
    "TruePositives",
}  # fmt: skip
METRICS = sorted(
    name
    for name in of(metrics.Metric, metrics) - {"LossMetric", "Mean", "Sum"}
    if needs_nothing(getattr(metrics, name))
)


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_compiled(name: str) -> None:
    is_sparse = name.startswith("Sparse")
    loss = "sparse_categorical_crossentropy" if is_sparse else "mse"
    model = net(layers.Dense(3, "softmax"), loss=loss, metrics=[getattr(metrics, name)()])
    model.fit(X, LABELS if is_sparse else ONE_HOT, batch_size=8, verbose=0)
    assert train_rows(model).has_others is (name in OTHERS)


@pytest.mark.parametrize("weighted", [False, True])
def test_several_inputs_and_outputs_are_compiled(weighted: bool) -> None:
    model = models.mixed(keras)
    weights = {"cls": RNG.random(N), "reg": RNG.random(N)} if weighted else None
    x, y = models.data_for(model, N), models.targets_for_mixed(N)
    model.fit(x, y, sample_weight=weights, batch_size=8, verbose=0)
    assert not train_rows(model).by_python


@pytest.mark.parametrize("wrong", [-1, 4, 1000])
def test_embedding_index_out_of_range(wrong: int) -> None:
    x = RNG.integers(0, 4, (N, 3))
    bad = x.copy()
    bad[17, 1] = wrong  # in the third of five steps
    message = rf"range \[0, input_dim\), where input_dim=4\. Received: {wrong}"

    def run() -> Any:
        model = Sequential([layers.Embedding(4, 2), layers.Flatten(), layers.Dense(3, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, LABELS, verbose=0)
        model.predict(x, verbose=0)  # caches the program for batches of this shape
        before = models.bits(model)
        for use in (
            lambda: model.train_on_batch(bad, LABELS),
            lambda: model.predict(bad, verbose=0),
            lambda: model(bad),
            lambda: model.evaluate(bad, LABELS, verbose=0),
        ):
            with pytest.raises(ValueError, match=message):
                use()
        assert models.bits(model) == before
        with pytest.raises(ValueError, match=message):
            model.fit(bad, LABELS, batch_size=8, shuffle=False, verbose=0)
        assert int(model.optimizer.iterations) == 1 + 2, "the previous steps are applied"
        return model.get_weights()

    assert_close(*on_both(run), atol=1e-6)


@pytest.mark.parametrize("name", ["Concatenate of sequences", "Embedding", "Permute", "repeat"])
def test_threads_and_fusion_are_bit_identical(name: str) -> None:
    x = inputs(name, classifier(LAYERS[name]).input_shape[1:])
    x, y, found = np.tile(x, (20, *[1] * (x.ndim - 1))), RNG.integers(0, 3, 20 * N), []
    for threads, batch in ((1, False), (2, False), (3, False), (1, True)):
        config.set_num_threads(threads)
        keras.random.set_seed(1)
        model = classifier(LAYERS[name], optimizers.Adam(gradient_accumulation_steps=2))
        if batch:
            for k in range(0, len(x), 110):
                model.train_on_batch(x[k : k + 110], y[k : k + 110])
        else:
            model.fit(x, y, batch_size=110, shuffle=False, verbose=0)
        found.append(models.bits(model))
    assert found[0] == found[1] == found[2] == found[3]


# Functions of integers and masks of shape (N, 3, 4).
INTEGERS: dict[str, Callable[[Any], Any]] = {
    "sum of masks": lambda x: (x > 0) + (x < 1),
    "products of masks": lambda x: (x > 0) * (x < 1) + (x > 1) * (x < 2),
    "a mask and True": lambda x: ops.add(x > 0, True),
    "masks in numbers": lambda x: (x > 0) * 2.5 + ops.cast(x > 1, "float32"),
    "logic": lambda x: ~(x > 0) | ops.logical_xor(x > 1, x < 2) & ops.isnan(x / 0 * 0),
    "flipped and repeated masks": lambda x: (
        ops.flip(x > 0, axis=1) + (x < 1) + ops.repeat(x > 1, 1, axis=1)
    ),
    "where of masks": lambda x: ops.where(x > 0, x > 1, x < -1) + (x < 1),
    "the largest mask": lambda x: (
        ops.max(x > 0, -1) + ops.min(x < 1, -1) + ops.ones_like(x[..., 0] > 0)
    ),
    "chosen by numbers": lambda x: ops.where(x, x > 1, x < -1) + ops.where(x, True, x > 0),
    "sums of copies": lambda x: ops.sum(ops.copy(x), axis=-1),
    "concatenated masks": lambda x: ops.concatenate([x > 0, x < 1], axis=1)[:, 1:4] + (x > 0),
    "logic of numbers": lambda x: ops.logical_and(x, x - 1),
    "counts": lambda x: ops.sum(x > 0, axis=1),
    "any": lambda x: ops.any(x > 1, axis=1) | ops.all(x > 0, axis=1),
    "argmax": lambda x: ops.argmax(x, -1) + 1,
    "half of argmax": lambda x: ops.argmax(x, -1) / 2,
    "remainders": lambda x: ops.cast(x * 3, "int32") % 2,
    "floors": lambda x: ops.cast(x * 3, "int32") // 2,
    "powers": lambda x: -(ops.abs(ops.cast(x * 3, "int32")) ** 2),
    "eight bits": lambda x: ops.cast(ops.abs(x) * 60, "uint8") + ops.cast(x * 0 + 5, "uint8"),
    "more than 24 bits": lambda x: (ops.cast(x, "int32") * 10**7 + 7) % 10,
    "large remainders": lambda x: ops.cast(x, "int64") % 1000,
    "large comparisons": lambda x: ops.cast(x, "int64") == ops.cast(x, "int64") + 1,
    "branches": lambda x: ops.where(x > 0, ops.cast(x * 3, "int32"), 0),
    "means": lambda x: ops.mean(ops.cast(x * 3, "int32"), axis=-1),
    "maxima": lambda x: ops.max(ops.cast(x * 3, "int32"), axis=-1) - ops.min(x, axis=-1),
    "mixed": lambda x: ops.cast(x * 3, "int64") * x,
    "an array": lambda x: x * np.array([1, 0, 2, 3]) - np.array([[1], [2], [0]]),
    "an axis of NumPy": lambda x: ops.mean(x, axis=np.int64(-1)),
    "equal": lambda x: ops.cast(x * 3, "int32") == ops.cast(x * 3 + 1, "int32"),
    "rows": lambda x: ops.softmax(x) + ops.logsumexp(x, axis=-1, keepdims=True),
    "columns": lambda x: ops.softmax(x, axis=1) + layers.Dot(axes=2)([x, x])[..., :1],
    "standardized": lambda x: layers.Normalization(mean=[1, 2, 3, 4], variance=[4, 3, 2, 1])(x),
    "double": lambda x: ops.cast(x, "float64") * 2,
    "half": lambda x: ops.cast(x, "float16") * 2,
}


@pytest.mark.each_value
@pytest.mark.parametrize("dtype", ["float32", "int32", "int64", "bool", "uint8", "float64"])
@pytest.mark.parametrize("name", INTEGERS)
def test_integer_and_dtype_rules_match_numpy(name: str, dtype: str) -> None:
    """The inputs include integers that float32 cannot represent exactly."""
    data = np.random.default_rng(0).normal(0, 1.5, (5, 3, 4)).astype(dtype)
    if dtype == "int64" and "large" in name:
        data = data * 10**9 + 7
    x = keras.Input((3, 4), dtype=dtype)
    y = INTEGERS[name](x)
    for model in (keras.Model(x, y), keras.Model(x, ops.cast(y, "float32") * 2)):
        with np.errstate(all="ignore"):
            found = on_both(lambda model=model: model.predict(data, verbose=0))
        assert found[0].dtype == found[1].dtype
        np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-5)


# Square shapes, where an operand's axis cannot be inferred from its size.
SQUARES: list[tuple[int, ...]] = [(3, 3), (1, 3), (3, 1), (3,), (1, 1), (1,), ()]


@pytest.mark.each_value
@pytest.mark.parametrize("of_rows", [False, True])
@pytest.mark.parametrize("shape", SQUARES)
def test_square_shapes_broadcast_like_numpy(shape: Any, of_rows: bool) -> None:
    rng = np.random.default_rng(0)
    given = [(3, 3), (1, 3), (3, 1), (3,)]
    xs = [keras.Input(s) for s in given]
    data = [rng.random((5, *s)).astype(np.float32) for s in given]
    w, square = (keras.Variable(rng.random(s).astype(np.float32)) for s in (shape, (3, 3)))
    axis = -1 if of_rows else -2
    both = ops.expand_dims(square, 0) * w
    for shared in (True, False):
        total = ops.sum(square * w, axis=axis, keepdims=shared)
        each = [total * both, ops.abs(square / total) + w, total + w]
        for x in xs[:3]:
            sums = ops.sum(x * w, axis=axis, keepdims=True) - total
            each += [x * w, x + total, sums * x, x * w - xs[0], sums * w]
        each += [ops.expand_dims(xs[3], axis) * xs[0], ops.expand_dims(xs[3], axis) - w]
        model = keras.Model(xs, [y + xs[0] for y in each])
        found = on_both(lambda model=model: model.predict(data, verbose=0))
        assert_close(*found, rtol=1e-5)


@pytest.mark.each_value
@pytest.mark.parametrize("axis", [0, 1, [0, 1]])
@pytest.mark.parametrize("units", [6, 4])  # 6 units make a square kernel
@pytest.mark.parametrize("name", ["MaxNorm", "UnitNorm", "MinMaxNorm", "NonNeg"])
def test_constraints_are_compiled(name: str, units: int, axis: Any) -> None:
    limit = getattr(keras.constraints, name)(**({} if name == "NonNeg" else {"axis": axis}))

    def run() -> Any:
        model = net(layers.Dense(units, kernel_constraint=limit))
        model.fit(X, np.ones((N, units)), epochs=2, batch_size=8, verbose=0)
        return model.get_weights()

    assert_close(*on_both(run), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [4, 5])
@pytest.mark.parametrize("units", [1, 4])
def test_fixed_batch_with_weights_matches_numpy(units: int, n: int) -> None:
    """Models with noise layers are compiled for a fixed batch size, here the number of units."""

    def build() -> Any:
        own = layers.GaussianNoise(0.1, seed=1), layers.Dense(units, "sigmoid")
        return net(*own, loss="binary_crossentropy", weighted_metrics=["accuracy", "mae"])

    y = RNG.integers(0, 2, (n, units))
    assert_close(*both(build, X[:n], y, batch_size=4, sample_weight=RNG.random(n))[1])


def test_labels_with_square_predictions() -> None:
    def build() -> Any:
        own = layers.GaussianNoise(0.1, seed=1), layers.Dense(4, "softmax")
        return net(*own, loss="sparse_categorical_crossentropy", metrics=["accuracy"])

    model, found = both(build, X[:4], [3, 0, 1, 3], sample_weight=RNG.random(4))
    assert {*train_rows(model).by_python} == {"normal"}
    assert_close(*found)


class Halved(keras.constraints.MaxNorm):
    def __call__(self, w: Any) -> Any:
        return w * 0.5


class Shrunk(keras.constraints.Constraint):
    """Shrink the weights by 10 % in the first call, 20 % in the second, ..."""

    def __init__(self) -> None:
        self.times = 0

    def project(self, w: Any) -> Any:
        self.times += 1
        return w * (1 - self.times / 10)


class Absolute(keras.regularizers.L2):
    def __call__(self, x: Any) -> Any:
        return ops.sum(ops.abs(x))


class BySign(optimizers.Adam):
    def update(self, numbers: Any, w: Any, d_w: Any, *slots: Any) -> None:
        w -= 0.1 * np.sign(d_w)


USERS: dict[str, dict[str, Any]] = {
    "a subclass of a constraint": {"kernel_constraint": Halved},
    "a constraint with a state": {"kernel_constraint": Shrunk},
    "a function as a constraint": {"kernel_constraint": lambda: lambda w: w * 0.5},
    "a subclass of a regularizer": {"kernel_regularizer": Absolute},
    "a subclass of an optimizer": {},
}


@pytest.mark.parametrize("name", USERS)
def test_overridden_methods_are_called(name: str) -> None:
    def build() -> Any:
        options = {key: make() for key, make in USERS[name].items()}
        return net(layers.Dense(3, **options), optimizer="sgd" if options else BySign())

    model, found = both(build, X, ONE_HOT)
    assert train_rows(model).by_python
    assert_close(*found)


def test_empty_batches_return_empty_outputs() -> None:
    model, x = net(layers.Dense(3, "softmax")), np.zeros((0, 6), np.float32)
    for outputs in (model.predict(x), model.predict_on_batch(x), np.asarray(model(x))):
        assert (outputs.shape, outputs.dtype) == ((0, 3), np.float32)


def test_means_over_many_sizes_are_compiled() -> None:
    """Each mean divides by the batch size times a layer width, which is a scalar of the step."""
    x = keras.Input((6,))
    means = [ops.mean(layers.Dense(k + 1)(x)) * x[:, :1] for k in range(70)]
    model = keras.Model(x, ops.concatenate(means))
    assert_close(*on_both(lambda: model.predict(X[:9], batch_size=4, verbose=0)))


# Functions that reorder, repeat or combine the N examples of an input of shape (N, 3).
BATCHES: dict[str, Callable[[Any], Any]] = {
    "flip": lambda x: ops.flip(x, axis=0),
    "a negative step": lambda x: x[::-1, ::-1] + x,
    "both ways": lambda x: ops.transpose(ops.softmax(ops.transpose(x))),
    "twice": lambda x: ops.reshape(ops.repeat(x, 2, axis=0), (-1, 6)),
    "stack": lambda x: ops.sum(ops.stack([x, x * 2], axis=0), axis=0),
    "the first": lambda x: x - x[:1] * x[0],
    "all as a row": lambda x: x + ops.sum(ops.cast(ops.reshape(x, (-1,)), "float32")) / 50,
    "repeated batch": lambda x: x - ops.mean(ops.cast(ops.repeat(x, 3, axis=0), "float32")),
    "repeated": lambda x: x + ops.mean(ops.repeat(x, 2)) + ops.mean(ops.repeat(x, [1, 0, 2], 1)),
    "pairs": lambda x: ops.max(ops.expand_dims(x, 0) - ops.expand_dims(x, 1), axis=0),
}


@pytest.mark.parametrize("n", [3, 5, 8])
@pytest.mark.parametrize("name", BATCHES)
def test_moving_examples_matches_numpy(name: str, n: int) -> None:
    def build() -> Any:
        x = keras.Input((6,))
        y = BATCHES[name](layers.Dense(3, "tanh")(x))
        model = keras.Model(x, layers.Dense(3, "softmax")(y))
        model.compile("sgd", "sparse_categorical_crossentropy")
        return model

    assert_close(*both(build, X[:n], np.arange(n) % 3, batch_size=3)[1])


CHANGES: dict[str, Callable[[Any], Any]] = {
    "momentum": lambda model: setattr(model.optimizer, "momentum", 0.9),
    "clipnorm": lambda model: setattr(model.optimizer, "clipnorm", 0.01),
    "penalty": lambda model: setattr(model.layers[0].kernel_regularizer, "l2", 1.0),
    "constraint": lambda model: setattr(model.layers[0].kernel, "constraint", Shrunk()),
    "reduction": lambda model: setattr(model.loss, "reduction", "sum"),
    "threshold": lambda model: setattr(model.metrics[1], "threshold", 0.9),
    "frozen": lambda model: setattr(model.layers[0], "trainable", False),
}


@pytest.mark.parametrize("when", ["on_epoch_begin", "on_train_batch_end"])
@pytest.mark.parametrize("name", CHANGES)
def test_callback_changed_options_take_effect(name: str, when: str) -> None:
    def build() -> Any:
        options: dict[str, Any] = {"kernel_regularizer": keras.regularizers.L2(0.1)}
        options["kernel_constraint"] = keras.constraints.NonNeg()
        own = layers.Dense(4, "tanh", **options), layers.Dense(1, "sigmoid")
        more: dict[str, Any] = {"use_ema": True, "gradient_accumulation_steps": 3}
        optimizer = optimizers.SGD(0.1, momentum=0.5, **more)
        loss, accuracy = losses.MeanSquaredError(), metrics.BinaryAccuracy()
        return net(*own, optimizer=optimizer, loss=loss, metrics=[accuracy])

    def change(number: int, _: Any) -> None:
        if number == 1:
            CHANGES[name](callback.model)

    callback: Any = keras.callbacks.LambdaCallback(**{when: change})
    assert_close(*both(build, X, LABELS % 2, epochs=3, callbacks=[callback])[1])


@pytest.mark.parametrize("kind", [list, np.array])
def test_callback_changed_option_lists_take_effect(kind: Any) -> None:
    def build() -> Any:
        model = net(layers.Dense(2, "softmax"), loss=losses.CategoricalFocalCrossentropy())
        model.loss.alpha = kind([0.25, 0.75])
        return model

    def change(number: int, _: Any) -> None:
        callback.model.loss.alpha[number % 2] = 4.0

    callback: Any = keras.callbacks.LambdaCallback(on_epoch_begin=change)
    assert_close(*both(build, X, np.eye(2)[LABELS % 2], epochs=3, callbacks=[callback])[1])


class Raising(layers.Layer):
    def forward(self, x: Any, work: Any, training: bool) -> Any:
        return x

    def backward(self, d_y: Any, work: Any, needs_input: bool) -> Any:
        raise RuntimeError("in backward")


class RaisingMetric(metrics.Mean):
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        raise RuntimeError("in update_state")


@pytest.mark.parametrize("learns", [False, True])
def test_step_errors_leave_same_state(learns: bool) -> None:
    """Metrics are updated after the weights, as in Keras."""

    def run() -> Any:
        own = [layers.Dense(1), *([] if learns else [Raising()])]
        model = net(*own, metrics=[RaisingMetric()] if learns else [])
        before = model.get_weights()
        with pytest.raises(RuntimeError, match="in update_state" if learns else "in backward"):
            model.fit(X, LABELS, verbose=0)
        assert np.array_equal(before[0], model.get_weights()[0]) != learns
        return [*model.get_weights(), model.metrics[0].count, float(model.metrics[0].result())]

    assert_close(*on_both(run), rtol=1e-5, atol=0)


@pytest.mark.parametrize("call", ["fit", "evaluate", "predict"])
def test_replaced_weights_with_wrong_shape(call: str) -> None:
    def run() -> str:
        model = net(layers.Dense(1, name="one"))
        arguments = [X, LABELS][: 1 if call == "predict" else 2]
        getattr(model, call)(*arguments, verbose=0)
        model.layers[0].kernel.array = np.ones((6, 2), np.float32)
        with pytest.raises(ValueError, match=r"shape \(6, 1\)\. Received: shape \(6, 2\)") as error:
            getattr(model, call)(*arguments, verbose=0)
        return str(error.value)

    messages = on_both(run)
    assert messages[0] == messages[1]


class FailingOnce(optimizers.schedules.LearningRateSchedule):
    def __init__(self, error: type[BaseException]) -> None:
        self.errors = [error("no learning rate")]

    def __call__(self, step: Any) -> Any:
        if step == 3 and self.errors:
            raise self.errors.pop()
        return 0.1


@pytest.mark.parametrize("error", [RuntimeError, OSError, KeyboardInterrupt])
def test_schedule_error_keeps_earlier_steps(error: type[BaseException]) -> None:
    def run() -> Any:
        model = net(layers.Dense(1), optimizer=optimizers.SGD(FailingOnce(error)))
        with pytest.raises(error, match="no learning rate"):
            model.fit(X, LABELS, batch_size=4, shuffle=False, verbose=0)
        assert int(model.optimizer.iterations) == 3
        return model.get_weights()[:1]

    assert_close(*on_both(run), rtol=1e-5, atol=0)


def test_ftrl_with_zero_learning_rate_diverges() -> None:
    def run() -> None:
        model = net(layers.Dense(1), optimizer=optimizers.Ftrl(0.0))
        with pytest.raises(FloatingPointError, match="learning rate of 0"):
            model.fit(X, LABELS, batch_size=8, verbose=0)

    on_both(run)


class Single(layers.Layer):
    """A layer that uses individual elements of its weights."""

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(3,), initializer="glorot_uniform", name="w")
        self.v = self.add_weight(shape=(), initializer="ones", name="v")

    def call(self, x: Any) -> Any:
        joined = ops.stack([self.v, self.w[1], self.w[-1] * 2.0, self.v])
        total = ops.sum(self.v, axis=-1) + ops.logsumexp(self.v, axis=-1)  # scalars, as in NumPy
        return x * joined[0] + ops.sum(joined * ops.stack([self.v] * 4)) * self.w[0] + total


def test_scalar_elements_of_weights() -> None:
    assert_close(*both(lambda: net(Single(), layers.Dense(2)), X, X[:, :2])[1])


class Averaged(layers.Layer):
    """A layer with a weight whose elements have equal gradients, and a mask without a gradient."""

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(17, 3), initializer="ones", name="w")
        self.mask = self.add_weight(shape=(17, 3), initializer="ones", name="mask")

    def call(self, x: Any) -> Any:
        return x * ops.mean(ops.where(self.mask, self.w, 0.0)) * ops.mean(self.w)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_constant_weight_gradients(optimizer: str) -> None:
    def build() -> Any:
        return net(Averaged(), layers.Dense(2), optimizer=optimizer)

    assert_close(*both(build, X, X[:, :2])[1])
