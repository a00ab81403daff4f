"""Inputs on another scale."""

from __future__ import annotations

from typing import Any

from tinynet._core import argument, checks, declared, required
from tinynet.layers.layer import Layer, _registry

__all__ = ["Rescaling"]


@declared(_registry)
class Rescaling(Layer):
    """Scale and shift: ``x * scale + offset``, for example pixels by 1/255.

    Parameters
    ----------
    scale, offset : float
        Factor and addend.
    **kwargs : object
        As for `Layer`.

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
