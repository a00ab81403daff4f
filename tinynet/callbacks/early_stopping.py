"""Callback that stops training when a metric has stopped improving."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinynet._core import argument, checks, declared
from tinynet._core.progress_bar import write
from tinynet.callbacks.callback import Logs, level
from tinynet.callbacks.monitor_callback import Monitor

__all__ = ["EarlyStopping"]


@declared()
class EarlyStopping(Monitor):
    """Stop training when a metric has stopped improving.

    Parameters
    ----------
    monitor : str
        Metric to monitor.
    min_delta : float
        Minimum change that counts as an improvement.
    patience : int
        Number of epochs without an improvement after which training stops; 0 is equivalent to 1.
    verbose : int
        Verbosity: 1 to print a message, 0 for no output.
    mode : {"auto", "min", "max"}
        Whether lower or higher values are better; see `Monitor`.
    baseline : float, optional
        Value that the metric must also improve on to reset the counter of epochs.
    restore_best_weights : bool
        If True, restore the weights of the best epoch at the end of training.
    start_from_epoch : int
        First epoch that is monitored, counted from 0.

    Examples
    --------
    >>> import tinynet as keras
    >>> stopping = EarlyStopping("loss", min_delta=0.5, patience=2)
    >>> model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> history = model.fit([[0.0]], [0], epochs=9, verbose=0, callbacks=[stopping])
    >>> history.epoch  # the loss decreases by less than 0.5 per epoch
    [0, 1, 2]
    """

    resumes = ("best", "best_epoch", "best_weights", "stopped_epoch", "wait")

    monitor: str = argument("val_loss")
    min_delta: float = argument(0)
    patience: int = argument(0, checks.whole, 0)
    verbose: int = argument(0, level)
    mode: str = argument("auto")
    baseline: float | None = argument(None, checks.number, high=np.inf)
    restore_best_weights: bool = argument(False, checks.flag)
    start_from_epoch: int = argument(0, checks.whole, 0)

    def __complete(self) -> None:
        EarlyStopping.on_train_begin(self)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Reset the best value and the counters."""
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = None
        self.best_weights: Any = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the metric with its best value."""
        logs = logs or {}
        current = self._current(
            logs,
            f"Early stopping conditioned on metric `{self.monitor}` which is not available. "
            f"Available metrics are: {','.join(logs)}",
        )
        if current is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self._is_best(current):
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self.is_improvement(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the best weights."""
        if self.stopped_epoch and self.verbose:
            write(f"Epoch {self.stopped_epoch + 1}: early stopping\n")
        if self.best_weights is not None:
            if self.verbose:
                best = self.best_epoch + 1
                write(f"Restoring model weights from the end of the best epoch: {best}.\n")
            self.model.set_weights(self.best_weights)
