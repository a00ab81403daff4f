"""Softmax layer."""

from __future__ import annotations

from typing import Any

from tinynet import activations
from tinynet._core import argument, checks, declared
from tinynet.layers.activation import _Applied
from tinynet.layers.layer import _registry

__all__ = ["Softmax"]


@declared(_registry)
class Softmax(_Applied):
    """Softmax: convert logits to probabilities, ``exp(x) / sum(exp(x))``.

    Parameters
    ----------
    axis : int
        Axis along which the probabilities sum to 1.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    >>> Softmax()([[0.0, 0.0]]).numpy()
    array([[0.5, 0.5]], dtype=float32)
    """

    axis: int = argument(-1, checks.whole, -64)

    activation = activations.softmax

    def call(self, x: Any) -> Any:
        """Compute the output."""
        expected = f"axis of {self.name} must be a valid axis of its input"
        received = f"axis={self.axis}, an input of shape {tuple(x.shape)}"
        checks.require(-x.ndim <= self.axis < x.ndim, expected, received)
        last = self.axis in (-1, x.ndim - 1)
        return self.activation(x) if last else self.activation(x, axis=self.axis)
