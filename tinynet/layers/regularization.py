"""Layers that regularize: noise and dropout, in training only, and penalties on outputs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinynet import checks, random, regularizers
from tinynet.arguments import argument, declared, required
from tinynet.layers.base import Layer, _registry
from tinynet.program.dense_net import DRAW, DROPOUT

__all__ = ["ActivityRegularization", "Dropout", "GaussianDropout", "GaussianNoise"]


@declared(_registry)
class Dropout(Layer):
    """In training, set a fraction of the inputs to 0 and scale the others up.

    The others are multiplied by ``1 / (1 - rate)``, so that sums keep their expected size.
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014).

    Parameters
    ----------
    rate : float
        Fraction to drop, from 0 to 1.
    noise_shape : tuple of (int or None), optional
        Shape of the random choice: along a size of 1, all inputs are kept or dropped together;
        None is the input's own size.
    seed : int, optional
        Seed that makes the choices repeatable; each call still draws further numbers.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If `rate` is not from 0 to 1.

    Examples
    --------
    >>> Dropout(0.5, seed=1)([[1.0, 1.0, 1.0, 1.0]]).numpy()
    array([[1., 1., 1., 1.]], dtype=float32)
    >>> sorted(set(Dropout(0.5, seed=1)(np.ones((1, 100)), training=True).numpy()[0].tolist()))
    [0.0, 2.0]
    """

    rate: float = required(checks.number, 0, 1, wrong_type=ValueError)
    noise_shape: Any = argument(None, checks.shape)
    seed: int | None = argument(None, checks.whole, 0)

    def __complete(self) -> None:
        drawn = random.draw_seed() if self.seed is None else self.seed
        self._random = np.random.Generator(np.random.PCG64(drawn))

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute the output."""
        if self.noise_shape is not None and len(self.noise_shape) != x.ndim:
            raise ValueError(
                f"noise_shape of {self.name} must have the input's {x.ndim} dimensions. "
                f"Received: noise_shape={self.noise_shape}"
            )
        if not training or self.rate == 0:
            return x
        drawn = DRAW(x, generator=self._random, noise_shape=self.noise_shape)
        return DROPOUT(x, drawn, rate=self.rate)


def _noise(layer: Any, x: Any, mean: float, stddev: float) -> Any:
    return random.normal(np.shape(x), mean, stddev, layer.dtype, layer.seed_generator)


@declared(_registry)
class GaussianNoise(Layer):
    """In training, add noise with mean 0 to the inputs.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise, from 0 to 1.
    seed : int, optional
        Seed that makes the noise repeatable; each call still draws further numbers.
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

    stddev: float = required(checks.number, 0, 1, wrong_type=ValueError)
    seed: int | None = argument(None, checks.whole, -(2**63), ValueError)

    def __complete(self) -> None:
        self.seed_generator = random.SeedGenerator(self.seed)

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute the output."""
        return x + _noise(self, x, 0.0, self.stddev) if training and self.stddev else x


@declared(_registry)
class GaussianDropout(Layer):
    """In training, multiply the inputs by noise with mean 1 and variance ``rate / (1 - rate)``.

    Mean and variance are those of the factors of `Dropout`. Srivastava et al., "Dropout: a
    simple way to prevent neural networks from overfitting" (2014).

    Parameters
    ----------
    rate : float
        Drop rate, from 0 to below 1.
    seed : int, optional
        Seed that makes the noise repeatable; each call still draws further numbers.
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

    rate: float = required(checks.number, 0, 1, wrong_type=ValueError, open_high=True)
    seed: int | None = argument(None, checks.whole, -(2**63), ValueError)

    def __complete(self) -> None:
        self.seed_generator = random.SeedGenerator(self.seed)

    def call(self, x: Any, training: bool = False) -> Any:
        """Compute the output."""
        stddev = math.sqrt(self.rate / (1 - self.rate))
        return x * _noise(self, x, 1.0, stddev) if training and self.rate else x


@declared(_registry)
class ActivityRegularization(Layer):
    """Add a penalty on the input to the loss: ``l1 * sum|x| + l2 * sum(x**2)``.

    Parameters
    ----------
    l1, l2 : float
        Factors.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> layer = ActivityRegularization(l2=0.5)
    >>> layer([[1.0, 2.0]]).numpy(), float(layer.losses[0])
    (array([[1., 2.]], dtype=float32), 2.5)
    """

    l1: float = argument(0.0)
    l2: float = argument(0.0)

    def __complete(self) -> None:
        if self.activity_regularizer is not None:
            raise ValueError(
                "activity_regularizer must be None: l1 and l2 say what it is. "
                f"Received: {checks.shorten(self.activity_regularizer)}"
            )
        self.activity_regularizer = regularizers.L1L2(l1=self.l1, l2=self.l2)

    def call(self, inputs: Any) -> Any:
        """Return the input."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = super().get_config()
        config.pop("activity_regularizer")
        return config
