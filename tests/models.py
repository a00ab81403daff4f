"""Models for tests with Keras or tinynet, and data for them.

`classifier` is a sequence of layers; `GRAPHS` maps names to functions that build functional models
with branches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinynet

ROWS, WIDTH, CLASSES = 21, 4, 3


def classifier(
    *between: Any,
    k: Any = tinynet,
    shape: tuple[int, ...] | None = (WIDTH,),
    units: int = 5,
    classes: int = CLASSES,
    end: Any = "softmax",
    seed: int | None = 5,
    optimizer: Any = "adam",
    loss: Any = "sparse_categorical_crossentropy",
    **options: Any,
) -> Any:
    """Build and compile ``Dense(units, relu) -> between -> Dense(classes, end)``.

    Without a `shape`, the model is not built. `options` are passed to `compile`.
    """
    if seed is not None:
        k.utils.set_random_seed(seed)
    start = [] if shape is None else [k.Input(shape)]
    hidden, output = k.layers.Dense(units, "relu"), k.layers.Dense(classes, end)
    model = k.Sequential([*start, hidden, *between, output])
    model.compile(optimizer, loss, **options)
    return model


def data(rows: int = ROWS, width: int = WIDTH, classes: int = CLASSES, seed: int = 3) -> Any:
    """Return random inputs and integer labels."""
    rng = np.random.default_rng(seed)
    return rng.random((rows, width), np.float32), rng.integers(0, classes, rows)


def bits(model: Any) -> list[bytes]:
    """Return the weights and the optimizer variables as bytes."""
    slots = [] if model.optimizer is None else model.optimizer.variables
    return [np.asarray(v).tobytes() for v in (*model.weights, *slots)]


def wide(library: Any) -> Any:
    """Build a model with two inputs, a shared layer and operations."""
    ops = library.ops
    a, b = library.Input((3,), name="a"), library.Input((3,), name="b")
    dense = library.layers.Dense(4, name="shared")
    z = ops.concatenate([dense(a), dense(b)], axis=1)[:, :3] * 2.0 + ops.exp(a) - b
    z = ops.squeeze(ops.mean(ops.reshape(z, (-1, 3, 1)), axis=-1, keepdims=True), -1)
    z = ops.relu(z) + 1 - ops.clip(z, -1, 1)
    return library.Model([a, b], ops.where(z > 0, z, 0.0))


def residual(library: Any) -> Any:
    """Build a model with skip connections, by operators and by an Add layer."""
    layers = library.layers
    x = library.Input((6,))
    h = layers.LayerNormalization()(layers.Dense(6, "relu")(x) + x)
    return library.Model(x, layers.Dense(2)(layers.Add()([h, x * 0.5])))


def siamese(library: Any) -> Any:
    """Build a model that applies a nested model twice, with a dict of inputs."""
    layers, ops = library.layers, library.ops
    a, b = library.Input((4,), name="l"), library.Input((4,), name="r")
    dense = [layers.Dense(5, "tanh"), layers.BatchNormalization(), layers.Dense(3)]
    base = library.Sequential([library.Input((4,)), *dense])
    squares = ops.sum(ops.square(base(a) - base(b)), axis=1, keepdims=True)
    return library.Model({"left": a, "right": b}, ops.sqrt(squares + 1e-6))


def two_outputs(library: Any) -> Any:
    """Build a model with a shared trunk, a dict of outputs, and an unused input."""
    dense = library.layers.Dense
    x, unused = library.Input((4,)), library.Input((2,), name="unused")
    trunk = dense(5, "relu", name="trunk")(x)
    outputs = {"cls": dense(3, "softmax", name="cls")(trunk), "reg": dense(1, name="reg")(trunk)}
    return library.Model([unused, x], outputs)


def nested(library: Any) -> Any:
    """Build a model of nested models with several inputs and outputs."""
    dense = library.layers.Dense
    x = library.Input((4,))
    inner = library.Model(x, [dense(3, name="i1")(x), dense(2, name="i2")(x)], name="inner")
    a, b = library.Input((4,)), library.Input((4,))
    (p, q), (r, s) = inner(a), inner(b)
    outer = library.Model([a, b], [library.ops.concatenate([p, s], -1), r, q], name="outer")
    y = library.Input((4,))
    return library.Model(y, outer([y, y * 2.0]))


def repeated(library: Any) -> Any:
    """Build a model that applies a layer again to a function of its output."""
    x = library.Input((4,))
    first = library.layers.Dense(4, name="first")
    return library.Model(x, first(library.layers.Dense(4, "relu", name="other")(first(x))))


def pieces(library: Any) -> Any:
    """Build a model with indexing, padding, reductions and activations as operations."""
    ops = library.ops
    x = library.Input((4, 3))
    y = x[:, 0] + x[:, -1, :] + x[:, 1:, 0] + x[:, 1:4, 2]
    y = ops.expand_dims(ops.max(ops.stack([y, -y], axis=1), axis=1), 1)
    y = ops.pad(ops.cast(y > 0.3, "float32") + y, [[0, 0], [1, 0], [0, 0]], constant_values=2.0)
    y = ops.take(y, np.array([0, 1]), axis=1) + ops.log(ops.abs(y) + 1) * np.float32([1, 2, 3])
    outputs = [ops.softmax(y), ops.gelu(y), ops.norm(y, axis=-1), ops.argmax(y, axis=-1)]
    capped = library.activations.relu(y, max_value=1.5)
    return library.Model(x, [*outputs, ops.leaky_relu(y, 0.1), capped, ops.tile(y, (1, 2, 1))])


def mixed(library: Any) -> Any:
    """Build a model with dropout, batch normalization, and two outputs with a loss for each."""
    layers = library.layers
    a, b = library.Input((4,), name="a"), library.Input((4,), name="b")
    trunk = layers.Dense(6, "relu", name="trunk")
    h = layers.BatchNormalization()(layers.Dropout(0.3)(trunk(a)) + trunk(b))
    classes = layers.Dense(3, "softmax", name="cls")(h)
    number = layers.Dense(1, name="reg")(library.ops.concatenate([h, a], -1))
    model = library.Model([a, b], [classes, number], name="mixed")
    model.compile(
        library.optimizers.Adam(0.01),
        {"cls": "sparse_categorical_crossentropy", "reg": library.losses.Huber()},
        loss_weights={"cls": 1.0, "reg": 0.3},
        metrics={"cls": ["accuracy"], "reg": [library.metrics.MeanAbsoluteError(name="err")]},
    )
    return model


def experts(library: Any) -> Any:
    """Build a mixture of experts with two einsum operations, one of them with an ellipsis."""
    dense, ops = library.layers.Dense, library.ops
    x = library.Input((4,))
    each = ops.stack([dense(3, "relu")(x) for _ in range(2)], axis=1)
    mixed = ops.einsum("bn,bnd->bd", dense(2, "softmax")(x), each)
    return library.Model(x, ops.einsum("...i,...j->...ij", mixed, mixed))


GRAPHS: dict[str, Callable[[Any], Any]] = {
    make.__name__: make
    for make in (wide, residual, siamese, two_outputs, nested, repeated, pieces, mixed, experts)
}


def data_for(model: Any, rows: int = 32) -> Any:
    """Return random inputs."""
    rng = np.random.default_rng(0)

    def array(shape: Any) -> Any:
        return rng.normal(size=(rows, *shape[1:])).astype(np.float32)

    shapes = model.input_shape
    if isinstance(shapes, dict):
        return {name: array(shape) for name, shape in shapes.items()}
    return [*map(array, shapes)] if isinstance(shapes, list) else array(shapes)


def targets_for_mixed(rows: int = 32) -> Any:
    """Return targets for `mixed`."""
    rng = np.random.default_rng(1)
    number = rng.normal(size=(rows, 1)).astype(np.float32)
    return {"cls": rng.integers(0, 3, rows), "reg": number}
