"""A layer that applies an activation."""

from __future__ import annotations

from typing import Any

from tinynet import activations
from tinynet._core import checks, declared, required
from tinynet.layers.layer import Layer, _registry

__all__ = ["Activation"]


class _Applied(Layer):
    """The base of layers that apply their attribute `activation` to every element."""

    activation: Any

    def call(self, x: Any) -> Any:
        """Compute the output."""
        return x if self.activation is activations.linear else self.activation(x)


def _not_negative(name: str, value: Any) -> float:
    """Check an option of a rectifier; Keras raises ValueError for None."""
    if value is None:
        raise ValueError(f"{name} must be a number from 0 up. Received: {name}=None")
    return checks.number(name, value, 0)


@declared(_registry)
class Activation(_Applied):
    """Apply an activation to every element.

    Parameters
    ----------
    activation : str or callable
        Activation.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> Activation("relu")([[-1.0, 2.0]]).numpy()
    array([[0., 2.]], dtype=float32)
    """

    activation: Any = required(lambda name, value: activations.get(value))
