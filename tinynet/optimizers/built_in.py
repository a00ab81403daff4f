"""What the built-in optimizers share."""

from __future__ import annotations

from dataclasses import KW_ONLY
from typing import Any

from tinynet._core import argument, declared
from tinynet.optimizers.optimizer import Optimizer


@declared()
class _BuiltIn(Optimizer):
    """The base of the built-in optimizers; it tells type checkers what `Optimizer` takes."""

    learning_rate: Any = argument(0.001)
    _: KW_ONLY
    weight_decay: float | None = argument(None)
    clipnorm: float | None = argument(None)
    clipvalue: float | None = argument(None)
    global_clipnorm: float | None = argument(None)
    use_ema: bool = argument(False)
    ema_momentum: float = argument(0.99)
    ema_overwrite_frequency: int | None = argument(None)
    loss_scale_factor: float | None = argument(None)
    gradient_accumulation_steps: int | None = argument(None)
    name: Any = argument(None)

    def initial_value(self, slot: str) -> float:
        """Return the initial value of a slot: 0, except for sums of squares."""
        is_sum = slot == "accumulator_of_squares"
        return getattr(self, "initial_accumulator_value", 0.0) if is_sum else 0.0
