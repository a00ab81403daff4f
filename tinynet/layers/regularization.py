"""Layers that act in training only, so that a net does not lean on single units."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import checks, random, regularizers
from tinynet.layers.base import Layer, _registry
from tinynet.program.dense_net import DRAW, DROPOUT


@_registry.register()
class Dropout(Layer):
    """In training, set a share of the inputs to 0 and scale the others up.

    What is left is multiplied by ``1 / (1 - rate)``, so that sums keep their expected size.
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting" (2014).

    Parameters
    ----------
    rate : float
        The share, from 0 to 1.
    noise_shape : tuple of (int or None), optional
        The shape of the random choice: along a size of 1, all inputs are kept or dropped
        together; None stands for the input's own size.
    seed : int, optional
        Makes the choices repeatable; each call still draws anew.
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

    _own = ("rate", "seed", "noise_shape")

    def __init__(
        self, rate: float, noise_shape: Any = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.rate = checks.number("rate", rate, 0, 1, wrong_type=ValueError)
        self.seed = checks.optional(checks.whole, "seed", seed, 0)
        self.noise_shape = checks.optional(checks.shape, "noise_shape", noise_shape)
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


@_registry.register()
class ActivityRegularization(Layer):
    """Add a penalty on the input to the loss: ``l1 * sum|x| + l2 * sum(x**2)``.

    Parameters
    ----------
    l1, l2 : float
        The factors.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> layer = ActivityRegularization(l2=0.5)
    >>> layer([[1.0, 2.0]]).numpy(), float(layer.losses[0])
    (array([[1., 2.]], dtype=float32), 2.5)
    """

    _own = ("l1", "l2")

    def __init__(self, l1: float = 0.0, l2: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self.activity_regularizer is not None:
            raise ValueError(
                "activity_regularizer must be None: l1 and l2 say what it is. "
                f"Received: {checks.shorten(kwargs['activity_regularizer'])}"
            )
        self.activity_regularizer = regularizers.L1L2(l1=l1, l2=l2)
        self.l1, self.l2 = l1, l2

    def call(self, inputs: Any) -> Any:
        """Return the input."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        config = super().get_config()
        config.pop("activity_regularizer")
        return config
