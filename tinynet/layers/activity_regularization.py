"""Layer that penalizes activations."""

from __future__ import annotations

from typing import Any

from tinynet import regularizers
from tinynet._core import argument, checks, declared
from tinynet.layers.layer import Layer, _registry

__all__ = ["ActivityRegularization"]


@declared(_registry)
class ActivityRegularization(Layer):
    """Layer that adds a penalty on its input to the loss.

    The penalty is ``(l1 * sum(|x|) + l2 * sum(x**2)) / N``, where N is the batch size. The output
    is the input, unchanged.

    Parameters
    ----------
    l1 : float
        L1 regularization factor.
    l2 : float
        L2 regularization factor.
    **kwargs : object
        Arguments of the base class `Layer`.

    Examples
    --------
    The penalty is ``0.5 * (1**2 + 2**2) = 2.5``:

    >>> layer = ActivityRegularization(l2=0.5)
    >>> layer([[1.0, 2.0]]).numpy(), float(layer.losses[0])
    (array([[1., 2.]], dtype=float32), 2.5)
    """

    l1: float = argument(0.0)
    l2: float = argument(0.0)

    def __complete(self) -> None:
        expected = "activity_regularizer must be None; use l1 and l2 instead"
        received = f"activity_regularizer={checks.shorten(self.activity_regularizer)}"
        checks.require(self.activity_regularizer is None, expected, received)
        self.activity_regularizer = regularizers.L1L2(l1=self.l1, l2=self.l2)

    def call(self, inputs: Any) -> Any:
        """Return the input."""
        return inputs

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = super().get_config()
        config.pop("activity_regularizer")
        return config
