"""Layer that applies an activation function."""

from __future__ import annotations

from typing import Any

from tinynet import activations
from tinynet._core import checks, declared, required
from tinynet.layers.layer import Layer, _registry

__all__ = ["Activation"]


class _Applied(Layer):
    """Base class of the layers that apply an activation function."""

    activation: Any

    def call(self, x: Any) -> Any:
        """Compute the output."""
        return x if self.activation is activations.linear else self.activation(x)


def _not_negative(name: str, value: Any) -> float:
    """Validate a non-negative option; None raises ValueError, as in Keras."""
    if value is None:
        raise ValueError(f"{name} must be a non-negative number. Received: {name}=None")
    return checks.number(name, value, 0)


@declared(_registry)
class Activation(_Applied):
    """Layer that applies an activation function to its input.

    Parameters
    ----------
    activation : str or callable
        Activation function, or its name.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    >>> Activation("relu")([[-1.0, 2.0]]).numpy()
    array([[0., 2.]], dtype=float32)
    """

    activation: Any = required(lambda name, value: activations.get(value))
