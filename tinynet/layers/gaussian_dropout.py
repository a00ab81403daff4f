"""Multiplicative Gaussian noise."""

from __future__ import annotations

import math
from typing import Any

from tinynet import random
from tinynet._core import argument, checks, declared, required
from tinynet.layers.dropout import _noise
from tinynet.layers.layer import Layer, _registry

__all__ = ["GaussianDropout"]


@declared(_registry)
class GaussianDropout(Layer):
    """Multiplicative Gaussian noise, in training only.

    The inputs are multiplied by random factors with mean 1 and variance ``rate / (1 - rate)``, the
    same mean and variance as in `Dropout`. Srivastava et al., "Dropout: a simple way to prevent
    neural networks from overfitting" (2014).

    Parameters
    ----------
    rate : float
        Dropout rate, at least 0 and less than 1.
    seed : int, optional
        Random seed, for reproducible noise. Each call draws new noise.
    **kwargs : object
        Arguments of the base class `Layer`.

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
