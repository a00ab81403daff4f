"""Lion."""

from __future__ import annotations

from typing import Any

from tinynet import functional
from tinynet._core import argument, checks, declared
from tinynet.optimizers.optimizer import _BuiltIn, _registry
from tinynet.program import Array

__all__ = ["Lion"]


@declared(_registry, "lion")
class Lion(_BuiltIn):
    """Lion optimizer (EvoLved Sign Momentum): moves each weight by the learning rate.

    Weights move against the sign of an interpolation between the first moment estimate and the
    gradient; see `functional.lion`. Chen et al., "Symbolic discovery of optimization algorithms"
    (2023), who recommend learning rates that are 3 to 10 times smaller than for `AdamW`.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate, the size of the update of each weight in one step.
    beta_1 : float
        Weight of the first moment estimate in the interpolation with the gradient; above 0.
    beta_2 : float
        Decay rate of the first moment estimate.
    **kwargs : object
        Arguments of the base class `Optimizer`.

    Examples
    --------
    Each weight moves by 0.25, whatever the size of its gradient:

    >>> from tinynet import Variable
    >>> w = Variable([1.0, -2.0], dtype="float32")
    >>> Lion(0.25).apply([[0.5, -8.0]], [w])
    >>> w.numpy()
    array([ 0.75, -1.75], dtype=float32)
    """

    beta_1: float = argument(0.9, checks.number, 0, 1, open_low=True)
    beta_2: float = argument(0.99, checks.number, 0, 1)

    slot_names = ("momentum",)

    def update(self, numbers: list[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights with their gradient."""
        functional.lion(w, d_w, *slots, numbers[0], self.beta_1, self.beta_2)
