"""Callbacks that monitor one metric and act when it improves, or has stopped improving.

`Monitor` defines what an improvement is; the others define what follows from it. As in Keras,
values are compared in the float type of the models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinynet import checks, config
from tinynet.arguments import argument, declared, required
from tinynet.callbacks.base import Callback, Logs, RateSetter, Saver, frequency, level
from tinynet.files import require_writable
from tinynet.progress import write

__all__ = ["EarlyStopping", "ModelCheckpoint", "Monitor", "ReduceLROnPlateau"]


class Monitor(Callback):
    """The base of callbacks that monitor one metric.

    Parameters
    ----------
    monitor : str
        Name of the metric.
    mode : {"auto", "min", "max"}
        Whether less or more is better. ``"auto"``: less for a loss, else as the metric of that
        name defines it.
    min_delta : float
        Smallest difference that counts as an improvement; its sign is ignored.
    best : float, optional
        Initial value to improve on.

    Examples
    --------
    >>> accuracy = Monitor("accuracy", "max", min_delta=0.01)
    >>> accuracy.is_improvement(0.95, 0.93), accuracy.is_improvement(0.935, 0.93)
    (True, False)
    """

    verbose = 0

    def __init__(
        self, monitor: str, mode: str = "auto", min_delta: float = 0, best: float | None = None
    ) -> None:
        super().__init__()
        received = f"monitor={checks.shorten(monitor)}"
        text = "monitor must be the name of a metric"
        checks.require(isinstance(monitor, str), text, received, TypeError)
        if not isinstance(mode, str) or mode not in ("auto", "min", "max"):
            shown = checks.shorten(mode)
            checks.warn(f"{type(self).__name__} mode {shown} is unknown, fallback to auto mode.")
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(checks.number("min_delta", min_delta, high=np.inf))
        self.best = checks.optional(checks.number, "best", best, high=np.inf)

    def _more_is_better(self) -> bool:
        if self.mode != "auto":
            return self.mode == "max"
        name = self.monitor.removeprefix("val_")
        direction = "down" if name == "loss" else None
        for metric in getattr(self.model, "metrics", []):
            if metric.label == name:
                direction = getattr(metric, "_direction", None) or direction
        unknown = f"{type(self).__name__} can't tell whether more or less of {self.monitor!r} is"
        expected = f"{unknown} better: pass mode='max' or mode='min'"
        checks.require(direction, expected, f"monitor={self.monitor!r}, mode='auto'")
        return direction == "up"

    def is_improvement(self, value: float, best: float | None) -> bool:
        """Compare a value with another: it must be better by more than `min_delta`.

        Parameters
        ----------
        value : float
            The new value; NaN is never an improvement.
        best : float or None
            The other; any number is better than None or NaN.

        Returns
        -------
        bool
            Whether it is an improvement.

        Raises
        ------
        ValueError
            If it isn't known whether more or less is better.
        """
        more = self._more_is_better()
        if np.isnan(value) or best is None or np.isnan(best):
            return not np.isnan(value)
        kind = np.dtype(config.floatx()).type
        if more:
            return bool(kind(value - self.min_delta) > kind(best))
        return bool(kind(value + self.min_delta) < kind(best))

    def _before_training(self, names: set[str], closed: bool) -> None:
        """Check that the metric is known; `closed` if the logs have no other names."""
        self._more_is_better()
        if closed and self.monitor.removeprefix("val_") not in names:
            checks.known("monitor", self.monitor, dict.fromkeys(sorted(names)))

    def _current(self, logs: Logs, missing: str) -> Any:
        """Return the value, or warn and return None."""
        self._more_is_better()  # raises an error even if the value is missing
        value = logs.get(self.monitor)
        if value is not None and (np.ndim(value) or np.asarray(value).dtype.kind not in "biuf"):
            missing = (
                f"{type(self).__name__} needs a number, so this epoch is ignored. "
                f"Received: {self.monitor}={checks.shorten(value)}"
            )
            value = None
        if value is None:
            checks.warn(missing)
        return value

    def _is_best(self, value: float) -> bool:
        """Compare a value with the best so far, and keep it if it is better."""
        better = self.is_improvement(value, self.best)
        self.best = value if better else self.best
        return better

    def _say(self, epoch: int, text: str) -> None:
        if self.verbose:
            write(f"\nEpoch {epoch + 1}: {text}\n")


@declared()
class EarlyStopping(Monitor):
    """Stop training when a metric has stopped improving.

    Parameters
    ----------
    monitor : str
        Metric to monitor.
    min_delta : float
        Smallest change that counts as an improvement.
    patience : int
        Number of epochs without an improvement after which training stops; 0 and 1 are the same.
    verbose : int
        1 to print a message.
    mode : {"auto", "min", "max"}
        Whether less or more is better.
    baseline : float, optional
        Value that an improvement must also exceed for the count of epochs to start again.
    restore_best_weights : bool
        Whether training always ends with the weights of the best epoch.
    start_from_epoch : int
        First epoch that is monitored; epochs count from 0.

    Examples
    --------
    >>> import tinynet as keras
    >>> stopping = EarlyStopping("loss", min_delta=0.5, patience=2)
    >>> model = keras.Sequential([keras.layers.Dense(2, activation="softmax")])
    >>> model.compile("adam", "sparse_categorical_crossentropy")
    >>> history = model.fit([[0.0]], [0], epochs=9, verbose=0, callbacks=[stopping])
    >>> history.epoch  # the loss falls more slowly than that
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
        """Start again."""
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = None
        self.best_weights: Any = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Check the metric."""
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


@declared()
class ReduceLROnPlateau(Monitor, RateSetter):
    """Reduce the learning rate when a metric has stopped improving.

    The rate is added to the metrics of the epoch as ``"learning_rate"``, before it is changed.

    Parameters
    ----------
    monitor : str
        Metric to monitor.
    factor : float
        Factor of the learning rate, below 1.
    patience : int
        Number of epochs without an improvement after which the rate is reduced.
    verbose : int
        1 to print a message.
    mode : {"auto", "min", "max"}
        Whether less or more is better.
    min_delta : float
        Smallest change that counts as an improvement.
    cooldown : int
        Number of epochs after a reduction that are not counted.
    min_lr : float
        Lower bound of the learning rate.

    Raises
    ------
    ValueError
        If `factor` is 1 or more.

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
        """Check that the learning rate can be set, and that the metric is known."""
        RateSetter._before_training(self, names, closed)
        super()._before_training(names | {*self.adds}, closed)

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Start again."""
        self.best = None
        self.cooldown_counter = self.wait = 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Check the metric."""
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


@declared()
class ModelCheckpoint(Monitor, Saver):
    """Save the model as it is trained: every epoch, or when it is the best so far.

    Parameters
    ----------
    filepath : str or path
        File, ending in ``.keras``, ``.h5``, ``.hdf5`` or ``.tinynet``, or in ``.weights.h5`` for
        weights alone. ``{epoch}``, which counts from 1, ``{val_loss:.2f}`` and
        the like are filled in. Its folder is made.
    monitor : str
        Metric that defines which model is best.
    verbose : int
        1 to print what is saved.
    save_best_only : bool
        Whether only a model that is better than all before is saved.
    save_weights_only : bool
        Whether only its weights are.
    mode : {"auto", "min", "max"}
        Whether less or more is better.
    save_freq : "epoch" or int
        Every epoch, or the number of batches, counted across epochs, after which to save;
        ``{batch}`` may then be in `filepath`.
    initial_value_threshold : float, optional
        Initial value to improve on.

    Raises
    ------
    ValueError
        If `filepath` ends in something else.

    Examples
    --------
    >>> best = ModelCheckpoint("runs/{epoch:02d}-{val_loss:.2f}.keras", save_best_only=True)
    >>> best.path(0, {"val_loss": 0.123})
    'runs/01-0.12.keras'
    """

    resumes = ("best", "_batches")

    filepath: Any = required(checks.path)
    monitor: str = argument("val_loss")
    verbose: int = argument(0, level)
    save_best_only: bool = argument(False, checks.flag)
    save_weights_only: bool = argument(False, checks.flag)
    mode: str = argument("auto")
    save_freq: Any = argument("epoch", frequency)
    initial_value_threshold: Any = argument(None, checks.number, high=np.inf, kept=False)

    def __complete(self, initial_value_threshold: float | None) -> None:
        self.best = initial_value_threshold
        weights = self.save_weights_only
        endings = (".weights.h5",) if weights else (".keras", ".h5", ".hdf5", ".tinynet")
        expected = f"filepath must end in {' or '.join(endings)} with save_weights_only={weights}"
        received = f"filepath={checks.shorten(self.filepath)}"
        checks.require(self.filepath.endswith(endings), expected, received)

    def path(self, epoch: int, logs: Logs, batch: int | None = None) -> str:
        """Fill in the file's name.

        Parameters
        ----------
        epoch : int
            The epoch, from 0.
        logs : dict
            The metrics.
        batch : int, optional
            The batch, from 0.

        Returns
        -------
        str
            The name.

        Raises
        ------
        KeyError
            If it contains a metric that does not exist.
        ValueError
            If a value does not fit its format.
        """
        values = {**logs, "epoch": epoch + 1}
        if batch is not None:
            values["batch"] = batch + 1
        try:
            return str(self.filepath.format(**values))
        except KeyError as error:
            raise KeyError(
                f"filepath takes a metric that is not among {', '.join(values)}. "
                f"Received: {self.filepath!r}, which takes {error}"
            ) from None
        except (ValueError, IndexError, AttributeError, TypeError) as error:
            raise ValueError(
                f"filepath must be a format string of numbers: {error}. "
                f"Received: filepath={checks.shorten(self.filepath)}"
            ) from error

    def _before_training(self, names: set[str], closed: bool) -> None:
        """Check the name and folder of the file, and that the model can be saved."""
        by_batch = self.save_freq != "epoch"
        if by_batch:  # the logs of batches have neither of these
            names = {n for n in names if not n.startswith("val_")} - {"learning_rate"}
        if self.save_best_only:
            self._more_is_better()
            never = f"save_best_only=True would never save: {self.monitor!r} is not among"
            received = f"monitor={self.monitor!r}, save_freq={self.save_freq!r}"
            found = not closed or self.monitor in names
            checks.require(found, f"{never} {sorted(names)}", received)
        path = self.filepath
        if closed:
            path = self.path(0, dict.fromkeys(names, 0.5), 0 if by_batch else None)
        require_writable(Path(path))
        if not self.save_weights_only:
            self.model.to_json()  # raises an error if the model can't be saved

    def _save(self, epoch: int, batch: int | None, logs: Logs) -> None:
        try:
            path = self.path(epoch, logs, batch)
        except (KeyError, ValueError) as error:
            checks.warn(f"The model is not saved: {error.args[0]}")
            return
        if not self.save_best_only:
            self._say(epoch, f"saving model to {path}")
        elif not self._is_wanted(epoch, logs, path):
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        save = self.model.save_weights if self.save_weights_only else self.model.save
        save(path, overwrite=True)
        self._say(epoch, f"finished saving model to {path}")

    def _is_wanted(self, epoch: int, logs: Logs, path: str) -> bool:
        """Return whether the model is the best so far."""
        current = self._current(logs, f"Can save best model only with {self.monitor} available.")
        if current is None:
            return False
        best = "None" if self.best is None else f"{self.best:.5f}"
        wanted = self._is_best(current)
        if wanted:
            text = f"improved from {best} to {current:.5f}, saving model to {path}"
        else:
            text = f"did not improve from {best}"
        self._say(epoch, f"{self.monitor} {text}")
        return wanted
