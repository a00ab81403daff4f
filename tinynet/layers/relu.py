"""Rectified linear unit (ReLU) layer."""

from __future__ import annotations

from tinynet import activations
from tinynet._core import argument, declared
from tinynet.layers.activation import _Applied, _not_negative
from tinynet.layers.layer import _registry

__all__ = ["ReLU"]


@declared(_registry)
class ReLU(_Applied):
    """Rectified linear unit: ``max(x, 0)``.

    In general, the output is ``min(x, max_value)`` if ``x > threshold``, else
    ``negative_slope * (x - threshold)``.

    Parameters
    ----------
    max_value : float, optional
        Maximum output value; by default, the output is not limited.
    negative_slope : float
        Slope below `threshold`.
    threshold : float
        Threshold; inputs above it are returned unchanged (up to `max_value`).
    **kwargs : object
        Arguments of the base class `Layer`.

    Raises
    ------
    ValueError
        If an argument is negative.

    Examples
    --------
    ``0.5 * -1 = -0.5``, 2, and ``min(9, 3) = 3``:

    >>> ReLU(max_value=3, negative_slope=0.5)([[-1.0, 2.0, 9.0]]).numpy()
    array([[-0.5,  2. ,  3. ]], dtype=float32)
    """

    max_value: float | None = argument(None, _not_negative)
    negative_slope: float = argument(0.0, _not_negative)
    threshold: float = argument(0.0, _not_negative)

    def __complete(self) -> None:
        options = self.negative_slope, self.max_value, self.threshold
        self.activation = activations.relu.with_options(*options)
