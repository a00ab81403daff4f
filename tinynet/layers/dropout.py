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
    """Dropout: set a random fraction of the inputs to 0 in training.

    The other inputs are multiplied by ``1 / (1 - rate)``, so that the expected sum of the inputs
    does not change. In inference, the inputs are returned unchanged. Srivastava et al., "Dropout:
    a simple way to prevent neural networks from overfitting" (2014).

    Parameters
    ----------
    rate : float
        Fraction of the inputs to drop, from 0 to 1.
    noise_shape : tuple of (int or None), optional
        Shape of the binary dropout mask, which is broadcast to the shape of the inputs. An entry
        of None means the size of the inputs along that axis. With ``(None, 1, D)``, the same mask
        is used for all time steps.
    seed : int, optional
        Random seed, for reproducible masks. Each call draws a new mask.
    **kwargs : object
        Arguments of the base class `Layer`.

    Raises
    ------
    ValueError
        If `rate` is not between 0 and 1.

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
                f"noise_shape of {self.name} must have {x.ndim} entries, one for each dimension of "
                "the input. "
                f"Received: noise_shape={self.noise_shape}"
            )
        if not training or self.rate == 0:
            return x
        drawn = DRAW(x, generator=self._random, noise_shape=self.noise_shape)
        return DROPOUT(x, drawn, rate=self.rate)


def _noise(layer: Any, x: Any, mean: float, stddev: float) -> Any:
    return random.normal(np.shape(x), mean, stddev, layer.dtype, layer.seed_generator)
