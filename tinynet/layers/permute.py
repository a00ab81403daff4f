"""Examples with their axes in another order."""

from __future__ import annotations

from typing import Any

from tinynet._core import checks, declared, required
from tinynet.layers.input_layer import _check_ndim
from tinynet.layers.layer import Layer, _registry
from tinynet.program import TABLE, Shape

__all__ = ["Permute"]


def _dims(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"dims must be a tuple of axes. Received: dims={checks.shorten(value)}")
    dims = tuple(checks.whole(name, axis, 1, ValueError) for axis in value)
    expected = "dims must have every axis from 1 to their number once"
    checks.require(sorted(dims) == list(range(1, len(dims) + 1)), expected, f"dims={dims}")
    return dims


@declared(_registry)
class Permute(Layer):
    """Reorder the axes of every example.

    Parameters
    ----------
    dims : tuple of int
        The axes in their new order, counted from 1: the batch axis stays.
    **kwargs : object
        As for `Layer`.

    Raises
    ------
    ValueError
        If `dims` does not have every axis once.

    Examples
    --------
    >>> Permute((2, 1))([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]).numpy()
    array([[[1., 4.],
            [2., 5.],
            [3., 6.]]], dtype=float32)
    """

    dims: Any = required(_dims)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape in another order."""
        _check_ndim(self, input_shape, len(self.dims) + 1)
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))

    def call(self, x: Any) -> Any:
        """Compute the output."""
        _check_ndim(self, x.shape, len(self.dims) + 1)
        return TABLE["transpose"](x, (0, *self.dims))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {**super().get_config(), "dims": self.dims}
