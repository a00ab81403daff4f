"""FTRL: follow the regularized leader."""

from __future__ import annotations

from typing import Any

from tinynet import functional
from tinynet._core import argument, checks, declared
from tinynet.optimizers.optimizer import _BuiltIn, _registry
from tinynet.program import Array

__all__ = ["Ftrl"]


@declared(_registry, "ftrl")
class Ftrl(_BuiltIn):
    """FTRL optimizer (follow the regularized leader), with L1 regularization for sparse weights.

    The formula is in `functional.ftrl`. McMahan et al., "Ad click prediction: a view from the
    trenches" (2013).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate.
    learning_rate_power : float
        Exponent of the sum of squared gradients, at most 0. With 0, the step size is constant.
    initial_accumulator_value : float
        Initial value of the sum of squared gradients.
    l1_regularization_strength, l2_regularization_strength : float
        Strengths of the L1 and L2 penalties. The L1 penalty sets small weights to exactly 0.
    l2_shrinkage_regularization_strength : float
        Strength of an L2 penalty on the weights that is added to the loss.
    beta : float
        Constant added to ``n**-learning_rate_power``, where n is the sum of squared gradients;
        `beta` in the paper.
    **kwargs : object
        Arguments of the base class `Optimizer`.

    Examples
    --------
    The L1 penalty sets the weight with the smaller gradient to 0:

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
        """Update weights with their gradient."""
        power, l1, l2 = (
            self.learning_rate_power,
            self.l1_regularization_strength,
            self.l2_regularization_strength,
        )
        shrinkage = self.l2_shrinkage_regularization_strength
        functional.ftrl(w, d_w, *slots, numbers[0], power, l1, l2, shrinkage, self.beta)
