"""Layer that repeats each example."""

from __future__ import annotations

from typing import Any

from tinynet._core import checks, declared, required
from tinynet.layers.input_layer import _check_ndim
from tinynet.layers.layer import Layer, _registry
from tinynet.program import TABLE, Shape
from tinynet.program.symbols import check_size

__all__ = ["RepeatVector"]


@declared(_registry)
class RepeatVector(Layer):
    """Layer that repeats each example `n` times: ``(N, D)`` becomes ``(N, n, D)``.

    Parameters
    ----------
    n : int
        Number of repetitions.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    >>> RepeatVector(2)([[1.0, 2.0]]).numpy()
    array([[[1., 2.],
            [1., 2.]]], dtype=float32)
    """

    n: int = required(checks.whole)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input shape with a new axis 1 of size `n`."""
        _check_ndim(self, input_shape, 2)
        check_size([input_shape], self.n)
        return (input_shape[0], self.n, input_shape[1])

    def call(self, x: Any) -> Any:
        """Compute the output."""
        _check_ndim(self, x.shape, 2)
        return TABLE["repeat"](TABLE["expand_dims"](x, 1), self.n, axis=1)
