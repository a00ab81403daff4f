"""Callback that reduces the learning rate when a metric has stopped improving."""

from __future__ import annotations

import numpy as np

from tinynet._core import argument, checks, declared
from tinynet.callbacks.callback import Logs, level
from tinynet.callbacks.monitor_callback import Monitor
from tinynet.callbacks.rate_setter import RateSetter

__all__ = ["ReduceLROnPlateau"]


@declared()
class ReduceLROnPlateau(Monitor, RateSetter):
    """Reduce the learning rate when a metric has stopped improving.

    The learning rate of the epoch, before any reduction at its end, is added to the logs as
    ``"learning_rate"``.

    Parameters
    ----------
    monitor : str
        Metric to monitor.
    factor : float
        Factor by which the learning rate is multiplied, less than 1.
    patience : int
        Number of epochs without an improvement after which the learning rate is reduced.
    verbose : int
        Verbosity: 1 to print a message, 0 for no output.
    mode : {"auto", "min", "max"}
        Whether lower or higher values are better; see `Monitor`.
    min_delta : float
        Minimum change that counts as an improvement.
    cooldown : int
        Number of epochs to wait after a reduction before epochs are counted again.
    min_lr : float
        Lower bound of the learning rate.

    Raises
    ------
    ValueError
        If `factor` is not less than 1.

    Examples
    --------
    >>> import tinynet as keras
    >>> model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> halve = ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.5, verbose=1)
    >>> _ = model.fit([[0.0]], [0], epochs=2, verbose=0, callbacks=[halve])
    <BLANKLINE>
    Epoch 2: ReduceLROnPlateau reducing learning rate to 0.0005000000237487257.
    """

    resumes = ("best", "cooldown_counter", "wait")

    monitor: str = argument("val_loss")
    factor: float = argument(0.1, checks.number, 0, 1, open_high=True)
    patience: int = argument(10, checks.whole, 0)
    verbose: int = argument(0, level)
    mode: str = argument("auto")
    min_delta: float = argument(1e-4)
    cooldown: int = argument(0, checks.whole, 0)
    min_lr: float = argument(0.0, checks.number, 0)

    def __complete(self) -> None:
        ReduceLROnPlateau.on_train_begin(self)

    def _before_training(self, names: set[str], closed: bool) -> None:
        """Check that the learning rate can be set and that the metric exists."""
        RateSetter._before_training(self, names, closed)
        super()._before_training(names | {*self.adds}, closed)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Reset the best value and the counters."""
        self.best = None
        self.cooldown_counter = self.wait = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Compare the metric with its best value, and reduce the learning rate."""
        logs = {} if logs is None else logs
        logs["learning_rate"] = rate = float(self.model.optimizer.learning_rate)
        current = self._current(
            logs,
            f"Learning rate reduction is conditioned on metric `{self.monitor}` which is not "
            f"available. Available metrics are: {','.join(logs)}.",
        )
        if current is None:
            return
        if self.cooldown_counter:
            self.cooldown_counter -= 1
        if self._is_best(current):
            self.wait = 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience and rate > float(np.float32(self.min_lr)):
                new = max(rate * self.factor, self.min_lr)
                self.model.optimizer.learning_rate = new
                self._say(epoch, f"ReduceLROnPlateau reducing learning rate to {new}.")
                self.cooldown_counter = self.cooldown
                self.wait = 0
