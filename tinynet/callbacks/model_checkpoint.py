"""Callback that saves the model during training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinynet._core import argument, checks, declared, required
from tinynet._core.atomic_files import require_writable
from tinynet.callbacks.callback import Logs, frequency, level
from tinynet.callbacks.monitor_callback import Monitor
from tinynet.callbacks.saver import Saver

__all__ = ["ModelCheckpoint"]


@declared()
class ModelCheckpoint(Monitor, Saver):
    """Save the model during training, after each epoch or when it is the best so far.

    Parameters
    ----------
    filepath : str or path-like
        File to write, with the extension ``.keras``, ``.h5``, ``.hdf5`` or ``.tinynet``, or
        ``.weights.h5`` with ``save_weights_only=True``. It may be a format string with ``{epoch}``,
        which is counted from 1, and metrics, such as ``{val_loss:.2f}``. The folder is created if
        it does not exist.
    monitor : str
        Metric that decides which model is best.
    verbose : int
        Verbosity: 1 to print a message for each save, 0 for no output.
    save_best_only : bool
        If True, save only when the model is better than all previous ones.
    save_weights_only : bool
        If True, save only the weights.
    mode : {"auto", "min", "max"}
        Whether lower or higher values are better; see `Monitor`.
    save_freq : "epoch" or int
        "epoch" to save after every epoch, or the number of batches between saves, counted across
        epochs; `filepath` may then contain ``{batch}``.
    initial_value_threshold : float, optional
        Initial best value, which the first saved model must improve on.

    Raises
    ------
    ValueError
        If the extension of `filepath` is not supported.

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
        """Return the file name, with epoch, batch and metrics filled in.

        Parameters
        ----------
        epoch : int
            Epoch index, from 0.
        logs : dict
            Metrics by name.
        batch : int, optional
            Batch index, from 0.

        Returns
        -------
        str
            File name.

        Raises
        ------
        KeyError
            If `filepath` contains the name of a metric that does not exist.
        ValueError
            If a value does not match its format specification.
        """
        values = {**logs, "epoch": epoch + 1}
        if batch is not None:
            values["batch"] = batch + 1
        try:
            return str(self.filepath.format(**values))
        except KeyError as error:
            raise KeyError(
                f"filepath must only contain the names {', '.join(values)}. "
                f"Received: filepath={self.filepath!r}, which contains {error}"
            ) from None
        except (ValueError, IndexError, AttributeError, TypeError) as error:
            raise ValueError(
                f"filepath must be a valid format string: {error}. "
                f"Received: filepath={checks.shorten(self.filepath)}"
            ) from error

    def _before_training(self, names: set[str], closed: bool) -> None:
        """Check the file name and its folder, and that the model can be saved."""
        by_batch = self.save_freq != "epoch"
        if by_batch:  # the logs of a batch do not contain validation metrics
            names = {n for n in names if not n.startswith("val_")} - {"learning_rate"}
        if self.save_best_only:
            self._more_is_better()
            expected = f"monitor must be one of {sorted(names)} if save_best_only=True"
            received = f"monitor={self.monitor!r}, save_freq={self.save_freq!r}"
            found = not closed or self.monitor in names
            checks.require(found, f"{expected}; otherwise no model is saved", received)
        path = self.filepath
        if closed:
            path = self.path(0, dict.fromkeys(names, 0.5), 0 if by_batch else None)
        require_writable(Path(path))
        if not self.save_weights_only:
            self.model.to_json()  # raises an error if the model cannot be saved

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
