"""Adagrad."""

from __future__ import annotations

from typing import Any

from tinynet import functional
from tinynet._core import argument, checks, declared
from tinynet.optimizers.optimizer import _BuiltIn, _registry
from tinynet.program import Array

__all__ = ["Adagrad"]


@declared(_registry, "adagrad")
class Adagrad(_BuiltIn):
    """Adagrad optimizer: divides the gradient by the square root of the sum of squared gradients.

    Weights with large past gradients get smaller steps; see `functional.adagrad`. Duchi et al.,
    "Adaptive subgradient methods for online learning and stochastic optimization" (2011).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate.
    initial_accumulator_value : float
        Initial value of the sum of squared gradients.
    epsilon : float
        Small constant added to the sum of squared gradients, for numerical stability.
    **kwargs : object
        Arguments of the base class `Optimizer`.

    Examples
    --------
    >>> Adagrad().name
    'adagrad'
    """

    initial_accumulator_value: float = argument(0.1, checks.number, 0)
    epsilon: float = argument(1e-7, checks.number, 0)

    slot_names = ("accumulator_of_squares",)
    squares = ("accumulator_of_squares", None)

    def update(self, numbers: list[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights with their gradient."""
        functional.adagrad(w, d_w, *slots, numbers[0], self.epsilon)
