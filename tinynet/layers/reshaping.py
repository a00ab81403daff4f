"""Layers that reorder or repeat what an example holds."""

from __future__ import annotations

from typing import Any

from tinynet import checks
from tinynet.layers.base import Layer, _registry
from tinynet.program.symbols import Shape, check_size
from tinynet.program.tensor import TABLE


def _check_ndim(layer: Layer, input_shape: Shape, ndim: int) -> None:
    if len(input_shape) != ndim:
        raise ValueError(
            f"Inputs of {layer.name} must have {ndim} dimensions, the batch axis included. "
            f"Received: an input of shape {tuple(input_shape)}"
        )


@_registry.register()
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

    def __init__(self, dims: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(dims, list | tuple):
            raise ValueError(f"dims must be a tuple of axes. Received: dims={checks.shorten(dims)}")
        self.dims = tuple(checks.whole("dims", axis, 1, ValueError) for axis in dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"dims must have every axis from 1 to their number once. Received: dims={self.dims}"
            )

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


@_registry.register()
class RepeatVector(Layer):
    """Repeat every example: ``(N, D)`` becomes ``(N, n, D)``.

    Parameters
    ----------
    n : int
        Number of repetitions.
    **kwargs : object
        As for `Layer`.

    Examples
    --------
    >>> RepeatVector(2)([[1.0, 2.0]]).numpy()
    array([[[1., 2.],
            [1., 2.]]], dtype=float32)
    """

    _own = ("n",)

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = checks.whole("n", n)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape with another axis, of size `n`."""
        _check_ndim(self, input_shape, 2)
        check_size([input_shape], self.n)
        return (input_shape[0], self.n, input_shape[1])

    def call(self, x: Any) -> Any:
        """Compute the output."""
        _check_ndim(self, x.shape, 2)
        return TABLE["repeat"](TABLE["expand_dims"](x, 1), self.n, axis=1)
