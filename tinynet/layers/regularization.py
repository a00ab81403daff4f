"""Layers that act in training only, so that a net does not lean on single units."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import checks, random
from tinynet.layers.base import Layer, _registry
from tinynet.layers.symbolic import Shape
from tinynet.program import dispatch
from tinynet.variable import Array
from tinynet.workspace import Workspace


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

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Say what shape the output has."""
        if self.noise_shape is not None and len(self.noise_shape) != len(input_shape):
            raise ValueError(
                f"noise_shape of {self.name} must have the input's {len(input_shape)} dimensions. "
                f"Received: noise_shape={self.noise_shape}"
            )
        return tuple(input_shape)

    def forward(self, x: Array, work: Workspace, training: bool = False) -> Array:
        """Compute the output."""
        work.x = None
        if not training or self.rate == 0:
            return x
        shape = x.shape
        if self.noise_shape is not None:
            sizes = zip(self.noise_shape, shape, strict=True)
            shape = tuple(own if size is None else size for size, own in sizes)
        drawn = work.array("drawn", shape, x.dtype)
        self._random.random(out=drawn, dtype=x.dtype.type)
        work.x = drawn
        return dispatch.dropout(x, drawn, self.rate, work.array("y", x.shape, x.dtype))

    def backward(self, d_y: Array, work: Workspace, need_d_x: bool = True) -> Array | None:
        """Let the gradient through where the input went through."""
        if work.x is None:
            return d_y
        d_x: Array = dispatch.dropout(
            d_y, work.x, self.rate, work.array("d_x", d_y.shape, d_y.dtype)
        )
        return d_x
