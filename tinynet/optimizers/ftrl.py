"""Follow the regularized leader."""

from __future__ import annotations

from typing import Any

from tinynet import functional
from tinynet._core import argument, checks, declared
from tinynet.optimizers.optimizer import _BuiltIn, _registry
from tinynet.program import Array

__all__ = ["Ftrl"]


@declared(_registry, "ftrl")
class Ftrl(_BuiltIn):
    """Follow the regularized leader: weights that few gradients support become exactly 0.

    The formula is in `functional.ftrl`. McMahan et al., "Ad click prediction: a view from the
    trenches" (2013).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate.
    learning_rate_power : float
        Power of the sum of squared gradients that steps shrink with, at most 0; with 0, they
        do not.
    initial_accumulator_value : float
        Initial value of the sums of squared gradients.
    l1_regularization_strength, l2_regularization_strength : float
        Strengths of the penalties within the optimization problem of each step.
    l2_shrinkage_regularization_strength : float
        Strength of an L2 penalty that is added to the loss.
    beta : float
        Added to the root of the sum of squared gradients, as in the paper.
    **kwargs : object
        As for `Optimizer`.

    Examples
    --------
    >>> from tinynet import Variable
    >>> w = Variable([0.1, 0.1], dtype="float32")
    >>> Ftrl(0.5, l1_regularization_strength=1.0).apply([[2.0, 0.5]], [w])
    >>> w.numpy().round(3)
    array([-0.163,  0.   ], dtype=float32)
    """

    learning_rate_power: float = argument(-0.5, checks.number, high=0)
    initial_accumulator_value: float = argument(0.1, checks.number, 0)
    l1_regularization_strength: float = argument(0.0, checks.number, 0)
    l2_regularization_strength: float = argument(0.0, checks.number, 0)
    l2_shrinkage_regularization_strength: float = argument(0.0, checks.number, 0)
    beta: float = argument(0.0, checks.number, 0)

    slot_names = ("accumulator_of_squares", "linear")

    def update(self, numbers: list[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights by their gradient."""
        power, l1, l2 = (
            self.learning_rate_power,
            self.l1_regularization_strength,
            self.l2_regularization_strength,
        )
        shrinkage = self.l2_shrinkage_regularization_strength
        functional.ftrl(w, d_w, *slots, numbers[0], power, l1, l2, shrinkage, self.beta)
