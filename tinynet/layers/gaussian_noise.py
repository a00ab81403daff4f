"""Layers that disturb their inputs by normally distributed noise, in training only."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet import checks, random
from tinynet.layers.base import Layer, _registry


class _Noise(Layer):
    """The base of layers that draw noise."""

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = random.SeedGenerator(seed)
        self.seed = self.seed_generator.seed

    def _noise(self, x: Any, mean: float, stddev: float) -> Any:
        return random.normal(np.shape(x), mean, stddev, self.dtype, self.seed_generator)


@_registry.register()
class GaussianNoise(_Noise):
    """In training, add noise with mean 0 to the inputs.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise, from 0 to 1.
    seed : int, optional
        Makes the noise repeatable; each call still draws further numbers.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> layer = GaussianNoise(0.1, seed=1)
    >>> layer([[1.0, 2.0]]).numpy()
    array([[1., 2.]], dtype=float32)
    >>> layer([[1.0, 2.0]], training=True).numpy().round(2)
    array([[1.17, 1.86]], dtype=float32)
    """

    _own = ("stddev", "seed")

    def __init__(self, stddev: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.stddev = checks.number("stddev", stddev, 0, 1, wrong_type=ValueError)

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute the output."""
        return x + self._noise(x, 0.0, self.stddev) if training and self.stddev else x


@_registry.register()
class GaussianDropout(_Noise):
    """In training, multiply the inputs by noise with mean 1 and variance ``rate / (1 - rate)``.

    Mean and variance are those of the factors of `Dropout`. Srivastava et al., "Dropout: a
    simple way to prevent neural networks from overfitting" (2014).

    Parameters
    ----------
    rate : float
        Drop rate, from 0 to below 1.
    seed : int, optional
        Makes the noise repeatable; each call still draws further numbers.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> layer = GaussianDropout(0.5, seed=1)
    >>> layer([[1.0, 2.0]]).numpy()
    array([[1., 2.]], dtype=float32)
    >>> layer([[1.0, 2.0]], training=True).numpy().round(2)
    array([[ 2.73, -0.86]], dtype=float32)
    """

    _own = ("rate", "seed")

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed, **kwargs)
        self.rate = checks.number("rate", rate, 0, 1, wrong_type=ValueError, open_high=True)

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute the output."""
        stddev = math.sqrt(self.rate / (1 - self.rate))
        return x * self._noise(x, 1.0, stddev) if training and self.rate else x
