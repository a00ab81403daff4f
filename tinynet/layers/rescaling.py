"""Layer that rescales its input."""

from __future__ import annotations

from typing import Any

from tinynet._core import argument, checks, declared, required
from tinynet.layers.layer import Layer, _registry

__all__ = ["Rescaling"]


@declared(_registry)
class Rescaling(Layer):
    """Layer that rescales its input: ``x * scale + offset``.

    For example, a scale of 1/255 converts pixels from 0 to 255 to values from 0 to 1.

    Parameters
    ----------
    scale : float
        Factor.
    offset : float
        Value to add.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    >>> Rescaling(0.5, offset=1.0)([[2.0]]).numpy()
    array([[2.]], dtype=float32)
    """

    scale: float = required(checks.number)
    offset: float = argument(0.0, checks.number)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        return x * self.scale + self.offset
