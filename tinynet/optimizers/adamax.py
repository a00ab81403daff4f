"""Adamax."""

from __future__ import annotations

from typing import Any

from tinynet import functional
from tinynet._core import argument, checks, declared
from tinynet.functional.optimizers import rounded_power
from tinynet.optimizers.optimizer import _BuiltIn, _registry
from tinynet.program import Array

__all__ = ["Adamax"]


@declared(_registry, "adamax")
class Adamax(_BuiltIn):
    """Adamax optimizer: Adam with the infinity norm instead of the second moment estimate.

    The formula is in `functional.adamax`. Kingma and Ba, "Adam: a method for stochastic
    optimization" (2015), section 7.1.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate, approximately the maximum update of a weight in one step.
    beta_1 : float
        Decay rate of the first moment estimate.
    beta_2 : float
        Decay rate of the infinity norm, the maximum of past absolute gradients.
    epsilon : float
        Small constant added to the denominator, for numerical stability.
    **kwargs : object
        Arguments of the base class `Optimizer`.

    Examples
    --------
    In the first step, each weight moves by the learning rate:

    >>> from tinynet import Variable
    >>> w = Variable([1.0, -2.0], dtype="float32")
    >>> Adamax(0.25).apply([[0.5, -8.0]], [w])
    >>> w.numpy().round(3)
    array([ 0.75, -1.75], dtype=float32)
    """

    beta_1: float = argument(0.9, checks.number, 0, 1, open_high=True)
    beta_2: float = argument(0.999, checks.number, 0, 1)
    epsilon: float = argument(1e-7, checks.number, 0)

    slot_names = ("momentum", "norm")

    def update(self, numbers: list[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights with their gradient."""
        constants = (numbers[0], 1 - self.beta_1, self.beta_2, self.epsilon)
        functional.adamax(w, d_w, *slots, *constants)

    def numbers(self, rates: Array, steps: Array) -> tuple[Array, ...]:
        """Return the step sizes, which include the bias correction."""
        return (rates / (1 - rounded_power(self.beta_1, steps, rates.dtype)),)
