"""Layer that flattens each example into a vector."""

from __future__ import annotations

from typing import Any

from tinynet._core import argument, checks, declared
from tinynet.layers.layer import Layer, _registry
from tinynet.program import TABLE

__all__ = ["Flatten"]


@declared(_registry)
class Flatten(Layer):
    """Layer that flattens each example into a vector: ``(N, 28, 28)`` becomes ``(N, 784)``.

    Parameters
    ----------
    data_format : {None, "channels_last"}
        Order of the axes of images; only ``"channels_last"``, the default, is supported.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.zeros((5, 28, 28))).shape
    (5, 784)
    """

    data_format: str | None = argument(None, checks.choice, [None, "channels_last"])

    def call(self, x: Any) -> Any:
        """Compute the output."""
        return TABLE["flatten"](x)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "data_format": self.data_format or "channels_last"}
