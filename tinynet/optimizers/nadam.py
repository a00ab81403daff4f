"""Adam with Nesterov momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from tinynet import functional
from tinynet._core import argument, checks, declared
from tinynet.functional.optimizers import rounded_power
from tinynet.optimizers.optimizer import _BuiltIn, _registry
from tinynet.program import Array, Variable

__all__ = ["Nadam"]


@declared(_registry, "nadam")
class Nadam(_BuiltIn):
    """Nadam optimizer: Adam with Nesterov momentum.

    The formula is in `functional.nadam`. Dozat, "Incorporating Nesterov momentum into Adam" (2016).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate, the approximate size of the update of each weight in one step.
    beta_1, beta_2, epsilon : float
        See `Adam`.
    **kwargs : object
        Arguments of the base class `Optimizer`.

    Examples
    --------
    >>> Nadam().name
    'nadam'
    """

    beta_1: float = argument(0.9, checks.number, 0, 1, open_high=True)
    beta_2: float = argument(0.999, checks.number, 0, 1, open_high=True)
    epsilon: float = argument(1e-7, checks.number, 0)

    slot_names = ("momentum", "velocity")
    squares = ("velocity", "beta_2")

    def __complete(self) -> None:
        #: Product of the momentum coefficients of all steps so far.
        self._product: Any = None

    def build(self, variables: Iterable[Variable]) -> None:
        """Create the slots of the weights and the momentum product."""
        if not self.built:
            variables = list(variables)
            kind = variables[0].dtype if variables else "float32"
            self._product = Variable(np.ones((), kind), False, name="u_product")
            super().build(variables)

    def _momenta(self, steps: Array, kind: Any) -> Array:
        one = np.dtype(kind).type
        decay = rounded_power(0.96, steps, kind)
        return np.asarray(one(self.beta_1) * (one(1) - one(0.5) * decay))

    def numbers(self, rates: Array, steps: Array) -> tuple[Array, ...]:
        """Return the step sizes along the first moment estimate and the gradient.

        The third number is the bias correction of the second moment estimate.
        """
        kind, one = rates.dtype, rates.dtype.type(1)
        now, ahead = self._momenta(steps, kind), self._momenta(steps + 1, kind)
        product = np.cumprod(np.append(self._product.array.astype(kind), now))[1:]
        correction = one - rounded_power(self.beta_2, steps, kind)
        alpha_m = rates * ahead / (one - product * ahead)
        return alpha_m, rates * (one - now) / (one - product), correction

    def changed(self, steps: Array) -> None:
        """Update the product of all momentum coefficients."""
        for momentum in self._momenta(steps, self._product.array.dtype):
            self._product.array[...] *= momentum

    def update(self, numbers: list[Any], w: Array, d_w: Array, *slots: Array) -> None:
        """Update weights with their gradient."""
        alpha_m, alpha_g, correction = numbers
        one = w.dtype.type
        rates = (one(1) - one(self.beta_1), one(1) - one(self.beta_2))
        functional.nadam(w, d_w, *slots, alpha_m, alpha_g, *rates, correction, self.epsilon)
