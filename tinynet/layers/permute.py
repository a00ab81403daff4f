"""Layer that reorders the axes of each example."""

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
    expected = f"dims must be a permutation of the axes from 1 to {len(dims)}"
    checks.require(sorted(dims) == list(range(1, len(dims) + 1)), expected, f"dims={dims}")
    return dims


@declared(_registry)
class Permute(Layer):
    """Layer that reorders the axes of each example.

    Parameters
    ----------
    dims : tuple of int
        New order of the axes. Counting starts at 1; the batch axis, 0, does not move.
    **kwargs : object
        Arguments of the base class `Layer`.

    Raises
    ------
    ValueError
        If `dims` is not a permutation.

    Examples
    --------
    >>> Permute((2, 1))([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]).numpy()
    array([[[1., 4.],
            [2., 5.],
            [3., 6.]]], dtype=float32)
    """

    dims: Any = required(_dims)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the permuted input shape."""
        _check_ndim(self, input_shape, len(self.dims) + 1)
        return (input_shape[0], *(input_shape[axis] for axis in self.dims))

    def call(self, x: Any) -> Any:
        """Compute the output."""
        _check_ndim(self, x.shape, len(self.dims) + 1)
        return TABLE["transpose"](x, (0, *self.dims))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {**super().get_config(), "dims": self.dims}
