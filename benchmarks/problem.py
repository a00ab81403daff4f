"""Data and initial weights, which are the same for all contenders."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tinynet
from benchmarks.result_files import ResultsError
from benchmarks.task import Task

Array = NDArray[Any]
Arrays = list[Array]


class Problem:
    """Task with its data: float32 features, and targets in the format of the loss."""

    def __init__(self, task: Task) -> None:
        self.task = task
        if task.inputs == 784:
            self.data, ((x, y), (x_test, y_test)) = load_digits(
                task.images, task.test_images, task.data
            )
            x, y, x_test, y_test = (
                self._rows(x[: task.images]), y[: task.images].astype(np.int64),
                self._rows(x_test[: task.test_images]), y_test[: task.test_images].astype(np.int64),
            )  # fmt: skip
        else:
            self.data = "random tables"
            x, y = _random_table(task)
            x, x_test = np.split(x, [task.images])
            y, y_test = np.split(y, [task.images])
        self.x, self.x_test = x, x_test
        self.y, self.y_test = self._targets(x, y), self._targets(x_test, y_test)

    def _rows(self, images: Array) -> Array:
        rows: Array = images.reshape(len(images), 784) / np.float32(255)
        if self.task.dense:
            noise = np.random.default_rng(0).random(rows.shape, np.float32)
            rows = (rows + np.float32(0.1) * (1 - noise)) / np.float32(1.1)
        if self.task.standardized:
            rows = (rows - np.float32(0.1307)) / np.float32(0.3081)  # MNIST's mean and deviation
        return rows

    def _targets(self, x: Array, y: Array) -> Array:
        """Return the targets in the format of the loss: class labels, one-hot rows or a column.

        The targets of an autoencoder are its inputs.
        """
        if self.task.classifies or y.ndim == 2:
            return y
        if self.task.outputs == self.task.inputs:
            return x
        return np.eye(self.task.outputs, dtype=np.float32)[y]

    def first_weights(self) -> Arrays:
        """Generate kernel and bias of each layer, and gamma and beta of batch normalization."""
        rng = np.random.default_rng(1)
        weights: Arrays = []
        for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(self.task.sizes)):
            limit = np.sqrt(6 / (fan_in + fan_out))  # Glorot's uniform distribution
            weights.append(rng.uniform(-limit, limit, (fan_in, fan_out)).astype(np.float32))
            weights.append(np.zeros(fan_out, np.float32))
            if self.task.batch_norm and layer < len(self.task.hidden):
                weights += [np.ones(fan_out, np.float32), np.zeros(fan_out, np.float32)]
        return weights


def _random_table(task: Task) -> tuple[Array, Array]:
    """Generate normally distributed features, and their targets computed by a random network."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((task.images + task.test_images, task.inputs), np.float32)
    first = rng.standard_normal((task.inputs, 16)) / np.sqrt(task.inputs)
    z = np.tanh(2 * x @ first) @ rng.standard_normal((16, task.outputs))
    if task.classifies:
        return x, z.argmax(1)
    y = z > 0 if task.loss == "binary_crossentropy" else z / z.std()
    return x, y.astype(np.float32)


def require_mnist() -> None:
    """Raise ResultsError if MNIST is not available."""
    try:
        _mnist()
    except (OSError, ValueError) as error:
        raise ResultsError(f"data must be MNIST. Received: {error}") from None


def load_digits(
    images: int = 60_000, test_images: int = 10_000, data: str = "MNIST"
) -> tuple[str, Any]:
    """Return the name of the data, and MNIST or, if it is not available, synthetic digits."""
    if data == "MNIST":
        try:
            return "MNIST", _mnist()
        except FileNotFoundError:
            pass
    drawn = tinynet.datasets.drawn_digits.load_data(images, test_images)
    return "synthetic digits (not MNIST)", drawn


@functools.cache
def _mnist() -> Any:
    """Load MNIST once for all tasks."""
    return tinynet.datasets.mnist.load_data()


def main_network(library: Any, *first: Any, shape: tuple[int, ...] = (28, 28)) -> Any:
    """Build and compile the 784-128-10 network with a library, and optional first layers."""
    layers = library.layers
    hidden, digit = layers.Dense(128, activation="relu"), layers.Dense(10, activation="softmax")
    model = library.Sequential([library.Input(shape), *first, layers.Flatten(), hidden, digit])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model
