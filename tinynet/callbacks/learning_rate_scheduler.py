"""Callback that sets the learning rate as a function of the epoch."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from tinynet._core import argument, checks, declared, required
from tinynet._core.progress_bar import write
from tinynet.callbacks.callback import Logs, level
from tinynet.callbacks.rate_setter import RateSetter

__all__ = ["LearningRateScheduler"]


def _function(name: str, value: Any) -> Any:
    if not callable(value):
        raise TypeError(f"{name} must be a function. Received: {name}={checks.shorten(value)}")
    return value


@declared()
class LearningRateScheduler(RateSetter):
    """Set the learning rate at the beginning of each epoch.

    The learning rate is added to the logs of the epoch as ``"learning_rate"``.

    Parameters
    ----------
    schedule : callable
        Function ``schedule(epoch, learning_rate)`` or ``schedule(epoch)`` that returns the learning
        rate, a float. Epochs count from 0.
    verbose : int
        Verbosity: 1 to print a message, 0 for no output.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> halve = LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch else 0.5)
    >>> history = model.fit([[0.0]], [0], epochs=3, verbose=0, callbacks=[halve])
    >>> history.history["learning_rate"]
    [0.5, 0.25, 0.125]
    """

    schedule: Any = required(_function)
    verbose: int = argument(0, level)

    def __complete(self) -> None:
        try:
            inspect.signature(self.schedule).bind(0, 0.0)
            self._takes_rate = True
        except (TypeError, ValueError) as error:
            # inspect.signature raises ValueError for functions written in C.
            self._takes_rate = isinstance(error, ValueError)

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the learning rate."""
        optimizer = self.model.optimizer
        old = (float(optimizer.learning_rate),) if self._takes_rate else ()
        rate = self.schedule(epoch, *old)
        received = f"{checks.shorten(rate)} for epoch {epoch}"
        is_float = isinstance(rate, float | np.float32)
        checks.require(is_float, "schedule must return a float", received)
        optimizer.learning_rate = rate
        if self.verbose:
            write(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.\n")
