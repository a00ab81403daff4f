"""Adam with weight decay."""

from __future__ import annotations

from typing import Any

from tinynet._core import argument, checks, declared
from tinynet.optimizers.adam import Adam
from tinynet.optimizers.optimizer import _registry

__all__ = ["AdamW"]


def _weight_decay(name: str, value: Any) -> float:
    if value is None:
        raise ValueError("weight_decay must be a number. Received: weight_decay=None")
    return checks.number(name, value, 0)


@declared(_registry, "adamw")
class AdamW(Adam):
    """AdamW optimizer: Adam with decoupled weight decay.

    Loshchilov and Hutter, "Decoupled weight decay regularization" (2019).

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        Learning rate, the approximate size of the update of each weight in one step.
    weight_decay : float
        Weight decay: before each update, weights are multiplied by
        ``1 - weight_decay * learning_rate``.
    beta_1, beta_2, epsilon, amsgrad : float
        See `Adam`.
    **kwargs : object
        Arguments of the base class `Optimizer`.

    Examples
    --------
    >>> AdamW().weight_decay
    0.004
    """

    learning_rate: Any = argument(0.001)
    weight_decay: float = argument(0.004, _weight_decay, kept=False)
    beta_1: float = argument(0.9)
    beta_2: float = argument(0.999)
    epsilon: float = argument(1e-7)
    amsgrad: bool = argument(False)

    def __complete(self, weight_decay: float) -> None:
        self.weight_decay = weight_decay
