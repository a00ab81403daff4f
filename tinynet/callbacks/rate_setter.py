"""Base class of callbacks that set the learning rate."""

from __future__ import annotations

from tinynet._core import checks
from tinynet.callbacks.callback import Callback, Logs


class RateSetter(Callback):
    """Base class of callbacks that set the learning rate and add it to the logs of each epoch."""

    adds = ("learning_rate",)

    def _before_training(self, names: set[str], closed: bool) -> None:
        """Check that the learning rate does not follow a schedule."""
        schedule = getattr(self.model.optimizer, "_schedule", None)
        expected = f"learning_rate must be a number, not a schedule, to use {type(self).__name__}"
        received = f"learning_rate={checks.shorten(schedule)}"
        checks.require(schedule is None, f"{expected}; use only one of them", received, TypeError)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add the learning rate to the logs."""
        if logs is not None:
            logs["learning_rate"] = float(self.model.optimizer.learning_rate)
