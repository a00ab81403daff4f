"""Leaky rectified linear unit (leaky ReLU) layer."""

from __future__ import annotations

from tinynet import activations
from tinynet._core import argument, declared
from tinynet.layers.activation import _Applied, _not_negative
from tinynet.layers.layer import _registry

__all__ = ["LeakyReLU"]


@declared(_registry)
class LeakyReLU(_Applied):
    """Leaky rectified linear unit: ``x`` if ``x > 0``, else ``negative_slope * x``.

    Parameters
    ----------
    negative_slope : float
        Slope for negative inputs.
    **kwargs : object
        Arguments of the base class `Layer`.

    Raises
    ------
    ValueError
        If `negative_slope` is negative.

    Examples
    --------
    >>> LeakyReLU(0.5)([[-1.0, 2.0]]).numpy()
    array([[-0.5,  2. ]], dtype=float32)
    """

    negative_slope: float = argument(0.3, _not_negative)

    def __complete(self) -> None:
        self.activation = activations.relu.with_options(self.negative_slope)
