"""Dropout."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import random
from tinynet._core import argument, checks, declared, required
from tinynet.layers.layer import Layer, _registry
from tinynet.program.layer_operations import DRAW, DROPOUT

__all__ = ["Dropout"]


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
