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
    """Scale the gradient to the size of recent updates, so that units agree.

    The formula is in `functional.adadelta`. Zeiler, "ADADELTA: an adaptive learning rate method"
    (2012), where the learning rate is 1.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate; larger ones than for other optimizers, up to 1, work well.
    rho : float
        Decay rate of the two moving averages.
    epsilon : float
        Small constant added to both averages; it sets the size of the first step.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> Adadelta().slot_names
    ('accumulated_grad', 'accumulated_delta_var')
    """

    rho: float = argument(0.95, checks.number, 0, 1)
    epsilon: float = argument(1e-7, checks.number, 0)

    slot_names = ("accumulated_grad", "accumulated_delta_var")

    def update(self, numbers: list[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights by their gradient."""
        functional.adadelta(w, d_w, *slots, numbers[0], self.rho, self.epsilon)
