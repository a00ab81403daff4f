"""Noise that multiplies."""

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
