"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from tinynet import functional
from tinynet._core import argument, checks, declared
from tinynet.optimizers.optimizer import _BuiltIn, _registry
from tinynet.program import Array

__all__ = ["SGD"]


@declared(_registry, "sgd")
class SGD(_BuiltIn):
    """Stochastic gradient descent, with optional momentum: ``w -= learning_rate * gradient``.

    The formulas with momentum are in `functional.sgd_momentum`.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate.
    momentum : float
        Momentum, from 0 to 1; 0 for plain gradient descent.
    nesterov : bool
        If True, use Nesterov momentum.
    **kwargs : object
        Arguments of the base class `Optimizer`.

    Examples
    --------
    ``1 - 0.5 * 0.5 = 0.75`` and ``-2 - 0.5 * -1 = -1.5``:

    >>> from tinynet import Variable
    >>> w = Variable([1.0, -2.0], dtype="float32")
    >>> SGD(0.5).apply([[0.5, -1.0]], [w])
    >>> w.numpy()
    array([ 0.75, -1.5 ], dtype=float32)
    """

    learning_rate: Any = argument(0.01)
    momentum: float = argument(0.0, checks.number, 0, 1, wrong_type=ValueError)
    nesterov: bool = argument(False, checks.flag)

    def __complete(self) -> None:
        self.slot_names = ("momentum",) if self.momentum else ()

    def update(self, numbers: list[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights with their gradient."""
        (rate,) = numbers
        if slots:
            functional.sgd_momentum(w, d_w, slots[0], rate, self.momentum, self.nesterov)
        else:
            functional.sgd(w, d_w, rate)

    def _kernel(self) -> Any:
        if self.nesterov:
            return None
        return ("sgd_momentum", self.momentum) if self.slot_names else ("sgd",)
