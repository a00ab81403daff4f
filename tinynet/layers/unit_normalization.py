"""L2 normalization of each example."""

from __future__ import annotations

from typing import Any

from tinynet._core import argument, declared
from tinynet.layers.batch_normalization import _axis
from tinynet.layers.layer import _registry
from tinynet.layers.over_axes import OverAxes
from tinynet.program import TABLE

__all__ = ["UnitNormalization"]


@declared(_registry)
class UnitNormalization(OverAxes):
    """L2 normalization: divide each example by its Euclidean norm, ``x / sqrt(sum(x**2))``.

    Parameters
    ----------
    axis : int or list of int
        Axis or axes along which the norm is computed.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    The norm is ``sqrt(3**2 + 4**2) = 5``:

    >>> UnitNormalization()([[3.0, 4.0]]).numpy()
    array([[0.6, 0.8]], dtype=float32)
    """

    axis: Any = argument(-1, _axis)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        self._sizes(x.shape)
        axis = tuple(self.axis) if isinstance(self.axis, list) else self.axis
        squares = TABLE["sum"](TABLE["square"](x), axis, True)
        # The lower bound of the norm, 1e-12, also keeps the gradient at zero finite.
        return x * TABLE["rsqrt"](TABLE["maximum"](squares, 1e-24))
