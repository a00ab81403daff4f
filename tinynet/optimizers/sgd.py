"""Gradient descent, with or without momentum."""

from __future__ import annotations

from typing import Any

from tinynet import functional
from tinynet._core import argument, checks, declared
from tinynet.optimizers.optimizer import _BuiltIn, _registry
from tinynet.program import Array

__all__ = ["SGD"]


@declared(_registry, "sgd")
class SGD(_BuiltIn):
    """Gradient descent, with or without momentum.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate.
    momentum : float
        Decay rate of the momentum, from 0 to 1.
    nesterov : bool
        If True, use Nesterov momentum.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> SGD(momentum=0.9).slot_names
    ('momentum',)
    """

    learning_rate: Any = argument(0.01)
    momentum: float = argument(0.0, checks.number, 0, 1, wrong_type=ValueError)
    nesterov: bool = argument(False, checks.flag)

    def __complete(self) -> None:
        self.slot_names = ("momentum",) if self.momentum else ()

    def update(self, numbers: list[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights by their gradient."""
        (rate,) = numbers
        if slots:
            functional.sgd_momentum(w, d_w, slots[0], rate, self.momentum, self.nesterov)
        else:
            functional.sgd(w, d_w, rate)

    def _kernel(self) -> Any:
        if self.nesterov:
            return None
        return ("sgd_momentum", self.momentum) if self.slot_names else ("sgd",)
