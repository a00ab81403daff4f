"""Adam."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet import functional
from tinynet._core import argument, checks, declared
from tinynet.optimizers.optimizer import _BuiltIn, _registry
from tinynet.program import Array, Variable

__all__ = ["Adam"]


@declared(_registry, "adam")
class Adam(_BuiltIn):
    """Adam optimizer: divides the first moment estimate by the square root of the second.

    The formula is in `functional.adam`. Kingma and Ba, "Adam: a method for stochastic
    optimization" (2015), with the "epsilon hat" from the end of section 2.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate, the approximate size of the update of each weight in one step.
    beta_1 : float
        Decay rate of the first moment estimate, the moving average of the gradient.
    beta_2 : float
        Decay rate of the second moment estimate, the moving average of the squared gradient.
    epsilon : float
        Small constant added to the denominator, for numerical stability.
    amsgrad : bool
        If True, use AMSGrad: the maximum of all second moment estimates so far.
    **kwargs : object
        Arguments of the base class `Optimizer`.

    Examples
    --------
    >>> Adam().learning_rate.numpy()
    np.float32(0.001)
    """

    beta_1: float = argument(0.9, checks.number, 0, 1, open_high=True)
    beta_2: float = argument(0.999, checks.number, 0, 1, open_high=True)
    epsilon: float = argument(1e-7, checks.number, 0)
    amsgrad: bool = argument(False, checks.flag)

    slot_names = ("momentum", "velocity")
    squares = ("velocity", "beta_2")

    def __complete(self) -> None:
        if self.amsgrad:
            self.slot_names = (*self.slot_names, "largest")  # type: ignore[assignment]  # longer

    @property
    def variables(self) -> list[Variable]:
        """State variables; the AMSGrad variables are last."""
        state = super().variables
        late = {id(v) for v in self._slots.get("largest", [])}
        return sorted(state, key=lambda v: id(v) in late)

    def update(self, numbers: list[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights with their gradient."""
        m, v, *largest = slots
        constants = (numbers[0], 1 - self.beta_1, 1 - self.beta_2, self.epsilon)
        functional.adam(w, d_w, m, v, *constants, largest[0] if largest else None)

    def _kernel(self) -> Any:
        constants = (1 - self.beta_1, 1 - self.beta_2, self.epsilon)
        return None if self.amsgrad else ("adam", *constants)

    def numbers(self, rates: Array, steps: Array) -> tuple[Array, ...]:
        """Return the step sizes, which include the bias correction."""
        size = functional.adam_step_size(rates, self.beta_1, self.beta_2, steps, rates.dtype)
        return (np.asarray(size),)
