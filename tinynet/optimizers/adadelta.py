"""Adadelta."""

from __future__ import annotations

from typing import Any

from tinynet import functional
from tinynet._core import argument, checks, declared
from tinynet.optimizers.optimizer import _BuiltIn, _registry
from tinynet.program import Array

__all__ = ["Adadelta"]


@declared(_registry, "adadelta")
class Adadelta(_BuiltIn):
    """Adadelta optimizer: scales the gradient by the ratio of recent updates to recent gradients.

    Both are root mean squares, computed from moving averages; see `functional.adadelta`. Zeiler,
    "ADADELTA: an adaptive learning rate method" (2012), where the learning rate is 1.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate. Larger values than for other optimizers, up to 1, work well.
    rho : float
        Decay rate of the moving averages of squared gradients and squared updates.
    epsilon : float
        Small constant added to both averages; it determines the size of the first step.
    **kwargs : object
        Arguments of the base class `Optimizer`.

    Examples
    --------
    >>> Adadelta().slot_names
    ('accumulated_grad', 'accumulated_delta_var')
    """

    rho: float = argument(0.95, checks.number, 0, 1)
    epsilon: float = argument(1e-7, checks.number, 0)

    slot_names = ("accumulated_grad", "accumulated_delta_var")

    def update(self, numbers: list[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights with their gradient."""
        functional.adadelta(w, d_w, *slots, numbers[0], self.rho, self.epsilon)
