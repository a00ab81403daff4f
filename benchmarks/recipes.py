"""Recipes of the benchmark `time_to_accuracy`: how a dense network is trained on MNIST.

Each recipe was chosen by training on 50,000 of the 60,000 training images and classifying the other
10,000; for 97 %, the accuracies after training on 40,000 and on 50,000 images were extrapolated to
60,000. The recipes of 97 and 98 % are the fastest tried ones that reach the goal on these images;
for 99.4 %, 45 epochs are the fewest tried ones with which the mean of three seeds reached the goal.
The test images were not used for training or for comparing recipes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinynet import datasets

Array = NDArray[Any]


@dataclass(frozen=True)
class Recipe:
    """Network and training; the optimizer is Adam with a cosine learning rate schedule."""

    goal: float  # mean test accuracy
    seconds: float  # target
    hidden: tuple[int, ...] = (128,)
    epochs: int = 1
    batch: int = 120
    rate: float = 0.01  # maximum learning rate
    warmup: float = 0.1  # part of the steps in which the learning rate increases from 0
    beta_1: float = 0.8
    beta_2: float = 0.98
    epsilon: float = 1e-5
    variations: str = ""  # of each epoch's images: "shifts" by at most one pixel, or "strokes"
    plain: int = 0  # epochs without variations, at the end
    smoothing: float = 0.0  # of the labels
    decays: bool = True  # False: the learning rate is constant
    momentum: float = 0.0  # of a moving average of the weights, which tinynet supports; 0: none

    def fields(self) -> dict[str, Any]:
        """Convert the recipe to the JSON format."""
        return {**asdict(self), "hidden": list(self.hidden)}

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Recipe:
        """Create a recipe from the JSON format."""
        return cls(**{**fields, "hidden": tuple(fields["hidden"])})

    def steps(self, images: Array) -> tuple[int, int]:
        """Return the number of steps with an increasing and with a decreasing learning rate."""
        steps = self.epochs * (len(images) // self.batch)
        rising = round(self.warmup * steps)
        return rising, steps - rising

    def rates(self, images: Array) -> Array:
        """Compute the learning rate of every step."""
        rising, falling = self.steps(images)
        if not self.decays:
            return np.full(rising + falling, self.rate, np.float32)
        up = np.arange(rising) / max(rising, 1)
        down = (1 + np.cos(np.pi * np.arange(falling) / falling)) / 2
        return np.float32(self.rate) * np.concatenate([up, down]).astype(np.float32)

    def shifts(self, images: Array, seed: int) -> Iterator[Array]:
        """Yield the shifts for each epoch, down and to the right, shape (n, 2).

        No stroke is moved out of an image.
        """
        rng = np.random.default_rng(seed)
        edges = (images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1])
        up, down, left, right = (edge.any(axis=1) for edge in edges)
        lowest, highest = np.stack([up, left], 1) - 1, 1 - np.stack([down, right], 1)
        for epoch in range(self.epochs):
            moves = rng.integers(-1, 2, (len(images), 2), np.int8)
            yield np.clip(moves, lowest, highest) if epoch < self.epochs - self.plain else 0 * moves

    def epochs_of(self, images: Array, seed: int) -> Iterator[Array]:
        """Yield the images of each epoch, whose strokes are varied."""
        for epoch in range(self.epochs):
            varied = self.variations == "strokes" and epoch < self.epochs - self.plain
            yield datasets.augment_digits(images, seed + 2**32 * epoch) if varied else images


_LARGE: dict[str, Any] = {
    "beta_1": 0.9, "beta_2": 0.999, "smoothing": 0.1, "variations": "strokes", "plain": 1,
}  # fmt: skip
RECIPES = {
    "97 %": Recipe(0.97, 0.15, batch=96, rate=0.012, warmup=0.05),
    "98 %": Recipe(0.98, 0.6, epochs=3, batch=100, rate=0.009, variations="shifts", plain=1),
    "98.5 %": Recipe(0.985, 4, epochs=14, rate=0.006, variations="shifts"),
    "99 %": Recipe(0.99, 60, (512, 256), epochs=10, rate=0.002, **_LARGE),
    "99.4 %": Recipe(0.994, 600, (1024, 512), epochs=45, rate=0.0015, **_LARGE),
}

#: Changes of a recipe that show the effect of its parts, with Keras' defaults for the optimizer.
PARTS: dict[str, dict[str, Any]] = {
    "": {},
    "Keras' defaults: constant learning rate of 0.001": {
        "rate": 1e-3, "decays": False, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7,
    },
    "beta_1=0.9, beta_2=0.999": {"beta_1": 0.9, "beta_2": 0.999},
    "batch size 30": {"batch": 30},
    "batch size 480": {"batch": 480},
    "no label smoothing": {"smoothing": 0.0},
    "no variations": {"variations": "", "plain": 0},
    "variations in all epochs": {"plain": 0},
    "a moving average of the weights": {"momentum": 0.995},
}  # fmt: skip
