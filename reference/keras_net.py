"""The 784-128-10 network in Keras, with functions for single forward passes, steps and epochs.

Arguments and results are NumPy arrays, so that they can be compared with tinynet. All computations
are done by Keras: the loss is the compiled loss, gradients are computed by TensorFlow, and a step
is a training step of Keras.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from reference.weights import Arrays, get_optimizer_state, get_weights, set_weights

if keras.backend.backend() != "tensorflow":
    raise RuntimeError(
        "the Keras backend must be TensorFlow; import reference before keras, or set "
        f"KERAS_BACKEND=tensorflow. Received: the backend {keras.backend.backend()!r}"
    )


class Step(NamedTuple):
    """State after a training step, and loss of the batch before the update."""

    loss: float
    weights: Arrays
    optimizer_state: Arrays


def versions() -> dict[str, str]:
    """Return the versions of all packages, and the settings that affect rounding."""
    return {
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "tensorflow": tf.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "onednn": os.environ["TF_ENABLE_ONEDNN_OPTS"],
        "threads": os.environ["TF_NUM_INTRAOP_THREADS"],
    }


def describe_versions() -> str:
    """Return the versions as a line of text."""
    names = versions()
    return (
        f"Keras {names['keras']} on {names['backend']} {names['tensorflow']}, "
        f"NumPy {names['numpy']}, Python {names['python']}"
    )


def build_model(
    weights: Sequence[npt.ArrayLike] | None = None,
    *,
    hidden: int = 128,
    sizes: Sequence[int] | None = None,
    optimizer: str | keras.Optimizer = "adam",
    loss: str | keras.Loss = "sparse_categorical_crossentropy",
    metrics: Sequence[Any] = ("accuracy",),
    **compile_options: Any,
) -> keras.Sequential:
    """Build and compile a network of dense layers, with relu and a final softmax.

    By default, it is the network for images, (28, 28) -> Flatten -> `hidden` -> 10. With `sizes`,
    for example ``(12, 7, 5, 3)``, it has ``sizes[0]`` input features, and a dense layer for each
    other size. `weights` replace the random initialization. The optimizer is built, so that its
    state can be read before the first step. Other options are passed to ``compile``.
    """
    if sizes is None:
        layers = [keras.Input((28, 28)), keras.layers.Flatten()]
        units = [hidden, 10]
    else:
        layers = [keras.Input((sizes[0],))]
        units = list(sizes[1:])
    layers += [keras.layers.Dense(n, activation="relu") for n in units[:-1]]
    layers += [keras.layers.Dense(units[-1], activation="softmax")]
    model = keras.Sequential(layers)
    model.compile(optimizer=optimizer, loss=loss, metrics=list(metrics), **compile_options)
    model.optimizer.build(model.trainable_variables)
    if weights is not None:
        set_weights(model, weights)
    return model


def forward(model: keras.Model, x: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Compute the output of the model in inference mode."""
    return np.array(model(np.asarray(x), training=False).numpy())


def loss_and_gradients(
    model: keras.Model,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
) -> tuple[float, Arrays]:
    """Compute the compiled loss of a batch, and the gradients of all trainable weights."""
    inputs, labels = tf.convert_to_tensor(np.asarray(x)), tf.convert_to_tensor(np.asarray(y))
    if sample_weight is not None:
        sample_weight = tf.convert_to_tensor(np.asarray(sample_weight, dtype=np.float32))
    with tf.GradientTape() as tape:
        outputs = model(inputs, training=True)
        loss = model.compute_loss(
            x=inputs, y=labels, y_pred=outputs, sample_weight=sample_weight, training=True
        )
    variables = [variable.value for variable in model.trainable_variables]
    return float(loss), [np.array(gradient.numpy()) for gradient in tape.gradient(loss, variables)]


def train_steps(
    model: keras.Model,
    batches: Iterable[tuple[npt.ArrayLike, ...]],
    record: Sequence[int] = (1, 10, 200),
) -> dict[int, Step]:
    """Train one step per batch, and return the results of the steps in `record`, counted from 1.

    A batch is ``(x, y)`` or ``(x, y, sample_weight)``. Training ends with the last recorded step.
    """
    steps: dict[int, Step] = {}
    last, number = max(record), 0
    for number, batch in enumerate(batches, start=1):
        logs = model.train_on_batch(*(np.asarray(part) for part in batch), return_dict=True)
        if number in record:
            state = get_optimizer_state(model.optimizer)
            steps[number] = Step(float(logs["loss"]), get_weights(model), state)
        if number == last:
            return steps
    raise ValueError(
        f"The number of batches must be at least {last}, one per step. Received: {number} batches"
    )


def fit_epoch(
    model: keras.Model,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    batch_size: int = 32,
    shuffle: bool = False,
    **fit_options: Any,
) -> dict[str, list[float]]:
    """Train for one epoch by default, and return ``History.history``."""
    options = {"verbose": 0, **fit_options}
    model.fit(np.asarray(x), np.asarray(y), batch_size=batch_size, shuffle=shuffle, **options)
    return model.history.history


def optimizer_steps(
    optimizer: keras.Optimizer,
    values: Sequence[npt.ArrayLike],
    gradients: Iterable[Sequence[npt.ArrayLike]],
) -> list[tuple[Arrays, Arrays]]:
    """Apply gradients to variables, and return ``(values, optimizer state)`` after each step."""
    variables = [keras.Variable(np.asarray(value, dtype=np.float32)) for value in values]
    optimizer.build(variables)
    steps = []
    for step in gradients:
        optimizer.apply([tf.constant(gradient, tf.float32) for gradient in step], variables)
        steps.append(([np.array(v.numpy()) for v in variables], get_optimizer_state(optimizer)))
    return steps
