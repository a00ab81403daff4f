"""Additive Gaussian noise."""

from __future__ import annotations

from typing import Any

from tinynet import random
from tinynet._core import argument, checks, declared, required
from tinynet.layers.dropout import _noise
from tinynet.layers.layer import Layer, _registry

__all__ = ["GaussianNoise"]


@declared(_registry)
class GaussianNoise(Layer):
    """Additive Gaussian noise with mean 0, in training only.

    Parameters
    ----------
    stddev : float
        Standard deviation of the noise, from 0 to 1.
    seed : int, optional
        Random seed, for reproducible noise. Each call draws new noise.
    **kwargs : object
        Arguments of the base class `Layer`.

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
