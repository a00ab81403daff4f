"""What everybody is given: the images, and the net's first weights."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tinynet
from benchmarks.task import Task

Array = NDArray[Any]
Arrays = list[Array]


class Problem:
    """A task with its data: rows of 784 float32 pixels from 0 to 1, and int64 labels."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.data, ((x, y), (x_test, y_test)) = _load(task)
        self.x, self.y = self._rows(x[: task.images]), y[: task.images].astype(np.int64)
        self.x_test = self._rows(x_test[: task.test_images])
        self.y_test = y_test[: task.test_images].astype(np.int64)

    def _rows(self, images: Array) -> Array:
        rows: Array = images.reshape(len(images), 784) / np.float32(255)
        if self.task.dense:
            noise = np.random.default_rng(0).random(rows.shape, np.float32)
            rows = (rows + np.float32(0.1) * (1 - noise)) / np.float32(1.1)
        return rows

    def first_weights(self) -> Arrays:
        """Draw kernel and bias of each layer; the same ones for every contender."""
        rng = np.random.default_rng(1)
        weights: Arrays = []
        for fan_in, fan_out in itertools.pairwise(self.task.sizes):
            limit = np.sqrt(6 / (fan_in + fan_out))  # Glorot's uniform distribution
            weights.append(rng.uniform(-limit, limit, (fan_in, fan_out)).astype(np.float32))
            weights.append(np.zeros(fan_out, np.float32))
        return weights


def _load(task: Task) -> tuple[str, Any]:
    """Return MNIST, or where it can't be had drawn digits, and the name of what it is."""
    if task.data == "MNIST":
        try:
            return "MNIST", _mnist()
        except FileNotFoundError:
            pass
    drawn = tinynet.datasets.drawn_digits.load_data(task.images, task.test_images)
    return "drawn digits, not MNIST", drawn


@functools.cache
def _mnist() -> Any:
    """Read the files once, not for every task."""
    return tinynet.datasets.mnist.load_data()
