"""Layer that reshapes each example."""

from __future__ import annotations

import math
from typing import Any

from tinynet._core import checks, declared, required
from tinynet.layers.layer import Layer, _registry
from tinynet.program import TABLE
from tinynet.program.layer_operations import RESHAPE

__all__ = ["Reshape"]


def _target_shape(name: str, value: Any) -> tuple[int, ...]:
    sizes = value if isinstance(value, list | tuple) else (value,)
    shape = tuple(checks.whole(name, size, -1, ValueError) for size in sizes)
    valid = shape.count(-1) <= 1 and 0 not in shape
    expected = "target_shape must contain positive integers, and -1 at most once"
    checks.require(valid, expected, f"target_shape={shape}")
    return shape


@declared(_registry)
class Reshape(Layer):
    """Layer that reshapes each example.

    Parameters
    ----------
    target_shape : tuple of int
        New shape of one example. One size may be -1; it is inferred from the others.
    **kwargs : object
        Arguments of the base class `Layer`.

    Raises
    ------
    ValueError
        If the number of elements would change.

    Examples
    --------
    >>> import numpy as np
    >>> Reshape((2, -1))(np.zeros((5, 6))).shape
    (5, 2, 3)
    """

    target_shape: Any = required(_target_shape)

    def call(self, x: Any) -> Any:
        """Compute the output."""
        sizes = x.shape[1:]
        if None in sizes:
            return TABLE["reshape"](x, (-1, *self.target_shape))
        total = math.prod(sizes)
        known = -math.prod(self.target_shape) if -1 in self.target_shape else 0
        target = tuple(total // known if size == -1 else size for size in self.target_shape)
        if math.prod(target) != total:
            raise ValueError(
                f"target_shape={self.target_shape} of {self.name} must have the same number of "
                f"elements as one input example. Received: shape {(None, *sizes)}"
            )
        return RESHAPE(x, target=target)
