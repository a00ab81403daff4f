"""RMSprop."""

from __future__ import annotations

from typing import Any

from tinynet import functional
from tinynet._core import argument, checks, declared
from tinynet.optimizers.optimizer import _BuiltIn, _registry
from tinynet.program import Array

__all__ = ["RMSprop"]


@declared(_registry, "rmsprop")
class RMSprop(_BuiltIn):
    """RMSprop optimizer: divides the gradient by the square root of its second moment estimate.

    The formula is in `functional.rmsprop`. Tieleman and Hinton, "Lecture 6.5 - rmsprop" (2012).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate, the approximate size of the update of each weight in one step.
    rho : float
        Decay rate of the second moment estimate, the moving average of the squared gradient.
    momentum : float
        Momentum of the updates; 0 for none.
    epsilon : float
        Small constant added to the second moment estimate, for numerical stability.
    centered : bool
        If True, divide by the standard deviation of the gradient: subtract the square of the
        first moment estimate from the second.
    **kwargs : object
        Arguments of the base class `Optimizer`.

    Examples
    --------
    >>> RMSprop().name
    'rm_sprop'
    """

    rho: float = argument(0.9, checks.number, 0, 1, open_high=True)
    momentum: float = argument(0.0, checks.number, 0, 1)
    epsilon: float = argument(1e-7, checks.number, 0)
    centered: bool = argument(False, checks.flag)

    interleaved = False
    squares = ("velocity", "rho")

    def __complete(self) -> None:
        self.slot_names = ("velocity", *("momentum",) * bool(self.momentum))
        self.slot_names += ("average_gradient",) * self.centered

    def update(self, numbers: list[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights with their gradient."""
        named = dict(zip(self.slot_names, slots, strict=True))
        kept = (named.get(name) for name in ("velocity", "momentum", "average_gradient"))
        functional.rmsprop(w, d_w, *kept, numbers[0], self.rho, self.momentum, self.epsilon)

    def _kernel(self) -> Any:
        plain = self.slot_names == ("velocity",)
        return ("rmsprop", self.rho, 1 - self.rho, self.epsilon) if plain else None
